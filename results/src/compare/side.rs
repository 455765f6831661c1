//! One side of a comparison: the storms of one or several runs. It is also what a baseline file
//! holds, so that a repository can carry what it is measured against.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fingerprint::{self, Fingerprint};
use super::{COMPARISON_SCHEMA_VERSION, Quantity, Unit};
use crate::Error;
use crate::folder::LoadedRun;
use crate::record::Outcome;
use crate::statistics::sorted;
use crate::summary::{Metric, storms_of};

/// Runs a side from which on the run is the unit: below, a permutation of runs can find nothing.
const FEWEST_RUNS: usize = 5;
/// Latencies kept of a storm; of more, as many evenly spaced order statistics.
const MOST_KEPT: usize = 1000;

/// One side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Side {
    /// Version of this format.
    pub schema_version: u32,
    /// What it is called.
    pub label: String,
    /// Its runs, oldest first.
    pub runs: Vec<RunRef>,
    /// By backend.
    pub groups: BTreeMap<String, Group>,
    /// What was said of its runs in reading them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A run of a side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunRef {
    /// Identifier.
    pub id: String,
    /// When it began.
    pub began_at: String,
    /// Scenario.
    pub scenario: String,
    /// Whether it came to its planned end.
    pub complete: bool,
}

/// The storms of one backend.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    /// What must be the same on both sides.
    pub fingerprint: Fingerprint,
    /// Hashes of its launch configurations.
    pub configs: BTreeSet<String>,
    /// Storms that count.
    pub storms: Vec<StormSample>,
}

/// One storm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StormSample {
    /// Index of its run within the side.
    pub run: usize,
    /// Its number.
    pub storm: u32,
    /// Attempts in it.
    pub attempts: usize,
    /// Those that never got there: right-censored in every latency.
    pub not_ready: usize,
    /// Latencies in nanoseconds of those that did, ascending.
    pub latencies_ns: BTreeMap<Metric, Vec<f64>>,
}

impl Side {
    /// The counted storms of `runs`.
    pub fn of_runs(label: &str, runs: &[LoadedRun]) -> Side {
        let mut runs: Vec<&LoadedRun> = runs.iter().collect();
        runs.sort_by(|a, b| (&a.run.began_at, &a.run.id).cmp(&(&b.run.began_at, &b.run.id)));
        let mut side = Side {
            schema_version: COMPARISON_SCHEMA_VERSION,
            label: label.into(),
            runs: Vec::new(),
            groups: BTreeMap::new(),
            warnings: Vec::new(),
        };
        for run in runs {
            side.add(run, None);
        }
        side
    }

    /// One contender of a session that pitted launch configurations against each other: what
    /// differs between them is on purpose, so that there is no fingerprint.
    pub fn of_contender(label: &str, run: &LoadedRun, contender: &str, group: &str) -> Side {
        let mut side = Side::of_runs(label, &[]);
        side.add(run, Some(contender));
        side.groups = side
            .groups
            .into_values()
            .map(|found| (group.to_owned(), Group { fingerprint: Fingerprint::new(), ..found }))
            .collect();
        side
    }

    fn add(&mut self, run: &LoadedRun, only: Option<&str>) {
        let index = self.runs.len();
        self.runs.push(RunRef {
            id: run.run.id.clone(),
            began_at: run.run.began_at.clone(),
            scenario: run.run.scenario.clone(),
            complete: run.run.complete,
        });
        let said = run.warnings.iter().chain(&run.run.warnings);
        self.warnings.extend(said.map(|warning| format!("run {}: {warning}", run.run.id)));
        for (backend, storms) in storms_of(run) {
            if only.is_some_and(|only| only != backend) {
                continue;
            }
            let group = self.groups.entry(backend.to_owned()).or_default();
            let attempts = storms.counted.values().flatten();
            let configs: BTreeSet<&str> = attempts.map(|attempt| attempt.config.as_str()).collect();
            for config in configs {
                fingerprint::add(&mut group.fingerprint, run, backend, config);
                group.configs.insert(config.to_owned());
            }
            for (storm, attempts) in storms.counted {
                let latencies = |metric: Metric| {
                    let values = attempts.iter().filter_map(|one| metric.of(one)).map(|ns| ns as f64);
                    thinned(sorted(values.collect()))
                };
                group.storms.push(StormSample {
                    run: index,
                    storm,
                    attempts: attempts.len(),
                    not_ready: attempts.iter().filter(|one| one.outcome != Outcome::Ready).count(),
                    latencies_ns: Metric::ALL
                        .into_iter()
                        .map(|metric| (metric, latencies(metric)))
                        .filter(|(_, values)| !values.is_empty())
                        .collect(),
                });
            }
        }
    }

    /// Reads a baseline file.
    ///
    /// # Errors
    /// A file that cannot be read, is of a newer format, or no baseline.
    pub fn load(path: &Path) -> Result<Side, Error> {
        let text = fs::read(path).map_err(Error::system("read", path))?;
        let invalid = |what: String| Error::Invalid { path: path.to_owned(), what };
        let value: serde_json::Value =
            serde_json::from_slice(&text).map_err(|refused| invalid(format!("is no baseline: {refused}")))?;
        let version = value.get("schema_version").and_then(serde_json::Value::as_u64);
        if let Some(found) = version.filter(|found| *found > u64::from(COMPARISON_SCHEMA_VERSION)) {
            return Err(Error::Newer { path: path.to_owned(), found, supported: COMPARISON_SCHEMA_VERSION });
        }
        let side: Side =
            serde_json::from_value(value).map_err(|refused| invalid(format!("is no baseline: {refused}")))?;
        for storm in side.groups.values().flat_map(|group| &group.storms) {
            let ascending = |values: &Vec<f64>| values.windows(2).all(|pair| pair[0] <= pair[1]);
            let too_many =
                storm.latencies_ns.values().any(|values| values.len() + storm.not_ready > storm.attempts);
            if storm.run >= side.runs.len() || too_many || !storm.latencies_ns.values().all(ascending) {
                return Err(invalid(format!("storm {} does not add up", storm.storm)));
            }
        }
        Ok(side)
    }

    /// Writes a baseline file.
    ///
    /// # Errors
    /// What the system said.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let mut text = serde_json::to_vec(self)
            .map_err(|refused| Error::Invalid { path: path.to_owned(), what: refused.to_string() })?;
        text.push(b'\n');
        crate::folder::replace(path, &text)
    }
}

impl Group {
    /// Whether it has values of a quantity.
    pub fn has(&self, quantity: Quantity) -> bool {
        match quantity.metric() {
            None => !self.storms.is_empty(),
            Some(metric) => self.storms.iter().any(|storm| storm.latencies_ns.contains_key(&metric)),
        }
    }

    /// One sample a unit; ∞ for what never got there.
    pub(super) fn samples(&self, quantity: Quantity, unit: Unit) -> Vec<Vec<f64>> {
        let of_storm = |storm: &StormSample| match quantity.metric() {
            None => vec![storm.not_ready as f64 / storm.attempts.max(1) as f64],
            Some(metric) => {
                let seen = storm.latencies_ns.get(&metric).cloned().unwrap_or_default();
                // Of a thinned storm, the censored are thinned alike.
                let observed = storm.attempts - storm.not_ready;
                let kept = if observed > 0 { seen.len() as f64 / observed as f64 } else { 1.0 };
                let never = (storm.not_ready as f64 * kept.min(1.0)).round() as usize;
                seen.into_iter().chain(std::iter::repeat_n(f64::INFINITY, never)).collect()
            }
        };
        match unit {
            Unit::Storm => self.storms.iter().map(of_storm).collect(),
            Unit::Run => {
                let mut runs: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
                for storm in &self.storms {
                    runs.entry(storm.run).or_default().push(super::judge::median(of_storm(storm)));
                }
                runs.into_values().collect()
            }
        }
    }

    /// Attempts of all storms.
    pub(super) fn attempts(&self) -> usize {
        self.storms.iter().map(|storm| storm.attempts).sum()
    }
}

/// Evenly spaced order statistics of a sorted sample that is too long to keep.
fn thinned(values: Vec<f64>) -> Vec<f64> {
    if values.len() <= MOST_KEPT {
        return values;
    }
    (0..MOST_KEPT).map(|i| values[(2 * i + 1) * values.len() / (2 * MOST_KEPT)]).collect()
}

/// Runs differ from each other by more than their storms do; where there are enough of them they
/// are what is compared.
pub(super) fn unit(base: &Side, head: &Side) -> Unit {
    match base.runs.len().min(head.runs.len()) >= FEWEST_RUNS {
        true => Unit::Run,
        false => Unit::Storm,
    }
}

/// What a reader should know.
pub(super) fn notes(base: &Side, head: &Side, unit: Unit) -> Vec<String> {
    let one_session = base.runs == head.runs;
    let of_head = head.warnings.iter().filter(|_| !one_session);
    let mut notes: Vec<String> = base.warnings.iter().chain(of_head).cloned().collect();
    if !one_session && unit == Unit::Storm {
        notes.push(
            "base and head were measured in separate sessions, between which a host may drift: bench ab \
             interleaves them in one"
                .into(),
        );
    }
    let newest = base.runs.iter().map(|run| &run.began_at).max();
    let oldest = head.runs.iter().map(|run| &run.began_at).min();
    if !one_session
        && let (Some(newest), Some(oldest)) = (newest, oldest)
        && oldest < newest
    {
        notes.push(format!("the head began at {oldest}, before the base at {newest}: are they mixed up?"));
    }
    for (name, group) in &base.groups {
        if let Some(other) = head.groups.get(name)
            && !group.fingerprint.is_empty()
            && group.configs != other.configs
        {
            notes
                .push(format!("{name} was not launched in the same way on both sides (configs in run.json)"));
        }
    }
    notes
}
