//! How storms grow: latency, throughput and stress at each point of a sweep, the knee of each curve,
//! and a model of more cores with its error.

mod knee;
mod model;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use model::Model;

use crate::folder::LoadedRun;
use crate::record::{Attempt, Outcome, Storm};
use crate::statistics::{Bootstrap, Estimate, mean, quantile, sorted, storm_median};
use crate::stress::{Measure, of_storm};

/// Name of the scenario whose storms are points of a sweep.
pub const SCENARIO: &str = "storm-sweep";

/// One curve: storms that differ in their size only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Curve {
    /// Backend.
    pub backend: String,
    /// Processors the instances could use.
    pub cores: u32,
    /// When attempts were due.
    pub arrival: String,
    /// `shared` image and warm cache, or `own` images and cold cache.
    pub images: String,
    /// Points by size.
    pub points: Vec<Point>,
    /// Instances at which latency begins to grow.
    pub knee_instances: Estimate,
    /// The same in starts per core.
    pub knee_starts_per_core: Estimate,
    /// What one more instance behind the knee adds to the median latency, in nanoseconds.
    pub growth_ns: Option<f64>,
}

/// One size of storm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// Attempts in a storm.
    pub instances: u32,
    /// Instances over cores.
    pub starts_per_core: f64,
    /// Storms that count.
    pub storms: usize,
    /// Attempts in them.
    pub attempts: usize,
    /// Attempts that did not get there.
    pub missed: usize,
    /// Due → what the storm waited for, in nanoseconds: median over storms of the storm medians.
    pub from_due_ns: Estimate,
    /// Begun → the same.
    pub from_started_ns: Estimate,
    /// Instances that got there a second, from the first due instant to the last one there.
    pub per_s: Estimate,
    /// Canary's median latency as a multiple of that between storms, median over storms.
    pub canary_slowdown: Option<f64>,
    /// Share of the time that something waited for a processor (PSI), median over storms.
    pub psi_cpu_ratio: Option<f64>,
    /// Share of the time that something waited for input or output (PSI), median over storms.
    pub psi_io_ratio: Option<f64>,
}

/// Storms of one curve by their size.
type Sizes<'a> = BTreeMap<u32, Vec<&'a Storm>>;

/// The curves of a sweep, and the models that carry them to more cores. Empty for other scenarios.
pub fn summarize(run: &LoadedRun) -> (Vec<Curve>, Vec<Model>) {
    if run.run.scenario != SCENARIO {
        return (Vec::new(), Vec::new());
    }
    let mut attempts: BTreeMap<u32, Vec<&Attempt>> = BTreeMap::new();
    for attempt in &run.attempts {
        attempts.entry(attempt.storm).or_default().push(attempt);
    }
    let mut curves: BTreeMap<(usize, u32, &str, &str), Sizes> = BTreeMap::new();
    for storm in run.storms.iter().filter(|storm| !storm.warmup) {
        let backend = run.run.backends.iter().position(|name| *name == storm.backend);
        let key = (backend.unwrap_or(usize::MAX), storm.cores, storm.arrival.as_str(), storm.images.as_str());
        curves.entry(key).or_default().entry(storm.instances).or_default().push(storm);
    }
    let curves: Vec<Curve> = curves
        .into_iter()
        .filter_map(|((_, cores, arrival, images), sizes)| {
            let backend = sizes.values().flatten().next()?.backend.clone();
            Some(curve(run, &attempts, backend, cores, arrival, images, &sizes))
        })
        .collect();
    let models = model::models(&curves);
    (curves, models)
}

#[allow(clippy::too_many_arguments)]
fn curve(
    run: &LoadedRun,
    attempts: &BTreeMap<u32, Vec<&Attempt>>,
    backend: String,
    cores: u32,
    arrival: &str,
    images: &str,
    sizes: &Sizes<'_>,
) -> Curve {
    let points: Vec<Point> =
        sizes.iter().map(|(instances, storms)| point(run, attempts, *instances, cores, storms)).collect();
    let medians: Vec<(f64, Vec<f64>)> = sizes
        .iter()
        .map(|(instances, storms)| {
            let values = storms.iter().filter_map(|storm| {
                quantile(&sorted(latencies(attempts.get(&storm.storm), Since::Due)), 0.5)
            });
            (f64::from(*instances), values.collect())
        })
        .collect();
    let (bend, knee) = knee::knee(&medians, run.run.seed);
    let per_core = |value: Option<f64>| value.map(|value| value / f64::from(cores.max(1)));
    Curve {
        backend,
        cores,
        arrival: arrival.to_owned(),
        images: images.to_owned(),
        points,
        knee_starts_per_core: Estimate {
            value: per_core(knee.value),
            low: per_core(knee.low),
            high: per_core(knee.high),
            reason: knee.reason.clone(),
        },
        knee_instances: knee,
        growth_ns: bend.map(|bend| bend.slope),
    }
}

fn point(
    run: &LoadedRun,
    attempts: &BTreeMap<u32, Vec<&Attempt>>,
    instances: u32,
    cores: u32,
    storms: &[&Storm],
) -> Point {
    let of = |since| -> Vec<Vec<f64>> {
        storms.iter().map(|storm| latencies(attempts.get(&storm.storm), since)).collect()
    };
    let rows = || storms.iter().filter_map(|storm| attempts.get(&storm.storm)).flatten();
    let mut bootstrap = Bootstrap::new(run.run.seed);
    let throughputs: Vec<f64> =
        storms.iter().filter_map(|storm| throughput(attempts.get(&storm.storm)?)).collect();
    let stress = |measure| {
        let values = storms.iter().filter_map(|storm| of_storm(run, measure, storm.storm)).collect();
        quantile(&sorted(values), 0.5)
    };
    Point {
        instances,
        starts_per_core: f64::from(instances) / f64::from(cores.max(1)),
        storms: storms.len(),
        attempts: rows().count(),
        missed: rows().filter(|row| row.outcome != Outcome::Ready).count(),
        from_due_ns: storm_median(&of(Since::Due), &mut bootstrap),
        from_started_ns: storm_median(&of(Since::Started), &mut bootstrap),
        per_s: mean(&throughputs),
        canary_slowdown: stress(Measure::CanarySlowdown),
        psi_cpu_ratio: stress(Measure::PsiCpu),
        psi_io_ratio: stress(Measure::PsiIo),
    }
}

#[derive(Clone, Copy)]
enum Since {
    Due,
    Started,
}

/// Latencies of a storm's attempts; one that did not get there is infinite.
fn latencies(rows: Option<&Vec<&Attempt>>, since: Since) -> Vec<f64> {
    rows.into_iter()
        .flatten()
        .map(|row| {
            let begin = match since {
                Since::Due => Some(row.scheduled_ns),
                Since::Started => row.started_ns,
            };
            let there = there_ns(row).zip(begin);
            there.map_or(f64::INFINITY, |(there, begin)| there.saturating_sub(begin) as f64)
        })
        .collect()
}

/// When the attempt had what the storm waited for.
fn there_ns(row: &Attempt) -> Option<u64> {
    (row.outcome == Outcome::Ready).then_some(row.serving_ns.or(row.ready_ns)?)
}

fn throughput(rows: &[&Attempt]) -> Option<f64> {
    let first = rows.iter().map(|row| row.scheduled_ns).min()?;
    let last = rows.iter().filter_map(|row| there_ns(row)).max()?;
    let there = rows.iter().filter(|row| there_ns(row).is_some()).count();
    (last > first).then(|| there as f64 * 1e9 / (last - first) as f64)
}

#[cfg(test)]
mod tests;
