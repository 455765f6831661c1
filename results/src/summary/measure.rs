//! From rows to the numbers of a backend.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::measured;
use super::{BackendSummary, MetricSummary, Outcomes, PhaseSummary, StormValue};
use crate::folder::LoadedRun;
use crate::record::{Attempt, Outcome};
use crate::statistics::{
    Bootstrap, Estimate, outliers, percentile, quantile, shift, sorted, storm_median, storm_ratio,
};

/// Percentiles reported, by name.
const PERCENTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999)];

/// Backend everything is compared with.
const FLOOR: &str = "process";

/// A latency of an attempt.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Due → first instruction of the workload: what a user waits.
    ReadyFromScheduled,
    /// Begun → first instruction of the workload: what the backend takes.
    ReadyFromStarted,
    /// Due → first answer.
    ServingFromScheduled,
    /// Begun → first answer.
    ServingFromStarted,
}

impl Metric {
    /// All of them.
    pub const ALL: [Metric; 4] = [
        Metric::ReadyFromScheduled,
        Metric::ReadyFromStarted,
        Metric::ServingFromScheduled,
        Metric::ServingFromStarted,
    ];

    /// Its name, as in `summary.json`.
    pub fn name(self) -> &'static str {
        match self {
            Metric::ReadyFromScheduled => "ready-from-scheduled",
            Metric::ReadyFromStarted => "ready-from-started",
            Metric::ServingFromScheduled => "serving-from-scheduled",
            Metric::ServingFromStarted => "serving-from-started",
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Metric::ReadyFromScheduled => "due → ready",
            Metric::ReadyFromStarted => "start → ready",
            Metric::ServingFromScheduled => "due → serving",
            Metric::ServingFromStarted => "start → serving",
        }
    }

    /// Its value in nanoseconds; `None` where the attempt did not get there.
    pub fn of(self, attempt: &Attempt) -> Option<u64> {
        if attempt.outcome != Outcome::Ready {
            return None;
        }
        let (begin, end) = match self {
            Metric::ReadyFromScheduled => (Some(attempt.scheduled_ns), attempt.ready_ns),
            Metric::ReadyFromStarted => (attempt.started_ns, attempt.ready_ns),
            Metric::ServingFromScheduled => (Some(attempt.scheduled_ns), attempt.serving_ns),
            Metric::ServingFromStarted => (attempt.started_ns, attempt.serving_ns),
        };
        end?.checked_sub(begin?)
    }
}

/// The storms of one backend by kind, each a list of its attempts.
#[derive(Debug, Default)]
pub(crate) struct Storms<'a> {
    pub counted: BTreeMap<u32, Vec<&'a Attempt>>,
    pub warmup: BTreeMap<u32, Vec<&'a Attempt>>,
    pub interrupted: BTreeMap<u32, Vec<&'a Attempt>>,
}

/// Storms by backend.
pub(crate) fn storms_of(run: &LoadedRun) -> BTreeMap<&str, Storms<'_>> {
    let mut all: BTreeMap<(&str, u32), Vec<&Attempt>> = BTreeMap::new();
    for attempt in &run.attempts {
        all.entry((&attempt.backend, attempt.storm)).or_default().push(attempt);
    }
    let planned = run.run.plan.get("instances").and_then(serde_json::Value::as_u64);
    let last = run.attempts.iter().map(|attempt| attempt.storm).max();
    let mut storms: BTreeMap<&str, Storms> = BTreeMap::new();
    for ((backend, storm), attempts) in all {
        let cut_short = match planned {
            Some(planned) => (attempts.len() as u64) < planned,
            None => Some(storm) == last,
        };
        let interrupted = attempts.iter().any(|attempt| attempt.outcome == Outcome::Killed)
            || (!run.run.complete && cut_short);
        let of_backend = storms.entry(backend).or_default();
        let kind = if run.run.warmup_storms.contains(&storm) {
            &mut of_backend.warmup
        } else if interrupted {
            &mut of_backend.interrupted
        } else {
            &mut of_backend.counted
        };
        kind.insert(storm, attempts);
    }
    storms
}

/// One sample a storm; attempts that did not get there are infinite.
fn sample(storms: &Storms, metric: Metric) -> Vec<Vec<f64>> {
    storms
        .counted
        .values()
        .map(|storm| storm.iter().map(|one| metric.of(one).map_or(f64::INFINITY, |ns| ns as f64)).collect())
        .collect()
}

pub(super) fn backends(run: &LoadedRun, storms: &BTreeMap<&str, Storms>) -> Vec<BackendSummary> {
    let mut names: Vec<&str> = run.run.backends.iter().map(String::as_str).collect();
    let asked: HashSet<&str> = names.iter().copied().collect();
    names.extend(storms.keys().filter(|name| !asked.contains(*name)));
    let none = Storms::default();
    let phases = phases_by_backend(run, storms);
    names
        .into_iter()
        .filter(|name| storms.contains_key(name) || !run.run.unavailable.contains_key(*name))
        .map(|name| {
            let of_backend = storms.get(name).unwrap_or(&none);
            BackendSummary {
                backend: name.to_owned(),
                storms: of_backend.counted.len(),
                counted: outcomes(&of_backend.counted),
                warmup_storms: of_backend.warmup.len(),
                warmup: outcomes(&of_backend.warmup),
                interrupted_storms: of_backend.interrupted.len(),
                interrupted: outcomes(&of_backend.interrupted),
                metrics: Metric::ALL
                    .into_iter()
                    .filter(|metric| {
                        let mut attempts = of_backend.counted.values().flatten();
                        attempts.any(|one| metric.of(one).is_some())
                            || (*metric == Metric::ReadyFromScheduled && !of_backend.counted.is_empty())
                    })
                    .map(|metric| (metric, measure(metric, of_backend, storms.get(FLOOR), run.run.seed)))
                    .collect(),
                phases: phases.get(name).cloned().unwrap_or_default(),
                measures: measured::of_backend(run, of_backend, name),
                errors: errors(of_backend),
            }
        })
        .collect()
}

fn measure(metric: Metric, storms: &Storms, floor: Option<&Storms>, seed: u64) -> MetricSummary {
    let by_storm = sample(storms, metric);
    let all = sorted(by_storm.iter().flatten().copied().collect());
    let median = |storm: &Vec<f64>| quantile(&sorted(storm.clone()), 0.5);
    let medians =
        |storms: &[Vec<f64>]| storms.iter().map(|s| median(s).unwrap_or(f64::INFINITY)).collect::<Vec<_>>();
    let mut bootstrap = Bootstrap::new(seed);
    let (above_process, times_process) = match floor.map(|floor| sample(floor, metric)) {
        Some(floor) if !floor.is_empty() => {
            (shift(&medians(&by_storm), &medians(&floor)), storm_ratio(&by_storm, &floor, &mut bootstrap))
        }
        _ => (
            Estimate::none("no counted storm of process in this run"),
            Estimate::none("no counted storm of process in this run"),
        ),
    };
    MetricSummary {
        n_attempts: all.len(),
        n_censored: all.iter().filter(|value| value.is_infinite()).count(),
        n_storms: by_storm.len(),
        percentiles: PERCENTILES.iter().map(|(name, p)| ((*name).to_owned(), percentile(&all, *p))).collect(),
        storms: storms
            .counted
            .keys()
            .zip(&by_storm)
            .map(|(storm, values)| StormValue {
                storm: *storm,
                n_attempts: values.len(),
                median_ns: median(values),
            })
            .collect(),
        storm_median: storm_median(&by_storm, &mut bootstrap),
        above_process,
        times_process,
        outliers: outliers(&all),
    }
}

fn outcomes(storms: &BTreeMap<u32, Vec<&Attempt>>) -> Outcomes {
    let mut outcomes = Outcomes::default();
    storms.values().flatten().for_each(|attempt| outcomes.add(attempt.outcome));
    outcomes
}

fn errors(storms: &Storms) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for attempt in [&storms.counted, &storms.warmup, &storms.interrupted]
        .into_iter()
        .flat_map(BTreeMap::values)
        .flatten()
    {
        if !attempt.error.is_empty() {
            *counts.entry(&attempt.error).or_default() += 1;
        }
    }
    let mut errors: Vec<(String, usize)> = counts.into_iter().map(|(text, n)| (text.to_owned(), n)).collect();
    errors.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    errors
}

/// Median phases of the counted, ready attempts, in the order of their mean begin.
fn phases_by_backend(run: &LoadedRun, storms: &BTreeMap<&str, Storms>) -> HashMap<String, Vec<PhaseSummary>> {
    let mut starts: HashMap<(u32, &str, u32), u64> = HashMap::new();
    for (backend, of_backend) in storms {
        for attempt in of_backend.counted.values().flatten() {
            if let (Outcome::Ready, Some(started)) = (attempt.outcome, attempt.started_ns) {
                starts.insert((attempt.storm, backend, attempt.instance), started);
            }
        }
    }
    // Durations and summed offsets from the attempt's start, by backend and phase.
    let mut found: BTreeMap<(&str, &str), (Vec<f64>, f64)> = BTreeMap::new();
    for phase in &run.phases {
        if let Some(started) = starts.get(&(phase.storm, phase.backend.as_str(), phase.instance)) {
            let (durations, offset) = found.entry((&phase.backend, &phase.phase)).or_default();
            durations.push((phase.end_ns - phase.begin_ns) as f64);
            *offset += phase.begin_ns.saturating_sub(*started) as f64;
        }
    }
    let mut ordered: HashMap<String, Vec<(f64, PhaseSummary)>> = HashMap::new();
    for ((backend, phase), (durations, offset)) in found {
        let n_attempts = durations.len();
        let Some(median_ns) = quantile(&sorted(durations), 0.5) else { continue };
        let summary = PhaseSummary { phase: phase.to_owned(), n_attempts, median_ns };
        ordered.entry(backend.to_owned()).or_default().push((offset / n_attempts as f64, summary));
    }
    ordered
        .into_iter()
        .map(|(backend, mut phases)| {
            phases.sort_by(|a, b| a.0.total_cmp(&b.0));
            (backend, phases.into_iter().map(|(_, phase)| phase).collect())
        })
        .collect()
}

/// Gap or overlap of an attempt's phases from which on it is told (METHOD: they tile within 1 ms).
const TILING_NS: u64 = 1_000_000;

/// What does not add up in the rows.
pub(super) fn warnings(run: &LoadedRun, backends: &[BackendSummary]) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut covered: HashMap<(u32, &str, u32), u64> = HashMap::new();
    for phase in &run.phases {
        *covered.entry((phase.storm, phase.backend.as_str(), phase.instance)).or_default() +=
            phase.end_ns - phase.begin_ns;
    }
    let mut untiled = 0;
    for attempt in run.attempts.iter().filter(|attempt| attempt.outcome == Outcome::Ready) {
        let key = (attempt.storm, attempt.backend.as_str(), attempt.instance);
        if let (Some(covered), Some(total)) = (covered.get(&key), Metric::ReadyFromStarted.of(attempt)) {
            untiled += usize::from(covered.abs_diff(total) > TILING_NS);
        }
    }
    if untiled > 0 {
        warnings.push(format!("the phases of {untiled} attempts do not add up to start → ready within 1 ms"));
    }
    for backend in backends.iter().filter(|backend| backend.storms > 0 && backend.counted.ready == 0) {
        warnings.push(format!("not one counted attempt of {} got ready", backend.backend));
    }
    warnings
}
