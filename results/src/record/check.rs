//! `checks.csv`: what keeps apart, and what does not.

use serde::{Deserialize, Serialize};

/// What a check says of a backend.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum CheckVerdict {
    /// Kept apart, as expected, and all controls say that the check would have noticed otherwise.
    Pass,
    /// Seen, reached or changed through.
    Leak,
    /// Seen, reached or changed through, as is said of this kind of backend.
    #[serde(rename = "shared by design")]
    SharedByDesign,
    /// What the check looks at does not exist on this host.
    #[serde(rename = "n/a")]
    NotApplicable,
    /// Kept apart, but not for the reason that would show it.
    #[serde(rename = "wrong reason")]
    WrongReason,
    /// The control with the mechanism removed did not leak either: the check sees nothing.
    Blind,
    /// The probe, the plant or the witness did not do its work.
    Broken,
}

impl CheckVerdict {
    /// As in `checks.csv`.
    pub fn word(self) -> &'static str {
        match self {
            CheckVerdict::Pass => "pass",
            CheckVerdict::Leak => "leak",
            CheckVerdict::SharedByDesign => "shared by design",
            CheckVerdict::NotApplicable => "n/a",
            CheckVerdict::WrongReason => "wrong reason",
            CheckVerdict::Blind => "blind",
            CheckVerdict::Broken => "broken",
        }
    }
}

/// A row of `checks.csv`: one question asked of one backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Identifier of the check.
    pub check: String,
    /// The claim it speaks to.
    pub claim: String,
    /// Backend.
    pub backend: String,
    /// What is expected of this kind of backend: `apart`, `open` or `shared`, and why.
    pub expectation: String,
    /// What the probe or the host saw.
    pub observation: String,
    /// What the other side proved meanwhile.
    pub witness: String,
    /// Controls C0 to C5, each with its outcome.
    pub controls: String,
    /// The verdict.
    pub verdict: CheckVerdict,
    /// Raw facts of both sides.
    pub evidence: String,
}

#[cfg(test)]
impl Check {
    /// A row that says no more than these.
    pub fn example(check: &str, backend: &str, verdict: CheckVerdict) -> Check {
        Check {
            check: check.into(),
            claim: "ns-uts".into(),
            backend: backend.into(),
            expectation: "apart".into(),
            observation: String::new(),
            witness: String::new(),
            controls: String::new(),
            verdict,
            evidence: String::new(),
        }
    }
}
