//! Runs over time: is the newest odd, and since when is it so.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::compare::{Quantity, Side, matches};
use crate::folder::LoadedRun;
use crate::statistics::{ChangePoint, change_points, fences, quantile, sorted};

/// Runs before a value that its fence is made of.
const FENCE_RUNS: usize = 30;
/// Level of the t-test of change points.
const ALPHA: f64 = 0.001;
/// Relative change of a level below which it is none.
const FLOOR: f64 = 0.01;

/// One metric of one backend over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Series {
    /// Backend.
    pub backend: String,
    /// Metric.
    pub metric: Quantity,
    /// Its values, oldest first.
    pub points: Vec<Point>,
    /// Where it changed its level, within stretches that can be compared.
    pub changes: Vec<ChangePoint>,
}

/// The value of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// The run.
    pub run: String,
    /// When it began.
    pub began_at: String,
    /// Median over storms of their medians in nanoseconds (a mean of shares, 0 to 1).
    pub value: f64,
    /// Fence of the runs before it, Q1 − 3·IQR and Q3 + 3·IQR of the last 30; absent below four.
    pub fence: Option<(f64, f64)>,
    /// What differs from the run before, so that nothing is said across it.
    pub differs: Vec<String>,
}

impl Point {
    /// Whether it lies beyond its fence, and on which side: −1 below, 1 above.
    pub fn odd(&self) -> i8 {
        match self.fence {
            Some((low, _)) if self.value < low => -1,
            Some((_, high)) if self.value > high => 1,
            _ => 0,
        }
    }
}

/// The series of all backends and metrics that fit the patterns. Runs in which a metric fell among
/// attempts that never got there have no point in its series.
pub fn history(runs: &[LoadedRun], backend: &str, metrics: &[Quantity]) -> Vec<Series> {
    let sides: Vec<Side> =
        runs.iter().map(|run| Side::of_runs(&run.run.id, std::slice::from_ref(run))).collect();
    let mut names: BTreeSet<&String> = sides.iter().flat_map(|side| side.groups.keys()).collect();
    names.retain(|name| matches(backend, name));
    let mut all = Vec::new();
    for name in names {
        for metric in metrics {
            let series = series(&sides, name, *metric);
            if !series.points.is_empty() {
                all.push(series);
            }
        }
    }
    all
}

fn series(sides: &[Side], backend: &str, metric: Quantity) -> Series {
    let mut points: Vec<Point> = Vec::new();
    let mut stretch: Vec<f64> = Vec::new();
    let mut stretches: Vec<(usize, Vec<f64>)> = Vec::new();
    let mut before: Option<&BTreeMap<String, BTreeSet<String>>> = None;
    for side in sides {
        let (Some(group), Some(run)) = (side.groups.get(backend), side.runs.first()) else { continue };
        let Some(value) = group.value(metric) else { continue };
        let differs = before.map(|before| crate::compare::differences(before, &group.fingerprint));
        let differs = differs.unwrap_or_default();
        before = Some(&group.fingerprint);
        if !differs.is_empty() {
            stretches.push((points.len() - stretch.len(), std::mem::take(&mut stretch)));
        }
        let last = &stretch[stretch.len().saturating_sub(FENCE_RUNS)..];
        points.push(Point {
            run: run.id.clone(),
            began_at: run.began_at.clone(),
            value,
            fence: fences(&sorted(last.to_vec())).map(|fences| fences.far()),
            differs,
        });
        stretch.push(value);
    }
    stretches.push((points.len() - stretch.len(), stretch));
    let changes = stretches
        .iter()
        .flat_map(|(from, values)| {
            let found = change_points(values, ALPHA, FLOOR);
            found.into_iter().map(move |change| ChangePoint { index: from + change.index, ..change })
        })
        .collect();
    Series { backend: backend.into(), metric, points, changes }
}

impl crate::compare::Group {
    /// One value for all of it: median over storms of their medians, mean of shares.
    fn value(&self, quantity: Quantity) -> Option<f64> {
        let Some(metric) = quantity.metric() else {
            let attempts: usize = self.storms.iter().map(|storm| storm.attempts).sum();
            let never: usize = self.storms.iter().map(|storm| storm.not_ready).sum();
            return (attempts > 0).then(|| never as f64 / attempts as f64);
        };
        let medians = self.storms.iter().filter(|storm| !storm.latencies_ns.is_empty()).map(|storm| {
            let seen = storm.latencies_ns.get(&metric).cloned().unwrap_or_default();
            let never = std::iter::repeat_n(f64::INFINITY, storm.not_ready);
            let sample: Vec<f64> = seen.into_iter().chain(never).collect();
            quantile(&sorted(sample), 0.5).unwrap_or(f64::INFINITY)
        });
        quantile(&sorted(medians.collect()), 0.5)
    }
}
