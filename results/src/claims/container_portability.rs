//! “Containers run almost anywhere without modification.” Decided by reports of one image: the same
//! files and the same output everywhere, whatever is underneath.

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
}
