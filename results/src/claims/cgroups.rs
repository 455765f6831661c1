//! What cgroups limit, prioritise, account for and control: decided by what was asked and measured
//! (`bench run prioritize`), with the mechanism off as the control.

use super::{Finding, Verdict, found};
use crate::readings::{Case, Standing};

/// Which mechanisms decide which claim.
const DECIDED_BY: [(&str, &[&str]); 4] = [
    ("cg-limit", &["cpu-quota", "memory-limit", "pids-limit", "io-limit"]),
    ("cg-prioritize", &["cpu-weight"]),
    ("cg-account", &["accounting"]),
    ("cg-control", &["freeze", "checkpoint"]),
];

/// Nothing where nothing was asked.
pub(super) fn judge(id: &str, all: &[Case]) -> Option<Finding> {
    let (_, mechanisms) = DECIDED_BY.iter().find(|(claim, _)| *claim == id)?;
    if all.is_empty() {
        return None;
    }
    let cases: Vec<&Case> =
        all.iter().filter(|case| !case.control && mechanisms.contains(&case.mechanism.as_str())).collect();
    let parts: Vec<Verdict> = cases.iter().filter_map(|case| part(case)).collect();
    let verdict = match parts.is_empty() {
        true => Verdict::Undetermined("nothing of it could be asked and measured on this host".into()),
        false => Verdict::combine(parts),
    };
    let because = match verdict {
        Verdict::Supported => "what was measured is what was asked, and is not where the mechanism is off",
        Verdict::Refuted => "what was measured is not what was asked",
        Verdict::Mixed => "some of what was measured is what was asked and some is not",
        Verdict::Undetermined(_) => "",
    };
    Some(found(id, verdict, because, cases.iter().map(|case| sentence(case)).collect()))
}

/// What one case says; nothing where it has nothing to say.
fn part(case: &Case) -> Option<Verdict> {
    match &case.standing {
        Standing::Held => Some(Verdict::Supported),
        Standing::Missed => Some(Verdict::Refuted),
        Standing::Undetermined(why) => {
            Some(Verdict::Undetermined(format!("{}, {}: {why}", case.backend, case.case)))
        }
        Standing::Failed => Some(Verdict::Undetermined(format!(
            "{}, {}: {}",
            case.backend,
            case.case,
            case.reasons.join("; ")
        ))),
        Standing::Told | Standing::NotApplicable => None,
    }
}

fn sentence(case: &Case) -> String {
    let measured = crate::readings::words(&case.measured, &case.unit);
    let asked = match case.asked {
        Some(asked) => format!("asked {}, ", crate::readings::value(asked, &case.unit)),
        None => String::new(),
    };
    let tail = match case.reasons.first() {
        Some(reason) => format!(" ({reason})"),
        None => String::new(),
    };
    format!(
        "{}, {}, {}: {asked}measured {measured} by {}: {}{tail}",
        case.backend,
        case.mechanism,
        case.case,
        case.by,
        case.standing.word()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::Estimate;

    fn case(mechanism: &str, standing: Standing) -> Case {
        Case {
            backend: "container".into(),
            mechanism: mechanism.into(),
            case: "a".into(),
            control: false,
            by: "host's count".into(),
            unit: "cores".into(),
            asked: Some(0.5),
            least: Some(0.4),
            most: Some(0.6),
            measured_n: 3,
            failed_n: 0,
            not_applicable_n: 0,
            measured: Estimate { value: Some(0.5), ..Estimate::default() },
            error_ratio: Estimate::default(),
            standing,
            reasons: Vec::new(),
        }
    }

    fn verdict(all: &[Case], id: &str) -> Verdict {
        judge(id, all).expect("judged").verdict
    }

    #[test]
    fn a_limit_that_does_not_hold_is_mixed_with_those_that_do() {
        let held = case("cpu-quota", Standing::Held);
        assert_eq!(verdict(std::slice::from_ref(&held), "cg-limit"), Verdict::Supported);
        let broken = case("pids-limit", Standing::Missed);
        assert_eq!(verdict(&[held.clone(), broken.clone()], "cg-limit"), Verdict::Mixed);
        assert_eq!(verdict(&[broken], "cg-limit"), Verdict::Refuted);
        assert!(matches!(verdict(&[held], "cg-account"), Verdict::Undetermined(_)));
    }

    #[test]
    fn what_is_only_told_or_not_there_decides_nothing() {
        for standing in [Standing::Told, Standing::NotApplicable, Standing::Failed] {
            let all = [case("freeze", standing)];
            assert!(matches!(verdict(&all, "cg-control"), Verdict::Undetermined(_)));
        }
        assert!(judge("cg-limit", &[]).is_none());
    }
}
