//! Inference over storms. Instances of one storm share the state of the host, so they are not
//! independent: storms are resampled first, then the instances within each (the two-stage or
//! nested bootstrap; Davison & Hinkley, *Bootstrap Methods and their Application* (1997), §3.8).
//! Intervals are percentile intervals (Efron & Tibshirani (1993), §13.3); with as few storms as
//! five they are somewhat too narrow, which is why no verdict rests on them alone.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::order_statistic::resampled_median;
use super::{CONFIDENCE, Estimate, quantile, sorted};

/// Fewest storms an interval over storms is given for.
const FEWEST_STORMS: usize = 3;
/// Resamples.
const RESAMPLES: usize = 2000;
/// Pairs of storms looked at in all after which fewer resamples are made (not below a tenth).
const MOST_PAIRS: usize = 2_000_000;

/// A seeded source of resamples.
#[derive(Debug)]
pub struct Bootstrap {
    rng: StdRng,
}

impl Bootstrap {
    /// The same seed gives the same intervals.
    pub fn new(seed: u64) -> Bootstrap {
        Bootstrap { rng: StdRng::seed_from_u64(seed) }
    }

    /// Medians of the storms of one resample, each storm's instances resampled as well.
    fn resample(&mut self, storms: &[Vec<f64>]) -> Vec<f64> {
        (0..storms.len())
            .map(|_| {
                let storm = self.rng.random_range(0..storms.len());
                resampled_median(&storms[storm], &mut self.rng)
            })
            .collect()
    }
}

/// Median over storms of each storm's median, with its bootstrap interval. Storms are samples of
/// latencies; empty ones are left out.
pub fn storm_median(storms: &[Vec<f64>], bootstrap: &mut Bootstrap) -> Estimate {
    let storms = filled(storms);
    if storms.is_empty() {
        return Estimate::none("no storm");
    }
    let value = median(medians(&storms));
    if !value.is_finite() {
        return Estimate::none("falls among attempts that never got there");
    }
    if storms.len() < FEWEST_STORMS {
        let reason = format!("an interval needs {FEWEST_STORMS} storms, has {}", storms.len());
        return Estimate { value: Some(value), reason, ..Estimate::default() };
    }
    with_interval(value, (0..RESAMPLES).map(|_| median(bootstrap.resample(&storms))).collect())
}

/// Ratio of the storm medians of `storms` to those of `reference`, with its bootstrap interval.
pub fn storm_ratio(storms: &[Vec<f64>], reference: &[Vec<f64>], bootstrap: &mut Bootstrap) -> Estimate {
    contrast(storms, reference, ratio_of_medians, bootstrap)
}

/// The factor by which `storms` are above `reference`: the Hodges–Lehmann estimate of a shift, on
/// the log scale, which is the median of the ratios of all pairs of storms, with its bootstrap
/// interval. Assumes that a change multiplies; of the estimators that outliers cannot carry away
/// it loses least (5 % against the mean where noise is normal, the median of medians 36 %;
/// Hodges & Lehmann, *Ann. Math. Stat.* 34 (1963) 598).
pub fn shift_ratio(storms: &[Vec<f64>], reference: &[Vec<f64>], bootstrap: &mut Bootstrap) -> Estimate {
    contrast(storms, reference, median_of_ratios, bootstrap)
}

/// By how much `storms` are above `reference`, one value each: difference of the means, with its
/// bootstrap interval over storms. For shares, whose medians are mostly 0.
pub fn mean_difference(values: &[f64], reference: &[f64], bootstrap: &mut Bootstrap) -> Estimate {
    let one_by_one = |values: &[f64]| values.iter().map(|value| vec![*value]).collect::<Vec<_>>();
    contrast(&one_by_one(values), &one_by_one(reference), difference_of_means, bootstrap)
}

/// Two groups of storms set against each other by `statistic`, a function of their medians.
fn contrast(
    storms: &[Vec<f64>],
    reference: &[Vec<f64>],
    statistic: fn(&[f64], &[f64]) -> f64,
    bootstrap: &mut Bootstrap,
) -> Estimate {
    let (storms, reference) = (filled(storms), filled(reference));
    if storms.is_empty() || reference.is_empty() {
        return Estimate::none("no storm to compare with");
    }
    let value = statistic(&medians(&storms), &medians(&reference));
    if !value.is_finite() {
        return Estimate::none("falls among attempts that never got there");
    }
    let fewest = storms.len().min(reference.len());
    if fewest < FEWEST_STORMS {
        let reason = format!("an interval needs {FEWEST_STORMS} storms a side, has {fewest}");
        return Estimate { value: Some(value), reason, ..Estimate::default() };
    }
    let pairs = storms.len() * reference.len();
    let resamples = (MOST_PAIRS / pairs).clamp(RESAMPLES / 10, RESAMPLES);
    let draws = (0..resamples)
        .map(|_| {
            let drawn = statistic(&bootstrap.resample(&storms), &bootstrap.resample(&reference));
            // ∞/∞: nothing is known of that ratio but that it is not bounded by this resample.
            if drawn.is_nan() { f64::INFINITY } else { drawn }
        })
        .collect();
    with_interval(value, draws)
}

fn difference_of_means(above: &[f64], below: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    mean(above) - mean(below)
}

fn ratio_of_medians(above: &[f64], below: &[f64]) -> f64 {
    ratio(median(above.to_vec()), median(below.to_vec()))
}

fn median_of_ratios(above: &[f64], below: &[f64]) -> f64 {
    let ratios = above.iter().flat_map(|above| below.iter().map(|below| ratio(*above, *below)));
    median(ratios.map(|ratio| if ratio.is_nan() { f64::INFINITY } else { ratio }).collect())
}

/// Not a number where both never got there, or there is nothing to divide by.
fn ratio(above: f64, below: f64) -> f64 {
    if below > 0.0 && !(above.is_infinite() && below.is_infinite()) { above / below } else { f64::NAN }
}

/// Median of any sample, as [`quantile`] has it but without sorting all of it; ∞ where it falls on
/// a censored value, or there is none.
fn median(mut sample: Vec<f64>) -> f64 {
    let n = sample.len();
    if n == 0 {
        return f64::INFINITY;
    }
    let (below, upper, _) = sample.select_nth_unstable_by(n / 2, f64::total_cmp);
    match n % 2 {
        1 => *upper,
        _ => (below.iter().copied().fold(f64::NEG_INFINITY, f64::max) + *upper) / 2.0,
    }
}

fn medians(storms: &[Vec<f64>]) -> Vec<f64> {
    storms.iter().map(|storm| quantile(storm, 0.5).unwrap_or(f64::INFINITY)).collect()
}

/// The storms that have instances, each sorted.
fn filled(storms: &[Vec<f64>]) -> Vec<Vec<f64>> {
    storms.iter().filter(|storm| !storm.is_empty()).map(|storm| sorted(storm.clone())).collect()
}

fn with_interval(value: f64, draws: Vec<f64>) -> Estimate {
    let draws = sorted(draws);
    let tail = (1.0 - CONFIDENCE) / 2.0;
    let (low, high) = (quantile(&draws, tail), quantile(&draws, 1.0 - tail));
    let reason = match (low, high) {
        (Some(_), Some(_)) => String::new(),
        _ => "the interval reaches attempts that never got there".into(),
    };
    Estimate { value: Some(value), low, high, reason }
}
