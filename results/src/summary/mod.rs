//! `summary.json`: what a run says, per backend and metric, with the verdicts on its claims.

mod measure;
mod measured;
mod table;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::claims::{self, Finding};
use crate::density::{self, BackendDensity};
use crate::drill::{self, Recovery};
use crate::folder::LoadedRun;
use crate::isolation::{self, BackendChecks};
use crate::portability::{self, Portability};
use crate::readings::{self, Case};
use crate::record::{Outcome, SCHEMA_VERSION};
use crate::statistics::{Estimate, Outliers};
use crate::sweep::{self, Curve, Model};

pub use measure::Metric;
pub use measured::Measured;
pub use table::{Row, table};

pub(crate) use measure::{Storms, storms_of};

/// What a run says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Summary {
    /// Version of the run folder's format.
    pub schema_version: u32,
    /// Identifier of the run.
    pub id: String,
    /// Scenario.
    pub scenario: String,
    /// Whether the run came to its planned end.
    pub complete: bool,
    /// Rows of `attempts.csv`; the backends' attempts of all kinds add up to it.
    pub attempts: usize,
    /// Per backend, in the order asked for.
    pub backends: Vec<BackendSummary>,
    /// Backends that were left out, with the reason.
    pub unavailable: BTreeMap<String, String>,
    /// What one more instance costs in memory; empty where the scenario looks at none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub density: Vec<BackendDensity>,
    /// Curves of a storm sweep; empty for other scenarios.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sweep: Vec<Curve>,
    /// The curves carried to more cores: a model, with its error where it could be checked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sweep_models: Vec<Model>,
    /// What failures cost; empty where nothing failed on purpose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recoveries: Vec<Recovery>,
    /// What the checks of isolation came to, per backend; empty for other scenarios.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub isolation: Vec<BackendChecks>,
    /// What was carried where; absent where nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portability: Option<Portability>,
    /// What was asked of limits, shares and accounts, and what was measured; empty for other scenarios.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readings: Vec<Case>,
    /// Verdicts.
    pub claims: Vec<Finding>,
    /// What a reader should know before believing a number.
    pub warnings: Vec<String>,
}

impl Summary {
    /// Whether the storms of a backend are like each other: medians over storms of many sizes, or of
    /// instances with many limits, would say nothing.
    pub fn has_like_storms(&self) -> bool {
        self.sweep.is_empty() && self.readings.is_empty()
    }
}

/// How many attempts ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Outcomes {
    /// Reached what the storm waited for.
    pub ready: usize,
    /// Could not be started, or ended before.
    pub failed: usize,
    /// Deadline passed.
    pub timeout: usize,
    /// The user interrupted.
    pub killed: usize,
}

impl Outcomes {
    /// One more.
    pub fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Ready => self.ready += 1,
            Outcome::Failed => self.failed += 1,
            Outcome::Timeout => self.timeout += 1,
            Outcome::Killed => self.killed += 1,
        }
    }

    /// All of them.
    pub fn total(&self) -> usize {
        self.ready + self.failed + self.timeout + self.killed
    }
}

/// One backend of a run. `counted + warmup + interrupted` are all its rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct BackendSummary {
    /// Its name.
    pub backend: String,
    /// Storms that count.
    pub storms: usize,
    /// Outcomes of their attempts.
    pub counted: Outcomes,
    /// Warm-up storms: kept, not counted.
    pub warmup_storms: usize,
    /// Outcomes of their attempts.
    pub warmup: Outcomes,
    /// Storms the end of the run cut short: their quick attempts are in, their slow ones are not,
    /// so they count nowhere.
    pub interrupted_storms: usize,
    /// Outcomes of their attempts.
    pub interrupted: Outcomes,
    /// By [`Metric`]; one that does not apply is left out.
    pub metrics: BTreeMap<Metric, MetricSummary>,
    /// Phases in the order they come, over the counted attempts that got ready.
    pub phases: Vec<PhaseSummary>,
    /// What else was measured, over the counted attempts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measures: Vec<Measured>,
    /// Distinct errors with how often each was said, most frequent first.
    pub errors: Vec<(String, usize)>,
}

/// One metric of one backend. All values in nanoseconds but the ratio.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct MetricSummary {
    /// Attempts: observed and censored.
    pub n_attempts: usize,
    /// Attempts that failed or timed out: right-censored.
    pub n_censored: usize,
    /// Storms.
    pub n_storms: usize,
    /// `p50` to `p99.9` over all attempts: the shape.
    pub percentiles: BTreeMap<String, Estimate>,
    /// Median of each storm; `None` where it falls among censored attempts.
    pub storms: Vec<StormValue>,
    /// Median of the storms' medians with its interval over storms: what inference rests on.
    pub storm_median: Estimate,
    /// By how much it is above `process` (Hodges–Lehmann over storms).
    pub above_process: Estimate,
    /// How many times `process` it is (bootstrap over storms, then instances).
    pub times_process: Estimate,
    /// Labelled, never dropped.
    pub outliers: Outliers,
}

/// One storm's value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StormValue {
    /// Its number.
    pub storm: u32,
    /// Attempts in it.
    pub n_attempts: usize,
    /// Median.
    pub median_ns: Option<f64>,
}

/// One phase of one backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PhaseSummary {
    /// Its name.
    pub phase: String,
    /// Attempts that have it.
    pub n_attempts: usize,
    /// Median duration over those.
    pub median_ns: f64,
}

/// Sums up a run.
pub fn summarize(run: &LoadedRun) -> Summary {
    let storms = storms_of(run);
    let backends = measure::backends(run, &storms);
    let mut warnings: Vec<String> = run.warnings.iter().chain(&run.run.warnings).cloned().collect();
    warnings.extend(measure::warnings(run, &backends));
    let (curves, models) = sweep::summarize(run);
    let mut summary = Summary {
        schema_version: SCHEMA_VERSION,
        id: run.run.id.clone(),
        scenario: run.run.scenario.clone(),
        complete: run.run.complete,
        attempts: run.attempts.len(),
        backends,
        density: density::summarize(run),
        sweep: curves,
        sweep_models: models,
        recoveries: drill::summarize(run),
        isolation: isolation::summarize(run),
        portability: portability::summarize(&run.matrix, &portability::natives(&run.run.configs)),
        readings: readings::summarize(run),
        unavailable: run.run.unavailable.clone(),
        claims: Vec::new(),
        warnings,
    };
    summary.claims = claims::judge(run, &summary, &storms);
    summary
}
