//! “Containers run almost anywhere without modification” and “any number of instances anywhere are identical.”
//! Decided by reports of one image: the same files and the same output everywhere, whatever is underneath.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Verdict, found};
use crate::record::{Cell, CellOutcome};

pub(super) fn judge(cells: &[Cell]) -> Finding {
    let all: Vec<&Cell> = cells.iter().filter(|cell| cell.kind == "container").collect();
    let tried: Vec<&&Cell> = all.iter().filter(|cell| cell.outcome != CellOutcome::Impossible).collect();
    let count = |outcome| tried.iter().filter(|cell| cell.outcome == outcome).count();
    let (works, differs) = (count(CellOutcome::Works), count(CellOutcome::Differs));
    let platforms: BTreeSet<&str> = tried.iter().map(|cell| cell.platform.as_str()).collect();
    let mut evidence = Vec::new();
    if !tried.is_empty() {
        evidence.push(format!(
            "one image each, unchanged: {works} of {} cells on {} platforms gave the same bytes",
            tried.len(),
            platforms.len()
        ));
    }
    let mut reasons: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for cell in tried.iter().filter(|cell| cell.outcome != CellOutcome::Works) {
        reasons.entry((cell.outcome.word(), &cell.reason)).or_default().push(&cell.platform);
    }
    for ((outcome, reason), platforms) in reasons {
        let places: BTreeSet<&str> = platforms.into_iter().collect();
        evidence.push(format!("{outcome}: {reason} ({})", places.into_iter().collect::<Vec<_>>().join(", ")));
    }
    let (verdict, because) = if platforms.len() < 2 {
        let why = "an image was run on fewer than two platforms (bench run portability)";
        (Verdict::Undetermined(why.into()), "")
    } else if works == tried.len() {
        (Verdict::Supported, "each image gave the same bytes everywhere it was run")
    } else if works + differs == 0 {
        (Verdict::Refuted, "no image could be run anywhere")
    } else {
        (Verdict::Mixed, "images gave the same bytes in some places and not in others")
    };
    found("container-portability", verdict, because, evidence)
}

/// The same reports as copies of each other: what they are said to be is not that they run, but that none is
/// another than the others.
pub(super) fn judge_copies(cells: &[Cell]) -> Finding {
    let told = [CellOutcome::Works, CellOutcome::Differs];
    let all: Vec<&Cell> =
        cells.iter().filter(|cell| cell.kind == "container" && told.contains(&cell.outcome)).collect();
    let others: Vec<&&Cell> = all.iter().filter(|cell| cell.outcome == CellOutcome::Differs).collect();
    let mut evidence = Vec::new();
    if !all.is_empty() {
        evidence.push(format!(
            "{} instances of {} images, each in another place: {} show the same files and say the same",
            all.len(),
            all.iter().map(|cell| cell.artifact.as_str()).collect::<BTreeSet<_>>().len(),
            all.len() - others.len()
        ));
    }
    evidence.extend(others.iter().map(|cell| format!("another: {} ({})", cell.reason, cell.platform)));
    let (verdict, because) = match (all.len(), others.len()) {
        (0 | 1, _) => {
            let why = "fewer than two instances of an image were compared (bench run portability)";
            (Verdict::Undetermined(why.into()), "")
        }
        (_, 0) => (Verdict::Supported, "all show the same files and say the same"),
        (all, others) if all == others => (Verdict::Refuted, "none is like the first"),
        _ => (Verdict::Mixed, "most are the same and some are not"),
    };
    found("identical-copies", verdict, because, evidence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::portability::tests::cell;

    #[test]
    fn agreement_supports_and_one_that_differs_makes_it_mixed() {
        let same = |platform| cell("container", "image", platform, CellOutcome::Works);
        let two = [same("runc"), same("crun")];
        assert_eq!(judge(&two).verdict, Verdict::Supported);
        let other =
            Cell { reason: "files".into(), ..cell("container", "image", "runsc", CellOutcome::Differs) };
        let found = judge(&[same("runc"), same("crun"), other.clone()]);
        assert_eq!(found.verdict, Verdict::Mixed);
        assert!(found.evidence[1].contains("files (runsc)"), "{:?}", found.evidence);
        let fails = |platform| cell("container", "image", platform, CellOutcome::Fails);
        assert_eq!(judge(&[fails("a"), fails("b")]).verdict, Verdict::Refuted);
        let one = [same("runc"), cell("container", "image", "youki", CellOutcome::Impossible)];
        assert!(matches!(judge(&one).verdict, Verdict::Undetermined(_)));
    }

    #[test]
    fn copies_are_compared_and_those_that_did_not_run_are_none() {
        let same = |platform| cell("container", "image", platform, CellOutcome::Works);
        let two = [same("runc"), same("crun"), cell("container", "image", "youki", CellOutcome::Fails)];
        assert_eq!(judge_copies(&two).verdict, Verdict::Supported);
        let other = cell("container", "image", "runsc", CellOutcome::Differs);
        assert_eq!(judge_copies(&[same("runc"), other.clone()]).verdict, Verdict::Mixed);
        assert_eq!(judge_copies(&[other.clone(), other]).verdict, Verdict::Refuted);
        assert!(matches!(judge_copies(&two[..1]).verdict, Verdict::Undetermined(_)));
    }
}
