//! Inference over storms. Instances of one storm share the state of the host, so they are not
//! independent: storms are resampled first, then the instances within each (the two-stage or
//! nested bootstrap; Davison & Hinkley, *Bootstrap Methods and their Application* (1997), §3.8).
//! Intervals are percentile intervals (Efron & Tibshirani (1993), §13.3); with as few storms as
//! five they are somewhat too narrow, which is why no verdict rests on them alone.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{CONFIDENCE, Estimate, quantile, sorted};

/// Fewest storms an interval over storms is given for.
const FEWEST_STORMS: usize = 3;
/// Resamples, unless the sample is huge.
const RESAMPLES: usize = 2000;
/// Draws in all after which fewer resamples are made (not below a tenth).
const MOST_DRAWS: usize = 20_000_000;

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

    /// Median of the storms' medians in one resample.
    fn resample(&mut self, storms: &[Vec<f64>]) -> f64 {
        let medians = (0..storms.len())
            .map(|_| {
                let storm = &storms[self.rng.random_range(0..storms.len())];
                let drawn = (0..storm.len()).map(|_| storm[self.rng.random_range(0..storm.len())]).collect();
                median(drawn)
            })
            .collect();
        median(medians)
    }
}

/// Median over storms of each storm's median, with its bootstrap interval. Storms are samples of
/// latencies; empty ones are left out.
pub fn storm_median(storms: &[Vec<f64>], bootstrap: &mut Bootstrap) -> Estimate {
    let storms = filled(storms);
    let value = median(storms.iter().cloned().map(median).collect());
    if storms.is_empty() {
        return Estimate::none("no storm");
    }
    if !value.is_finite() {
        return Estimate::none("falls among attempts that never got there");
    }
    if storms.len() < FEWEST_STORMS {
        let reason = format!("an interval needs {FEWEST_STORMS} storms, has {}", storms.len());
        return Estimate { value: Some(value), reason, ..Estimate::default() };
    }
    let draws = (0..resamples(&storms)).map(|_| bootstrap.resample(&storms)).collect();
    with_interval(value, draws)
}

/// Ratio of the storm medians of `storms` to those of `reference`, with its bootstrap interval.
pub fn storm_ratio(storms: &[Vec<f64>], reference: &[Vec<f64>], bootstrap: &mut Bootstrap) -> Estimate {
    let (storms, reference) = (filled(storms), filled(reference));
    if storms.is_empty() || reference.is_empty() {
        return Estimate::none("no storm to compare with");
    }
    let below = median(reference.iter().cloned().map(median).collect());
    let above = median(storms.iter().cloned().map(median).collect());
    if !below.is_finite() || !above.is_finite() || below <= 0.0 {
        return Estimate::none("falls among attempts that never got there");
    }
    let value = above / below;
    if storms.len() < FEWEST_STORMS || reference.len() < FEWEST_STORMS {
        let fewest = storms.len().min(reference.len());
        let reason = format!("an interval needs {FEWEST_STORMS} storms a side, has {fewest}");
        return Estimate { value: Some(value), reason, ..Estimate::default() };
    }
    let draws = (0..resamples(&storms).min(resamples(&reference)))
        .map(|_| {
            let (above, below) = (bootstrap.resample(&storms), bootstrap.resample(&reference));
            // ∞/∞: nothing is known of that ratio but that it is not bounded by this resample.
            if below.is_finite() { above / below } else { f64::INFINITY }
        })
        .collect();
    with_interval(value, draws)
}

/// Median of any sample; ∞ where it falls on a censored value, or there is none.
fn median(sample: Vec<f64>) -> f64 {
    quantile(&sorted(sample), 0.5).unwrap_or(f64::INFINITY)
}

fn filled(storms: &[Vec<f64>]) -> Vec<Vec<f64>> {
    storms.iter().filter(|storm| !storm.is_empty()).cloned().collect()
}

fn resamples(storms: &[Vec<f64>]) -> usize {
    let instances: usize = storms.iter().map(Vec::len).sum();
    (MOST_DRAWS / instances.max(1)).clamp(RESAMPLES / 10, RESAMPLES)
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
