//! What measured values say of a mechanism.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Case;

/// What a case says of the mechanism.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "standing", content = "why", rename_all = "kebab-case")]
pub enum Standing {
    /// The whole interval counts as what was asked.
    Held,
    /// The whole interval lies outside of that.
    Missed,
    /// It cannot be said.
    Undetermined(String),
    /// Nothing was asked: a figure.
    Told,
    /// It should have been measured, and was not once.
    Failed,
    /// There is no such thing here.
    NotApplicable,
}

impl Standing {
    /// The word alone.
    pub fn word(&self) -> &'static str {
        match self {
            Standing::Held => "held",
            Standing::Missed => "missed",
            Standing::Undetermined(_) => "undetermined",
            Standing::Told => "–",
            Standing::Failed => "failed",
            Standing::NotApplicable => "n/a",
        }
    }
}

/// By the case's own values.
pub(super) fn of(case: &Case) -> Standing {
    if case.measured_n == 0 {
        return if case.failed_n > 0 { Standing::Failed } else { Standing::NotApplicable };
    }
    if case.least.is_none() && case.most.is_none() {
        return Standing::Told;
    }
    if case.failed_n > 0 {
        let of = case.failed_n + case.measured_n;
        return Standing::Undetermined(format!("{} of {of} repetitions failed", case.failed_n));
    }
    let (Some(low), Some(high)) = (case.measured.low, case.measured.high) else {
        return Standing::Undetermined(case.measured.reason.clone());
    };
    let (least, most) = (case.least.unwrap_or(f64::NEG_INFINITY), case.most.unwrap_or(f64::INFINITY));
    // The last digits of a mean of equal numbers are not the mechanism's.
    let slack = 1e-9 * (low.abs() + high.abs());
    if low >= least - slack && high <= most + slack {
        Standing::Held
    } else if high < least || low > most {
        Standing::Missed
    } else {
        Standing::Undetermined("the interval reaches beyond what counts as asked: more repetitions".into())
    }
}

/// What happens with the mechanism says something only where, without it, the opposite does.
pub(super) fn distrust_without_controls(cases: &mut [Case]) {
    let bad: Vec<(String, String, String)> = cases
        .iter()
        .filter(|case| case.control && case.standing != Standing::Held)
        .map(|case| (case.backend.clone(), case.mechanism.clone(), case.case.clone()))
        .collect();
    for case in cases.iter_mut().filter(|case| !case.control) {
        let control = bad
            .iter()
            .find(|(backend, mechanism, _)| *backend == case.backend && *mechanism == case.mechanism);
        let Some((.., control)) = control else { continue };
        if matches!(case.standing, Standing::Held | Standing::Missed) {
            case.standing = Standing::Undetermined(format!(
                "its control “{control}” did not show that the mechanism matters"
            ));
        }
    }
}
