//! What a host calls a change where there is none: the same configuration in pairs, judged blind.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::compare::{Comparison, Quantity, Rules, Side, StormSample, Verdict, compare};
use crate::folder::LoadedRun;
use crate::statistics::quantile;

/// Storms a side that find a change of 5 % in 95 of 100 sessions, where short starts are measured one
/// after the other on a noisy host of two cores (`tests/simulation.rs`).
pub const STORMS_OF_SHORT_STARTS: u32 = 60;
/// Attempts in each of them.
pub const INSTANCES_OF_SHORT_STARTS: u32 = 8;

/// What was found: `noise.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Assessment {
    /// Pairs compared.
    pub pairs: usize,
    /// Storms a side of a pair.
    pub storms: usize,
    /// Level of the test.
    pub alpha: f64,
    /// Comparisons: one for each pair and metric.
    pub comparisons: usize,
    /// How many of them found a change, all of them false.
    pub false_verdicts: usize,
    /// Their share is at most this with 95 % confidence, one-sided (Clopper & Pearson, *Biometrika* 26 (1934) 404).
    pub false_verdicts_at_most: f64,
    /// How many had an adjusted p below α, whatever their verdict.
    pub significant: usize,
    /// By metric.
    pub metrics: Vec<MetricNoise>,
}

/// Noise of one latency. Shares are standard deviations of the logarithm, which for small ones is
/// the coefficient of variation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MetricNoise {
    /// Which.
    pub metric: Quantity,
    /// Between the medians of storms.
    pub between_storms: f64,
    /// Between the medians of storms that follow each other: without what drifts slowly.
    pub between_neighbours: f64,
    /// Between instances of a storm (from the middle half of each, as if normal).
    pub within_storms: f64,
    /// Largest change between the sides of a pair, |ratio − 1|.
    pub largest_change: f64,
    /// Median half width of the intervals of the ratio.
    pub half_interval: f64,
    /// Storms a side that would find a change of 5 % in 95 of 100 cases; absent above 10,000.
    pub storms_for_five_per_cent: Option<usize>,
    /// Relative floor this suggests.
    pub relative_floor: f64,
    /// Absolute floor this suggests.
    pub absolute_floor_ns: f64,
}

/// Cuts the storms of `run`, whose two contenders were the same, into pairs of `storms` storms a
/// side, and compares each.
///
/// # Errors
/// Where a rule matches nothing, or not one pair is whole.
pub fn assess(run: &LoadedRun, labels: [&str; 2], storms: usize, rules: &Rules) -> Result<Assessment, Error> {
    // Floors would hide what is being looked for, so only the user's metrics and α are taken.
    let rules = Rules { floors: Vec::new(), ignores: Vec::new(), ..rules.clone() };
    let sides = labels.map(|label| Side::of_contender(label, run, label, "same"));
    let chunks = sides.each_ref().map(|side| chunks(side, storms));
    let pairs = chunks[0].len().min(chunks[1].len());
    // Which side is the base is decided by the seed and not looked at again.
    let mut coin = StdRng::seed_from_u64(run.run.seed);
    let mut comparisons: Vec<Comparison> = Vec::new();
    for (a, b) in chunks[0].iter().zip(&chunks[1]) {
        let (base, head) = if coin.random() { (a, b) } else { (b, a) };
        comparisons.push(compare(base, head, &rules, coin.random())?);
    }
    if pairs == 0 {
        return Err(Error::Nothing { base: labels[0].into(), head: labels[1].into() });
    }
    let changes = || comparisons.iter().flat_map(|comparison| &comparison.changes);
    let changed = |verdict| matches!(verdict, Verdict::Regressed | Verdict::Improved);
    let (all, wrong) = (changes().count(), changes().filter(|c| changed(c.verdict)).count());
    Ok(Assessment {
        pairs,
        storms,
        alpha: rules.alpha,
        comparisons: all,
        false_verdicts: wrong,
        false_verdicts_at_most: upper_limit(wrong, all),
        significant: changes().filter(|c| c.adjusted_p.is_some_and(|p| p < rules.alpha)).count(),
        metrics: rules
            .metrics
            .iter()
            .filter(|quantity| quantity.metric().is_some())
            .filter_map(|quantity| noise(&sides, &comparisons, *quantity))
            .collect(),
    })
}

fn chunks(side: &Side, storms: usize) -> Vec<Side> {
    let all: Vec<&StormSample> = side.groups.values().flat_map(|group| &group.storms).collect();
    let whole = all.chunks_exact(storms.max(1));
    whole
        .map(|part| {
            let mut chunk = side.clone();
            for group in chunk.groups.values_mut() {
                group.storms = part.iter().map(|storm| (*storm).clone()).collect();
            }
            chunk
        })
        .collect()
}

fn noise(sides: &[Side; 2], comparisons: &[Comparison], quantity: Quantity) -> Option<MetricNoise> {
    let metric = quantity.metric()?;
    // In the order in which they were made, both sides mixed.
    let mut storms: Vec<&StormSample> =
        sides.iter().flat_map(|side| side.groups.values()).flat_map(|group| &group.storms).collect();
    storms.sort_by_key(|storm| storm.storm);
    let samples: Vec<&Vec<f64>> = storms.iter().filter_map(|storm| storm.latencies_ns.get(&metric)).collect();
    let medians: Vec<f64> = samples.iter().filter_map(|sample| quantile(sample, 0.5)).collect();
    let logs: Vec<f64> = medians.iter().map(|median| median.max(1.0).ln()).collect();
    if logs.len() < 4 {
        return None;
    }
    let differences: Vec<f64> = logs.windows(2).map(|pair| (pair[1] - pair[0]) / 2_f64.sqrt()).collect();
    // The middle half of a normal distribution is 1.349 standard deviations wide.
    let spreads: Vec<f64> = samples
        .iter()
        .filter(|sample| sample.len() >= 4)
        .filter_map(|sample| Some((quantile(sample, 0.75)? / quantile(sample, 0.25)?).ln() / 1.349))
        .collect();
    let of_metric =
        || comparisons.iter().flat_map(|comparison| &comparison.changes).filter(|c| c.metric == quantity);
    let ratios: Vec<f64> = of_metric().filter_map(|change| Some((change.ratio.value? - 1.0).abs())).collect();
    let halves: Vec<f64> = of_metric()
        .filter_map(|change| Some((change.ratio.high? / change.ratio.low?).sqrt() - 1.0))
        .collect();
    let largest_change = ratios.iter().copied().fold(0.0, f64::max);
    let between_storms = deviation(&logs);
    let median = middle(&medians);
    Some(MetricNoise {
        metric: quantity,
        between_storms,
        between_neighbours: (differences.iter().map(|d| d * d).sum::<f64>() / differences.len() as f64)
            .sqrt(),
        within_storms: middle(&spreads),
        largest_change,
        half_interval: middle(&halves),
        storms_for_five_per_cent: storms_to_find(0.05, between_storms),
        // Rounded up to a tenth of a per cent: nobody reads more out of it.
        relative_floor: (largest_change * 1000.0).ceil() / 1000.0,
        absolute_floor_ns: (largest_change * median).ceil(),
    })
}

/// Storms a side after which `change` is found in 95 of 100 cases at α = 0.01, where the medians
/// of storms have the given standard deviation: the usual normal approximation, (z + z)²·2σ²/δ²,
/// by 1.05 for the efficiency of ranks; δ is what the change is above a floor of 1 %.
fn storms_to_find(change: f64, deviation: f64) -> Option<usize> {
    let above_floor = change.ln_1p() - 0.01_f64.ln_1p();
    let storms = (2.576_f64 + 1.645).powi(2) * 2.0 * (deviation / above_floor).powi(2) * 1.05;
    (storms < 10_000.0).then(|| (storms.ceil() as usize).max(5))
}

fn deviation(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64).sqrt()
}

fn middle(values: &[f64]) -> f64 {
    quantile(&crate::statistics::sorted(values.to_vec()), 0.5).unwrap_or(0.0)
}

/// The share p for which so few of n would be seen only one time in twenty: the root of
/// P(B(n, p) ≤ k) = 5 %, by halving.
fn upper_limit(k: usize, n: usize) -> f64 {
    if k >= n {
        return 1.0;
    }
    let at_most_k = |p: f64| {
        let mut term = (1.0 - p).powi(n as i32);
        let mut sum = term;
        for i in 0..k {
            term *= (n - i) as f64 / (i + 1) as f64 * p / (1.0 - p);
            sum += term;
        }
        sum
    };
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if at_most_k(middle) > 0.05 { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scipy 1.16: `beta.ppf(0.95, k + 1, n - k)`.
    #[test]
    fn upper_limits_are_those_of_clopper_and_pearson() {
        for (k, n, limit) in [(0, 20, 0.139108), (1, 60, 0.076640), (3, 200, 0.038310)] {
            assert!((upper_limit(k, n) - limit).abs() < 1e-5, "{k} of {n}: {}", upper_limit(k, n));
        }
        assert_eq!(upper_limit(5, 5), 1.0);
    }
}
