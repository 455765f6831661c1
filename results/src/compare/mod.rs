//! Base against head: a verdict for each backend and metric.
//!
//! One value a storm; the storms of both sides are tested by permutation, adjusted for the number
//! of metrics (Holm), and a change counts only where it is also larger than its floors and its
//! interval excludes them. What differs between the hosts or the scenarios is named, and nothing is
//! judged across it.

mod fingerprint;
mod judge;
mod quantity;
mod rules;
mod side;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use fingerprint::differences;
pub use judge::needed_storms;
pub use quantity::Quantity;
pub use rules::{Floor, FloorRule, IgnoreRule, Rules, matches};
pub use side::{Group, RunRef, Side, StormSample};

use crate::Error;
use crate::statistics::{Estimate, Permutation, holm};

/// Version of the format of comparisons and baselines.
pub const COMPARISON_SCHEMA_VERSION: u32 = 1;

/// What became of one metric of one backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Worse, by more than its floors.
    Regressed,
    /// Better, by more than its floors.
    Improved,
    /// Shown to be within its floors.
    Unchanged,
    /// These storms cannot tell.
    Inconclusive,
    /// The two sides are not of the same thing.
    Incomparable,
}

impl Verdict {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Regressed => "regressed",
            Verdict::Improved => "improved",
            Verdict::Unchanged => "unchanged",
            Verdict::Inconclusive => "inconclusive",
            Verdict::Incomparable => "incomparable",
        }
    }
}

/// A whole comparison: `comparison.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// Version of this format.
    pub schema_version: u32,
    /// What is compared with.
    pub base: SideRef,
    /// What is compared.
    pub head: SideRef,
    /// What one value is: `storm`, or `run` where both sides have enough of them.
    pub unit: Unit,
    /// Chance of a false alarm among all metrics together.
    pub alpha: f64,
    /// Seed of resamples and of random parts of assignments.
    pub seed: u64,
    /// One for each backend and metric.
    pub changes: Vec<Change>,
    /// What a rule leaves out.
    pub ignored: Vec<Ignored>,
    /// What a reader should know before believing a verdict.
    pub notes: Vec<String>,
}

/// One side, without its samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SideRef {
    /// What it was called.
    pub label: String,
    /// Its runs.
    pub runs: Vec<RunRef>,
}

/// What counts as one independent value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// A storm.
    Storm,
    /// A run: the median of its storms.
    Run,
}

impl Unit {
    /// The word for several.
    pub fn plural(self) -> &'static str {
        match self {
            Unit::Storm => "storms",
            Unit::Run => "runs",
        }
    }
}

/// One metric of one backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Backend.
    pub backend: String,
    /// Metric.
    pub metric: Quantity,
    /// The verdict.
    pub verdict: Verdict,
    /// Why, in a sentence.
    pub why: String,
    /// The base.
    pub base: Level,
    /// The head.
    pub head: Level,
    /// Head as a multiple of base; absent for shares.
    pub ratio: Estimate,
    /// Head less base, in the metric's unit (nanoseconds, or a share from 0 to 1).
    pub difference: Estimate,
    /// The test; absent where there was nothing to test.
    pub test: Option<Permutation>,
    /// Its p-value adjusted for the number of metrics.
    pub adjusted_p: Option<f64>,
    /// What a change must exceed.
    pub floor: Floor,
}

/// One side of a metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Level {
    /// Median over storms (mean for a share); absent where it falls among attempts that never got there.
    pub value: Option<f64>,
    /// Storms (or runs, where those are the unit).
    pub n: usize,
    /// Attempts.
    pub n_attempts: usize,
    /// One value each; null where it falls among attempts that never got there.
    pub values: Vec<Option<f64>>,
}

/// What a rule leaves out, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ignored {
    /// Backend.
    pub backend: String,
    /// Metric.
    pub metric: Quantity,
    /// The rule's reason.
    pub reason: String,
}

impl Comparison {
    /// Whether any metric has this verdict.
    pub fn has(&self, verdict: Verdict) -> bool {
        self.changes.iter().any(|change| change.verdict == verdict)
    }

    /// The worst there is: `regressed` before `incomparable` before `inconclusive` before the rest.
    pub fn overall(&self) -> Verdict {
        let order = [Verdict::Regressed, Verdict::Incomparable, Verdict::Inconclusive, Verdict::Improved];
        order.into_iter().find(|verdict| self.has(*verdict)).unwrap_or(Verdict::Unchanged)
    }
}

/// Compares `head` with `base` under `rules`.
///
/// # Errors
/// Where a rule matches nothing, or the sides have nothing at all to compare.
pub fn compare(base: &Side, head: &Side, rules: &Rules, seed: u64) -> Result<Comparison, Error> {
    let unit = side::unit(base, head);
    let (mut changes, mut ignored) = (Vec::new(), Vec::new());
    for (backend, quantity) in quantities(base, head, rules) {
        match rules.ignored(backend, quantity) {
            Some(reason) => {
                ignored.push(Ignored { backend: backend.into(), metric: quantity, reason: reason.into() });
            }
            None => changes.push(judge::measure(base, head, backend, quantity, unit, rules, seed)),
        }
    }
    rules.check_used(base, head)?;
    if changes.is_empty() && ignored.is_empty() {
        return Err(Error::Nothing { base: base.label.clone(), head: head.label.clone() });
    }
    // A test whose smallest attainable p is no smaller than α can raise no alarm and needs no
    // adjustment for it (Tarone 1990).
    let able = |change: &Change| change.test.is_some_and(|test| test.smallest_p < rules.alpha);
    let p_values: Vec<f64> =
        changes.iter().filter(|c| able(c)).filter_map(|c| c.test.map(|test| test.p)).collect();
    let mut adjusted = holm(&p_values).into_iter();
    for change in &mut changes {
        change.adjusted_p = able(change).then(|| adjusted.next()).flatten();
    }
    for change in &mut changes {
        judge::decide(change, p_values.len(), unit, rules);
    }
    Ok(Comparison {
        schema_version: COMPARISON_SCHEMA_VERSION,
        base: SideRef { label: base.label.clone(), runs: base.runs.clone() },
        head: SideRef { label: head.label.clone(), runs: head.runs.clone() },
        unit,
        alpha: rules.alpha,
        seed,
        changes,
        ignored,
        notes: side::notes(base, head, unit),
    })
}

/// Every backend and metric of either side that is to be judged.
fn quantities<'a>(base: &'a Side, head: &'a Side, rules: &Rules) -> Vec<(&'a str, Quantity)> {
    let mut all = Vec::new();
    for name in base.groups.keys().chain(head.groups.keys().filter(|name| !base.groups.contains_key(*name))) {
        for quantity in Quantity::ALL {
            let has = |side: &Side| side.groups.get(name).is_some_and(|group| group.has(quantity));
            if rules.metrics.contains(&quantity) && (has(base) || has(head)) {
                all.push((name.as_str(), quantity));
            }
        }
    }
    all
}
