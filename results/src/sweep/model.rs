//! From few cores to more: a model, marked as one, with its error where it can be checked.
//!
//! Model: median latency is a function of starts per core alone. It holds where instances wait for
//! processors and for nothing they all share; a lock, a disk or a memory bus makes it too kind. It
//! is checked by predicting the curve on the most cores from that on fewer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Curve;

/// Cores the model is carried to.
const MORE_CORES: [u32; 4] = [4, 8, 16, 48];

/// A curve on few cores, carried to more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Model {
    /// Backend.
    pub backend: String,
    /// When attempts were due.
    pub arrival: String,
    /// Where the files came from.
    pub images: String,
    /// Cores of the curve it rests on.
    pub from_cores: u32,
    /// Cores of the curve it was checked on; absent where there is only one.
    pub checked_on_cores: Option<u32>,
    /// Median of |predicted / measured − 1| over the held-out points.
    pub held_out_error_ratio: Option<f64>,
    /// Size of storm the predictions are for: the largest measured.
    pub instances: u32,
    /// Predicted median latency in nanoseconds, by cores.
    pub predicted_ns: Vec<(u32, f64)>,
}

/// A model for each backend, arrival and kind of image.
pub(super) fn models(curves: &[Curve]) -> Vec<Model> {
    let mut models: Vec<Model> = Vec::new();
    for curve in curves {
        let same = |other: &&Curve| {
            other.backend == curve.backend && other.arrival == curve.arrival && other.images == curve.images
        };
        let of_most = curves.iter().filter(same).max_by_key(|other| other.cores);
        let of_fewest = curves.iter().filter(same).min_by_key(|other| other.cores);
        let (Some(most), Some(fewest)) = (of_most, of_fewest) else { continue };
        if curve.cores != most.cores {
            continue;
        }
        let Some(instances) = most.points.iter().map(|point| point.instances).max() else { continue };
        let is_checked = fewest.cores < most.cores;
        models.push(Model {
            backend: curve.backend.clone(),
            arrival: curve.arrival.clone(),
            images: curve.images.clone(),
            from_cores: most.cores,
            checked_on_cores: is_checked.then_some(most.cores),
            held_out_error_ratio: is_checked.then(|| error(fewest, most)).flatten(),
            instances,
            predicted_ns: MORE_CORES
                .into_iter()
                .filter(|cores| *cores > most.cores)
                .filter_map(|cores| Some((cores, at(most, f64::from(instances) / f64::from(cores))?)))
                .collect(),
        });
    }
    models
}

/// Median error of predicting `held_out` from `known`.
fn error(known: &Curve, held_out: &Curve) -> Option<f64> {
    let errors = held_out.points.iter().filter_map(|point| {
        let measured = point.from_due_ns.value?;
        Some((at(known, point.starts_per_core)? / measured - 1.0).abs())
    });
    crate::statistics::quantile(&crate::statistics::sorted(errors.collect()), 0.5)
}

/// The curve at `starts_per_core`: between its points a straight line on log-log axes, below its
/// first point that point (an instance cannot be quicker than alone), above its last nothing.
fn at(curve: &Curve, starts_per_core: f64) -> Option<f64> {
    let points: Vec<(f64, f64)> = curve
        .points
        .iter()
        .filter_map(|point| Some((point.starts_per_core, point.from_due_ns.value?)))
        .collect();
    let first = points.first()?;
    if starts_per_core <= first.0 {
        return Some(first.1);
    }
    let pair = points.windows(2).find(|pair| pair[0].0 <= starts_per_core && starts_per_core <= pair[1].0)?;
    let share = (starts_per_core / pair[0].0).ln() / (pair[1].0 / pair[0].0).ln();
    Some((pair[0].1.ln() + share * (pair[1].1 / pair[0].1).ln()).exp())
}
