//! “A container is processes, namespaces and cgroups, and nothing else.” Decided by what our own container is
//! made of: what breaks where one term is left out of it, and whether there is a term the equation does not name.

use super::{Finding, Verdict, found};
use crate::record::{Check, CheckVerdict};

/// Built of nothing but these terms, by this project.
const OWN: &str = "container";

pub(super) fn judge(rows: &[Check], is_complete: bool) -> Option<Finding> {
    let own: Vec<&Check> = rows.iter().filter(|row| row.backend == OWN).collect();
    if own.is_empty() {
        return None;
    }
    // What holds, and leaks in the same container without the mechanism.
    let needed = |prefix: &str| {
        own.iter()
            .filter(|row| row.claim.starts_with(prefix) && row.verdict == CheckVerdict::Pass)
            .filter(|row| row.controls.contains("C1 ok: container without "))
            .count()
    };
    let (namespaces, cgroups, privileges) = (needed("ns-"), needed("cg-"), needed("privilege"));
    let sentence = |count: usize, term: &str| {
        format!("{OWN}: {count} checks hold, and leak in the same container without {term}")
    };
    let mut evidence = vec![
        sentence(namespaces, "one of its namespaces, or what is mounted in them"),
        sentence(cgroups, "what its cgroups limit, count or stop"),
    ];
    if privileges > 0 {
        evidence.push(sentence(privileges, "what takes capabilities and system calls from its processes"));
    }
    let (verdict, because) = match (namespaces, cgroups, privileges) {
        _ if !is_complete => {
            let why = "the run was cut short before every check had been asked";
            (Verdict::Undetermined(why.into()), "")
        }
        (0, _, _) | (_, 0, _) => {
            let why = "no check of namespaces, or none of cgroups, held with a control that leaks (bench run isolation)";
            (Verdict::Undetermined(why.into()), "")
        }
        (_, _, 0) => {
            (Verdict::Supported, "each term breaks checks where it is left out, and nothing else does")
        }
        _ => (
            Verdict::Mixed,
            "each term breaks checks where it is left out; but so do capabilities, no_new_privs and the filter \
             of calls, which are neither",
        ),
    };
    Some(found("container-equation", verdict, because, evidence))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(claim: &str, verdict: CheckVerdict, controls: &str) -> Check {
        Check { claim: claim.into(), controls: controls.into(), ..Check::example("x", OWN, verdict) }
    }

    #[test]
    fn terms_that_are_needed_support_it_and_one_it_does_not_name_makes_it_mixed() {
        let leaks = "C0 ok | C1 ok: container without uts namespace leaks: host name";
        let two = [row("ns-uts", CheckVerdict::Pass, leaks), row("cg-limit", CheckVerdict::Pass, leaks)];
        assert_eq!(judge(&two, true).map(|found| found.verdict), Some(Verdict::Supported));
        let three = [&two[..], &[row("privilege", CheckVerdict::Pass, leaks)]].concat();
        let found = judge(&three, true).expect("judged");
        assert_eq!((found.verdict, found.evidence.len()), (Verdict::Mixed, 3));
    }

    #[test]
    fn what_holds_without_a_control_and_what_was_cut_short_says_nothing() {
        let none = "C0 ok | C1 none: the control was not asked";
        let two = [row("ns-uts", CheckVerdict::Pass, none), row("cg-limit", CheckVerdict::Pass, none)];
        let verdict = |rows: &[Check], is_complete| judge(rows, is_complete).map(|found| found.verdict);
        assert!(matches!(verdict(&two, true), Some(Verdict::Undetermined(_))));
        let leaks = "C1 ok: container without uts namespace leaks: host name";
        let two = [row("ns-uts", CheckVerdict::Pass, leaks), row("cg-limit", CheckVerdict::Pass, leaks)];
        assert!(matches!(verdict(&two, false), Some(Verdict::Undetermined(_))));
        assert_eq!(verdict(&[Check::example("x", "oci:runc", CheckVerdict::Pass)], true), None);
    }
}
