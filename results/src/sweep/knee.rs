//! Where latency begins to grow with the size of a storm.
//!
//! Model: `y = a + b · max(0, n − k)`, flat up to the knee k and a straight line from there, fitted by
//! least squares of *relative* errors over a grid of k (a broken-stick regression; Muggeo,
//! *Statistics in Medicine* 22 (2003) 3055, for one known flat side). Assumes that what grows is
//! waiting for the same resource: a queue served at a constant rate grows by a constant for each
//! more. The interval is a percentile bootstrap over storms, within each size.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::statistics::{CONFIDENCE, Estimate, quantile, sorted};

/// Places the knee is looked for between two neighbouring sizes.
const BETWEEN: u32 = 24;
const RESAMPLES: usize = 400;
/// Growth over the whole curve below this share of the level is no growth.
const LEAST_GROWTH: f64 = 0.05;
/// Sizes a curve needs for a bend to be told from a slope.
const FEWEST_SIZES: usize = 4;

/// One size: its storms' values.
pub(super) type Size = (f64, Vec<f64>);

/// A fitted bend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bend {
    pub(super) knee: f64,
    /// Level before it.
    pub(super) flat: f64,
    /// Growth per instance behind it.
    pub(super) slope: f64,
    error: f64,
}

impl Bend {
    /// The model's value at `size`.
    pub(super) fn at(&self, size: f64) -> f64 {
        self.flat + self.slope * (size - self.knee).max(0.0)
    }
}

/// The bend of a curve, and its knee with the interval, in instances.
pub(super) fn knee(sizes: &[Size], seed: u64) -> (Option<Bend>, Estimate) {
    let finite: Vec<Size> = sizes
        .iter()
        .map(|(size, values)| {
            (*size, values.iter().copied().filter(|value| value.is_finite()).collect::<Vec<_>>())
        })
        .filter(|(_, values)| !values.is_empty())
        .collect();
    if finite.len() < FEWEST_SIZES {
        return (None, Estimate::none(format!("a knee needs {FEWEST_SIZES} sizes, has {}", finite.len())));
    }
    let all = |sizes: &[Size]| -> Vec<(f64, f64)> {
        sizes.iter().flat_map(|(size, values)| values.iter().map(|value| (*size, *value))).collect()
    };
    let grid = grid(&finite.iter().map(|(size, _)| *size).collect::<Vec<_>>());
    let Some(bend) = fit(&all(&finite), &grid) else {
        return (None, Estimate::none("latency does not grow with the size of the storm"));
    };
    if finite.iter().any(|(_, values)| values.len() < 2) {
        let reason = "an interval needs 2 storms at each size".into();
        return (Some(bend), Estimate { value: Some(bend.knee), reason, ..Estimate::default() });
    }
    let mut rng = StdRng::seed_from_u64(seed);
    let knees: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            let resample: Vec<(f64, f64)> = finite
                .iter()
                .flat_map(|(size, values)| {
                    let picked: Vec<f64> =
                        values.iter().map(|_| values[rng.random_range(0..values.len())]).collect();
                    picked.into_iter().map(move |value| (*size, value))
                })
                .collect();
            fit(&resample, &grid).map(|bend| bend.knee)
        })
        .collect();
    let knees = sorted(knees);
    let tail = (1.0 - CONFIDENCE) / 2.0;
    // Resampling n values understates their variance by (n − 1)/n, and the grid has its own step.
    let fewest = finite.iter().map(|(_, values)| values.len()).min().unwrap_or(2) as f64;
    let wider = (fewest / (fewest - 1.0)).sqrt();
    let step = grid.windows(2).map(|pair| pair[1] / pair[0]).fold(1.0, f64::max);
    let away = |end: Option<f64>| end.map(|end| bend.knee * (end / bend.knee).powf(wider));
    let estimate = Estimate {
        value: Some(bend.knee),
        low: away(quantile(&knees, tail).map(|low| low.min(bend.knee) / step)),
        high: away(quantile(&knees, 1.0 - tail).map(|high| high.max(bend.knee) * step)),
        reason: String::new(),
    };
    (Some(bend), estimate)
}

/// Candidates, evenly spread on the log scale between neighbouring sizes. Not the last size: no
/// curve bends where it ends.
fn grid(sizes: &[f64]) -> Vec<f64> {
    sizes
        .windows(2)
        .flat_map(|pair| {
            let ratio = pair[1] / pair[0];
            let from = pair[0];
            (0..BETWEEN).map(move |step| from * ratio.powf(f64::from(step) / f64::from(BETWEEN)))
        })
        .collect()
}

/// The best bend; `None` where nothing grows.
fn fit(points: &[(f64, f64)], grid: &[f64]) -> Option<Bend> {
    let largest = points.iter().map(|(size, _)| *size).fold(0.0, f64::max);
    grid.iter()
        .filter_map(|knee| bend_at(points, *knee))
        .filter(|bend| bend.at(largest) > bend.flat * (1.0 + LEAST_GROWTH))
        .min_by(|a, b| a.error.total_cmp(&b.error))
}

/// Weighted least squares of y on max(0, n − k) with weights 1/y².
fn bend_at(points: &[(f64, f64)], knee: f64) -> Option<Bend> {
    let (mut w, mut wx, mut wy, mut wxx, mut wxy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (size, value) in points {
        let (x, weight) = ((size - knee).max(0.0), 1.0 / (value * value));
        w += weight;
        wx += weight * x;
        wy += weight * value;
        wxx += weight * x * x;
        wxy += weight * x * value;
    }
    let determinant = w * wxx - wx * wx;
    if determinant <= 0.0 || !determinant.is_finite() {
        return None;
    }
    let slope = (w * wxy - wx * wy) / determinant;
    let flat = (wy - slope * wx) / w;
    let bend = Bend { knee, flat, slope, error: 0.0 };
    let error = points.iter().map(|(size, value)| (bend.at(*size) / value - 1.0).powi(2)).sum();
    Some(Bend { error, ..bend })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(knee: f64, noise: f64, seed: u64) -> Vec<Size> {
        let mut rng = StdRng::seed_from_u64(seed);
        [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
            .into_iter()
            .map(|size| {
                let level = 2.0 + 0.9 * f64::max(0.0, size - knee);
                let values = (0..5).map(|_| level * (1.0 + noise * (rng.random::<f64>() - 0.5))).collect();
                (size, values)
            })
            .collect()
    }

    #[test]
    fn a_known_knee_is_found_within_its_interval() {
        for (knee_at, seed) in [(2.0, 1), (4.0, 2), (6.0, 3)] {
            let (bend, estimate) = knee(&curve(knee_at, 0.1, seed), 7);
            let (low, high) = (estimate.low.expect("low"), estimate.high.expect("high"));
            assert!(low <= knee_at && knee_at <= high, "{knee_at}: {estimate:?}");
            assert!(high / low < 2.0, "{estimate:?}");
            assert!((bend.expect("bend").slope - 0.9).abs() < 0.1);
        }
    }

    #[test]
    fn intervals_of_two_runs_overlap() {
        for seed in 0..20 {
            let (_, first) = knee(&curve(4.0, 0.3, seed), 1);
            let (_, second) = knee(&curve(4.0, 0.3, seed + 100), 1);
            let value = second.value.expect("knee");
            let slack = 0.15 * value;
            assert!(
                first.low.expect("low") - slack <= value && value <= first.high.expect("high") + slack,
                "{first:?} {second:?}"
            );
        }
    }

    #[test]
    fn what_does_not_grow_has_no_knee_and_few_sizes_are_not_enough() {
        let flat: Vec<Size> = [1.0, 2.0, 4.0, 8.0].map(|size| (size, vec![3.0, 3.0])).to_vec();
        assert!(knee(&flat, 1).1.reason.contains("does not grow"), "{:?}", knee(&flat, 1));
        assert!(knee(&curve(2.0, 0.1, 1)[..3], 1).1.reason.contains("4 sizes"));
        let failing: Vec<Size> = [1.0, 2.0, 4.0, 8.0].map(|size| (size, vec![f64::INFINITY])).to_vec();
        assert!(knee(&failing, 1).1.value.is_none());
    }
}
