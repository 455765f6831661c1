//! The claims under test and what a run says of each.

mod boot_delays_service;
mod boot_every_vm;
mod by_checks;
mod catalogue;
mod cgroups;
mod container_equation;
mod container_portability;
mod no_boot_time;
mod ns_full_access;
mod ns_six;
mod oci_bundle;
mod storm_stress;
mod verdict;
mod vm_density;
mod vm_image_portability;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use catalogue::{CLAIMS, Claim, claim};
pub use verdict::{Accelerator, Verdict};

use crate::folder::LoadedRun;
use crate::summary::{Storms, Summary};

/// What a run says of one claim.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Finding {
    /// Identifier of the claim.
    pub id: String,
    /// The claim.
    pub statement: String,
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What the verdict says in plain words; empty where it is undetermined, which says why itself.
    #[serde(default)]
    pub because: String,
    /// What it rests on, one sentence each.
    pub evidence: Vec<String>,
    /// The definition of the words the verdict was reached under.
    pub definition: String,
    /// The definition or observation under which it would be another one.
    pub flips: String,
}

/// Judges the claims that the run's scenario can decide.
pub(crate) fn judge(run: &LoadedRun, summary: &Summary, storms: &BTreeMap<&str, Storms>) -> Vec<Finding> {
    let accelerator = Accelerator::from_property(run.run.host.get("accelerator"));
    let judged = |claim: &Claim| {
        claim.scenarios.contains(&run.run.scenario.as_str()).then(|| match claim.id {
            "no-boot-time" => Some(no_boot_time::judge(summary)),
            "boot-every-vm" => Some(boot_every_vm::judge(run, summary, storms)),
            "boot-delays-service" => Some(boot_delays_service::judge(run.run.seed, storms, accelerator)),
            "storm-stress" => Some(storm_stress::judge(run, summary, accelerator)),
            "vm-density" => Some(vm_density::judge(&summary.density, accelerator)),
            "vm-image-portability" => {
                Some(vm_image_portability::judge(&run.matrix, summary.portability.as_ref(), accelerator))
            }
            "container-portability" => Some(container_portability::judge(&run.matrix)),
            "identical-copies" => Some(container_portability::judge_copies(&run.matrix)),
            "oci-bundle" => Some(oci_bundle::judge(&run.matrix)),
            "container-equation" => container_equation::judge(&run.checks, run.run.complete),
            "ns-full-access" => ns_full_access::judge(&run.checks, run.run.complete),
            "ns-six" => Some(ns_six::judge(&run.run)),
            "cg-limit" | "cg-prioritize" | "cg-account" | "cg-control" if !summary.readings.is_empty() => {
                cgroups::judge(claim.id, &summary.readings)
            }
            id => by_checks::judge(&run.checks, run.run.complete, id),
        })?
    };
    CLAIMS.iter().filter_map(judged).collect()
}

/// What is said of one part of what was tried, and the verdict on it; none where it is only said for
/// comparison.
struct Weighed {
    sentence: String,
    verdict: Option<Verdict>,
}

/// One verdict, and the sentences in the order of their weight: those it rests on, those that could not
/// tell, those for comparison.
fn weigh(mut all: Vec<Weighed>, nothing: &str) -> (Verdict, Vec<String>) {
    all.sort_by_key(|one| match &one.verdict {
        Some(verdict) if verdict.tells() => 0,
        Some(_) => 1,
        None => 2,
    });
    let verdicts: Vec<Verdict> = all.iter().filter_map(|one| one.verdict.clone()).collect();
    let verdict = match verdicts.is_empty() {
        true => Verdict::Undetermined(nothing.into()),
        false => Verdict::combine(verdicts),
    };
    (verdict, all.into_iter().map(|one| one.sentence).collect())
}

/// A finding on a claim of the catalogue.
fn found(id: &str, verdict: Verdict, because: &str, evidence: Vec<String>) -> Finding {
    // The catalogue has it: a test says so.
    let unjudged = claim(id).map(Claim::unjudged).unwrap_or_default();
    Finding { verdict, because: because.into(), evidence, ..unjudged }
}

/// What several runs together say of a claim.
#[derive(Clone, Debug, PartialEq)]
pub struct State<'a> {
    /// The finding.
    pub finding: Finding,
    /// Which run it comes from.
    pub source: Option<&'a str>,
}

/// The newest finding that tells, else the newest that does not, else what can be said without
/// any. `runs` are oldest first.
pub fn state<'a>(claim: &Claim, runs: &[(&'a str, &[Finding])]) -> State<'a> {
    let findings = || {
        runs.iter().rev().flat_map(|(source, findings)| {
            findings.iter().filter(|finding| finding.id == claim.id).map(move |finding| (*source, finding))
        })
    };
    let tells = findings().find(|(_, finding)| !matches!(finding.verdict, Verdict::Undetermined(_)));
    match tells.or_else(|| findings().next()) {
        Some((source, finding)) => State { finding: finding.clone(), source: Some(source) },
        None => State { finding: claim.unjudged(), source: None },
    }
}

/// Whether a backend starts containers.
fn is_container(backend: &str) -> bool {
    matches!(family(backend), "container" | "oci" | "engine")
}

/// Whether a backend starts virtual machines.
fn is_vm(backend: &str) -> bool {
    family(backend) == "vm"
}

/// Whether a backend's VMs boot an operating system: a copy of a running machine and a bare hypervisor
/// do not.
fn boots(backend: &str) -> bool {
    is_vm(backend) && !matches!(backend, "vm:restore" | "vm:floor")
}

fn family(backend: &str) -> &str {
    backend.split(':').next().unwrap_or(backend)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(verdict: Verdict) -> Finding {
        Finding { id: "no-boot-time".into(), verdict, ..Finding::default() }
    }

    #[test]
    fn what_a_verdict_rests_on_is_said_first() {
        let one = |sentence: &str, verdict| Weighed { sentence: sentence.into(), verdict };
        let silent = Verdict::Undetermined("why".into());
        let (verdict, said) = weigh(
            vec![
                one("compared", None),
                one("silent", Some(silent.clone())),
                one("told", Some(Verdict::Refuted)),
            ],
            "nothing",
        );
        assert_eq!(
            (verdict, said),
            (Verdict::Refuted, ["told", "silent", "compared"].map(str::to_owned).to_vec())
        );
        let (verdict, _) = weigh(vec![one("compared", None)], "nothing");
        assert_eq!(verdict, Verdict::Undetermined("nothing".into()));
    }

    /// Each judge takes its words from the catalogue; a slip in an id would leave them empty.
    #[test]
    fn every_judge_is_of_a_claim_there_is() {
        for scenario in ["boot-storm", "storm-sweep", "node-failure", "density", "isolation"] {
            let run = LoadedRun::without_rows(crate::record::Run::new("x", scenario));
            let found = crate::summary::summarize(&run).claims;
            assert!(!found.is_empty(), "{scenario}");
            assert!(found.iter().all(|finding| finding.statement.len() > 10), "{scenario}: {found:?}");
        }
    }

    #[test]
    fn the_newest_run_that_tells_decides() {
        let claim = claim("no-boot-time").unwrap();
        let old = [finding(Verdict::Refuted)];
        let new = [finding(Verdict::Undetermined("too few".into()))];
        let told = state(claim, &[("old", &old), ("new", &new)]);
        assert_eq!((told.source, told.finding.verdict), (Some("old"), Verdict::Refuted));
        assert_eq!(state(claim, &[("new", &new)]).source, Some("new"));
        let nothing = state(claim, &[]);
        assert!(matches!(nothing.finding.verdict, Verdict::Undetermined(why) if why.contains("boot-storm")));
    }
}
