//! What the checks of isolation say of each backend.

mod exchange;
mod matrix;
pub mod mutation;

pub use exchange::{junit, ktap};
pub use matrix::{Line, Matrix, matrix};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::folder::LoadedRun;
use crate::record::CheckVerdict;

/// One backend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct BackendChecks {
    /// Its name.
    pub backend: String,
    /// How many checks came to each verdict.
    pub verdicts: BTreeMap<String, usize>,
    /// Checks that leak although apart was expected.
    pub failures: Vec<String>,
}

/// Counts the checks of a run, backends in the order asked for; empty where it asks none.
pub fn summarize(run: &LoadedRun) -> Vec<BackendChecks> {
    let mut backends: Vec<BackendChecks> = Vec::new();
    // Containers that lack something are there to show that the checks notice.
    for row in run.checks.iter().filter(|row| !row.backend.contains(" without ")) {
        let at = backends.iter().position(|one| one.backend == row.backend).unwrap_or_else(|| {
            backends.push(BackendChecks { backend: row.backend.clone(), ..BackendChecks::default() });
            backends.len() - 1
        });
        *backends[at].verdicts.entry(row.verdict.word().into()).or_default() += 1;
        if row.verdict == CheckVerdict::Leak && row.expectation == "apart" {
            backends[at].failures.push(row.check.clone());
        }
    }
    backends
}
