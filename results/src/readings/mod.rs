//! What was asked of limits, shares and accounts, and what was measured: one case a row, over all
//! repetitions.

mod standing;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use standing::Standing;

use crate::folder::LoadedRun;
use crate::record::{Reading, ReadingOutcome};
use crate::statistics::{Estimate, mean};
use crate::text::{duration, percent, size};

/// One quantity of one case on one backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Case {
    /// Backend.
    pub backend: String,
    /// What was tried, as `cpu-quota`.
    pub mechanism: String,
    /// Under which circumstances.
    pub case: String,
    /// Whether the mechanism was off.
    pub control: bool,
    /// Who says so.
    pub by: String,
    /// Unit of the values.
    pub unit: String,
    /// What was asked; absent where it is only told.
    pub asked: Option<f64>,
    /// The least that counts as what was asked.
    pub least: Option<f64>,
    /// The most that counts as what was asked.
    pub most: Option<f64>,
    /// Repetitions in which it was measured.
    pub measured_n: usize,
    /// Repetitions in which that failed.
    pub failed_n: usize,
    /// Repetitions in which there was no such thing.
    pub not_applicable_n: usize,
    /// Mean over repetitions with Student's 95 % interval.
    pub measured: Estimate,
    /// By which share of what was asked it was off: 0.01 is 1 % too much. Absent where nothing, or
    /// zero, was asked.
    pub error_ratio: Estimate,
    /// What that says of the mechanism.
    pub standing: Standing,
    /// Why it failed or was not applicable, each reason once.
    pub reasons: Vec<String>,
}

/// Sums up `readings.csv`, in the order things were first tried on each backend; empty where there is
/// none.
pub fn summarize(run: &LoadedRun) -> Vec<Case> {
    let mut groups: Vec<Vec<&Reading>> = Vec::new();
    for row in &run.readings {
        let key = |row: &Reading| {
            (row.backend.clone(), row.mechanism.clone(), row.case.clone(), row.by.clone(), row.unit.clone())
        };
        match groups.iter_mut().find(|group| key(group[0]) == key(row)) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    let place = |name: &str| run.run.backends.iter().position(|one| one == name).unwrap_or(usize::MAX);
    let rank = |case: &Case| (place(&case.backend), mechanism_rank(run, &case.mechanism));
    let mut cases: Vec<Case> = groups.iter().map(|group| case(group)).collect();
    // Stable: the cases of a mechanism stay in the order they were tried.
    cases.sort_by_key(rank);
    standing::distrust_without_controls(&mut cases);
    cases
}

/// Repetitions come in random order; the plan has them in the order asked for.
fn mechanism_rank(run: &LoadedRun, name: &str) -> usize {
    let asked = run.run.plan.get("mechanisms").and_then(serde_json::Value::as_array);
    asked.and_then(|asked| asked.iter().position(|one| one == name)).unwrap_or(usize::MAX)
}

fn case(rows: &[&Reading]) -> Case {
    let first = rows[0];
    let values: Vec<f64> = rows.iter().filter_map(|row| row.measured).collect();
    let of = |outcome| rows.iter().filter(|row| row.outcome == outcome).count();
    let mut reasons: Vec<String> = Vec::new();
    for row in rows.iter().filter(|row| !row.reason.is_empty()) {
        if !reasons.contains(&row.reason) {
            reasons.push(row.reason.clone());
        }
    }
    let asked = first.asked.filter(|asked| *asked != 0.0);
    let errors: Vec<f64> =
        asked.iter().flat_map(|asked| values.iter().map(move |value| (value - asked) / asked)).collect();
    let mut case = Case {
        backend: first.backend.clone(),
        mechanism: first.mechanism.clone(),
        case: first.case.clone(),
        control: first.control,
        by: first.by.clone(),
        unit: first.unit.clone(),
        asked: first.asked,
        least: first.least,
        most: first.most,
        measured_n: values.len(),
        failed_n: of(ReadingOutcome::Failed),
        not_applicable_n: of(ReadingOutcome::NotApplicable),
        measured: mean(&values),
        error_ratio: if asked.is_some() { mean(&errors) } else { Estimate::none("nothing was asked") },
        standing: Standing::Told,
        reasons,
    };
    case.standing = standing::of(&case);
    case
}

/// A value in its unit.
pub fn value(number: f64, unit: &str) -> String {
    match unit {
        "bytes" => size(number),
        "bytes/s" => format!("{}/s", size(number)),
        "ns" => duration(number),
        "share" => percent(number),
        "cores" => format!("{number:.3} cores"),
        "times" => format!("{number:.3}"),
        _ => format!("{number:.1} {unit}"),
    }
}

/// A value with its interval, as far as there are any.
pub fn words(estimate: &Estimate, unit: &str) -> String {
    match (estimate.value, estimate.low, estimate.high) {
        (Some(mean), Some(low), Some(high)) => {
            format!("{} [{}, {}]", value(mean, unit), value(low, unit), value(high, unit))
        }
        (Some(mean), ..) => value(mean, unit),
        _ => "–".into(),
    }
}

#[cfg(test)]
mod tests;
