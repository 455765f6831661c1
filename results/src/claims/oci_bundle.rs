//! “The runtime specification runs a file-system bundle, and the image specification encodes one.” Decided by
//! bundles made of images, in every runtime of that specification, and by what an image is after it was a bundle.

use std::collections::BTreeSet;

use super::{Finding, Verdict, found};
use crate::record::{Cell, CellOutcome};

/// Backends that are OCI runtimes are called so, in the names of platforms too.
const RUNTIME: &str = "oci:";

pub(super) fn judge(cells: &[Cell]) -> Finding {
    let runtime =
        |cell: &Cell| cell.platform.split(' ').find(|word| word.starts_with(RUNTIME)).map(str::to_owned);
    let tried: Vec<(String, &Cell)> = cells
        .iter()
        .filter(|cell| cell.kind == "container" && cell.outcome != CellOutcome::Impossible)
        .filter_map(|cell| Some((runtime(cell)?, cell)))
        .collect();
    let names = |of: &dyn Fn(&Cell) -> bool| -> BTreeSet<&str> {
        tried.iter().filter(|(_, cell)| of(cell)).map(|(name, _)| name.as_str()).collect()
    };
    // That a runtime ran it is asked, not whether it showed the same: see container-portability.
    let fails = names(&|cell| cell.outcome == CellOutcome::Fails);
    let all = names(&|_| true);
    let trips: Vec<&Cell> = cells
        .iter()
        .filter(|cell| cell.kind == "round-trip" && cell.platform.starts_with("image→bundle"))
        .collect();
    let kept = trips.iter().filter(|cell| cell.outcome == CellOutcome::Works).count();
    let mut evidence = Vec::new();
    if !all.is_empty() {
        let list = |names: &BTreeSet<&str>| names.iter().copied().collect::<Vec<_>>().join(", ");
        let failing = if fails.is_empty() { String::new() } else { format!("; not by {}", list(&fails)) };
        let ran = &all - &fails;
        evidence.push(format!("bundles made of the images are run by {}{failing}", list(&ran)));
    }
    for cell in &trips {
        let is = if cell.outcome == CellOutcome::Works { "keeps" } else { "does not keep" };
        evidence.push(format!("{}, {}: {is} the digest: {}", cell.artifact, cell.platform, cell.reason));
    }
    let (verdict, because) = match (all.len(), fails.len(), trips.len() - kept) {
        (0, _, _) => {
            let why = "no bundle was given to an OCI runtime (bench run portability --on oci)";
            (Verdict::Undetermined(why.into()), "")
        }
        _ if trips.is_empty() => {
            let why =
                "no image was made of a bundle again (bench run portability --parts containers,round-trips)";
            (Verdict::Undetermined(why.into()), "")
        }
        (_, 0, 0) => {
            (Verdict::Supported, "every runtime ran the bundles, and images kept their digests through them")
        }
        (all, fails, _) if all == fails => (Verdict::Refuted, "no runtime ran a bundle"),
        (_, 0, _) => (
            Verdict::Mixed,
            "every runtime ran the bundles; an image that was a bundle has the same files, and another digest until \
             it has been one once",
        ),
        _ => (Verdict::Mixed, "some runtimes ran the bundles and others did not"),
    };
    found("oci-bundle", verdict, because, evidence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::portability::tests::cell;

    #[test]
    fn bundles_have_to_run_everywhere_and_images_to_come_back() {
        let run = |platform, outcome| cell("container", "image", platform, outcome);
        let trip = |platform, outcome| cell("round-trip", "image", platform, outcome);
        let ran =
            [run("host 6, oci:runc", CellOutcome::Works), run("host 6, oci:crun", CellOutcome::Differs)];
        let verdict = |more: &[Cell]| judge(&[&ran[..], more].concat()).verdict;
        assert!(matches!(verdict(&[]), Verdict::Undetermined(_)));
        let kept = trip("image→bundle→image, once more", CellOutcome::Works);
        assert_eq!(verdict(std::slice::from_ref(&kept)), Verdict::Supported);
        let lost = trip("image→bundle→image", CellOutcome::Differs);
        assert_eq!(verdict(&[lost, kept.clone()]), Verdict::Mixed);
        let failing = run("host 6, oci:youki", CellOutcome::Fails);
        let found = judge(&[&ran[..], &[failing.clone(), kept.clone()]].concat());
        assert_eq!(found.verdict, Verdict::Mixed);
        assert!(
            found.evidence[0].ends_with("run by oci:crun, oci:runc; not by oci:youki"),
            "{:?}",
            found.evidence
        );
        assert_eq!(judge(&[failing, kept.clone()]).verdict, Verdict::Refuted);
        // Disks that go round are another matter.
        let disk = trip("raw→qcow2→raw", CellOutcome::Differs);
        assert_eq!(verdict(&[disk, kept]), Verdict::Supported);
        assert!(matches!(judge(&[]).verdict, Verdict::Undetermined(_)));
    }
}
