//! “Namespaces alone leave everyone the whole machine.” Decided by our own container with every namespace and
//! without one limit: what it then takes, and by what of the kernel is the host's for all who run on it.

use super::{Finding, Verdict, found};
use crate::record::{Check, CheckVerdict};

const OWN: &str = "container";
/// Checks that limits hold.
const LIMITS: &str = "cg-limit";
const ID: &str = "ns-full-access";

pub(super) fn judge(rows: &[Check], is_complete: bool) -> Option<Finding> {
    let own: Vec<&Check> = rows.iter().filter(|row| row.backend == OWN).collect();
    let limits: Vec<&&Check> = own.iter().filter(|row| row.claim == LIMITS).collect();
    let kernel: Vec<&&Check> = own.iter().filter(|row| row.claim == ID).collect();
    if limits.is_empty() && kernel.is_empty() {
        return None;
    }
    // What was taken where a limit was left out, in the words of the control.
    let taken: Vec<(&str, &str)> = limits
        .iter()
        .filter(|row| row.verdict == CheckVerdict::Pass)
        .filter_map(|row| Some((row.check.as_str(), without(&row.controls)?)))
        .collect();
    let names = |verdict: CheckVerdict| -> Vec<&str> {
        kernel.iter().filter(|row| row.verdict == verdict).map(|row| row.check.as_str()).collect()
    };
    let (shared, apart) = (names(CheckVerdict::SharedByDesign), names(CheckVerdict::Pass));
    let mut evidence: Vec<String> =
        taken.iter().map(|(check, said)| format!("{check}: all namespaces, and {said}")).collect();
    if !shared.is_empty() {
        evidence.push(format!("{OWN}: the host's own inside: {}", shared.join(", ")));
    }
    if !apart.is_empty() {
        evidence.push(format!("{OWN}: not the host's inside: {}", apart.join(", ")));
    }
    let (verdict, because) = match (taken.len(), apart.len()) {
        _ if !is_complete => {
            (Verdict::Undetermined("the run was cut short before every check had been asked".into()), "")
        }
        (0, _) => {
            let why = "no limit was left out of a container that has its namespaces (bench run isolation)";
            (Verdict::Undetermined(why.into()), "")
        }
        (_, 0) => (Verdict::Supported, "with every namespace and one limit less it takes what it can get"),
        _ => (Verdict::Mixed, "what is not limited is taken; but some of the kernel's is its own"),
    };
    Some(found(ID, verdict, because, evidence))
}

/// What the twin without a limit did.
fn without(controls: &str) -> Option<&str> {
    let control = controls.split(" | ").find_map(|one| one.strip_prefix("C1 ok: container "))?;
    control.starts_with("without ").then_some(control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_container_without_a_limit_takes_supports_it() {
        let limit = |controls: &str, verdict| Check {
            claim: LIMITS.into(),
            controls: controls.into(),
            ..Check::example("cg-cpu-quota", OWN, verdict)
        };
        let kernel = |verdict| Check { claim: ID.into(), ..Check::example("kernel-boot-id", OWN, verdict) };
        let leaks = "C0 ok | C1 ok: container without cpu limit leaks: 0.939 cores, asked 0.05 | C2 ok";
        let rows = [limit(leaks, CheckVerdict::Pass), kernel(CheckVerdict::SharedByDesign)];
        let found = judge(&rows, true).expect("judged");
        assert_eq!(found.verdict, Verdict::Supported);
        assert!(
            found.evidence[0].contains("and without cpu limit leaks: 0.939 cores"),
            "{:?}",
            found.evidence
        );
        let apart = [limit(leaks, CheckVerdict::Pass), kernel(CheckVerdict::Pass)];
        assert_eq!(judge(&apart, true).map(|found| found.verdict), Some(Verdict::Mixed));
        // A limit that does not hold, and one whose control says nothing, show nothing.
        for silent in [limit(leaks, CheckVerdict::Leak), limit("C0 ok | C1 none", CheckVerdict::Pass)] {
            let found = judge(&[silent], true).expect("judged");
            assert!(matches!(found.verdict, Verdict::Undetermined(_)), "{found:?}");
        }
        assert_eq!(judge(&[Check::example("x", "vm:direct", CheckVerdict::Pass)], true), None);
    }
}
