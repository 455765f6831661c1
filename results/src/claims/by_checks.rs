//! Claims that checks of isolation decide: what the mechanism keeps apart, for each kind of backend. What is said
//! of namespaces and cgroups is decided by what is made of them; a machine, whose inside has a kernel of its own,
//! is asked the same for comparison.

use super::{Finding, Verdict, Weighed, found, weigh};
use crate::record::{Check, CheckVerdict};

/// The finding on the claim `id`; none where no check speaks to it. Of a run that was cut short it is not known
/// what the checks would have said that were not asked any more.
pub(super) fn judge(rows: &[Check], is_complete: bool, id: &str) -> Option<Finding> {
    let own: Vec<&Check> = rows
        .iter()
        .filter(|row| row.claim == id && row.backend != "process" && !row.backend.contains(" without "))
        .collect();
    if own.is_empty() {
        return None;
    }
    let mut backends: Vec<&str> = own.iter().map(|row| row.backend.as_str()).collect();
    backends.dedup();
    let all = backends.into_iter().map(|backend| of_backend(backend, id, &own)).collect();
    let (verdict, evidence) = weigh(all, "nothing that is made of them was asked");
    let verdict = match is_complete {
        true => verdict,
        false => Verdict::Undetermined("the run was cut short before every check had been asked".into()),
    };
    let because = match &verdict {
        Verdict::Supported => "every check of it holds, and its control leaks",
        Verdict::Refuted => "checks of it leak on every backend",
        Verdict::Mixed => "some checks of it hold and others do not",
        Verdict::Undetermined(_) => "",
    };
    Some(found(id, verdict, because, evidence))
}

fn of_backend(backend: &str, id: &str, rows: &[&Check]) -> Weighed {
    let own = || rows.iter().filter(|row| row.backend == backend);
    let count = |verdict: CheckVerdict| own().filter(|row| row.verdict == verdict).count();
    let named = |verdict: CheckVerdict| -> Vec<&str> {
        own().filter(|row| row.verdict == verdict).map(|row| row.check.as_str()).collect()
    };
    let (pass, shared) = (count(CheckVerdict::Pass), named(CheckVerdict::SharedByDesign));
    let leaks = named(CheckVerdict::Leak);
    let cannot_tell =
        count(CheckVerdict::Broken) + count(CheckVerdict::Blind) + count(CheckVerdict::WrongReason);
    let verdict = match (pass, leaks.len() + shared.len()) {
        (0, 0) => Verdict::Undetermined(format!("no check of {backend} could tell")),
        (_, 0) => Verdict::Supported,
        (0, _) => Verdict::Refuted,
        _ => Verdict::Mixed,
    };
    let mut sentence = format!("{backend}: {pass} of {} checks hold", own().count());
    if !leaks.is_empty() {
        sentence.push_str(&format!("; {} leak: {}", leaks.len(), leaks.join(", ")));
    }
    if !shared.is_empty() {
        sentence.push_str(&format!("; {} are shared by design: {}", shared.len(), shared.join(", ")));
    }
    if cannot_tell > 0 {
        sentence.push_str(&format!("; {cannot_tell} could not tell"));
    }
    let is_subject = !(backend.starts_with("vm:") && (id.starts_with("ns-") || id.starts_with("cg-")));
    Weighed { sentence, verdict: is_subject.then_some(verdict) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(backend: &str, verdict: CheckVerdict) -> Check {
        Check::example(&format!("c-{backend}"), backend, verdict)
    }

    #[test]
    fn a_leak_anywhere_is_told_and_a_bare_process_decides_nothing() {
        let verdict = |rows: &[Check]| judge(rows, true, "ns-uts").map(|finding| finding.verdict);
        assert_eq!(verdict(&[row("process", CheckVerdict::Leak)]), None);
        let holds = row("container", CheckVerdict::Pass);
        assert_eq!(verdict(std::slice::from_ref(&holds)), Some(Verdict::Supported));
        assert_eq!(verdict(&[holds.clone(), row("oci:x", CheckVerdict::Leak)]), Some(Verdict::Mixed));
        assert_eq!(
            verdict(&[holds.clone(), holds.clone(), row("container", CheckVerdict::Leak)]),
            Some(Verdict::Mixed)
        );
        // A machine is no container.
        let machine = row("vm:direct", CheckVerdict::SharedByDesign);
        assert_eq!(verdict(&[holds.clone(), machine.clone()]), Some(Verdict::Supported));
        assert!(matches!(verdict(std::slice::from_ref(&machine)), Some(Verdict::Undetermined(_))));
        let broken = verdict(&[row("container", CheckVerdict::Broken)]);
        assert!(matches!(broken, Some(Verdict::Undetermined(_))), "{broken:?}");
        let cut_short = judge(&[holds], false, "ns-uts").expect("told");
        assert!(matches!(&cut_short.verdict, Verdict::Undetermined(why) if why.contains("cut short")));
        assert_eq!(cut_short.evidence.len(), 1);
    }
}
