//! The claims under test and what a run says of each.

mod boot_every_vm;
mod no_boot_time;
mod storm_stress;
mod verdict;
mod vm_density;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use verdict::{Accelerator, Verdict};

use crate::folder::LoadedRun;
use crate::summary::{Storms, Summary};

/// What a run says of one claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Finding {
    /// Identifier of the claim.
    pub id: String,
    /// The claim.
    pub statement: String,
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What it rests on, one sentence each.
    pub evidence: Vec<String>,
    /// The definition of the words the verdict was reached under.
    pub definition: String,
    /// The definition or observation under which it would be another one.
    pub flips: String,
}

/// Judges the claims that a boot storm touches.
pub(crate) fn judge(run: &LoadedRun, summary: &Summary, storms: &BTreeMap<&str, Storms>) -> Vec<Finding> {
    let accelerator = Accelerator::from_property(run.run.host.get("accelerator"));
    vec![
        no_boot_time::judge(summary),
        boot_every_vm::judge(run, summary, storms),
        storm_stress::judge(run, summary, accelerator),
        vm_density::judge(&summary.density, accelerator),
    ]
}

/// Whether a backend starts containers.
fn is_container(backend: &str) -> bool {
    matches!(family(backend), "container" | "oci" | "engine")
}

/// Whether a backend starts virtual machines.
fn is_vm(backend: &str) -> bool {
    family(backend) == "vm"
}

fn family(backend: &str) -> &str {
    backend.split(':').next().unwrap_or(backend)
}
