//! “A VM image does not move between hypervisors unchanged.” Decided by cells that were booted: where
//! the disk as it was installed does not serve, it does not move there unchanged. A machine that was
//! only too slow says nothing under TCG.

use super::{Accelerator, Finding, Verdict, found as found_of};
use crate::chart::is_unchanged;
use crate::portability::Portability;
use crate::record::{Cell, CellOutcome};
use crate::text::{duration, size};

/// How the reason of a machine begins that was not there in time.
const LATE: &str = "not there in time";

pub(super) fn judge(cells: &[Cell], found: Option<&Portability>, accelerator: Accelerator) -> Finding {
    let vms: Vec<&Cell> = cells.iter().filter(|cell| cell.kind == "vm").collect();
    let tried = |cell: &&&Cell| matches!(cell.outcome, CellOutcome::Works | CellOutcome::Fails);
    let first: Vec<&Cell> = first_tries(&vms);
    let fails = |cell: &&&Cell| {
        cell.outcome == CellOutcome::Fails
            && (accelerator == Accelerator::Hardware || !cell.reason.starts_with(LATE))
    };
    let moved = first.iter().filter(|cell| cell.outcome == CellOutcome::Works && is_unchanged(cell)).count();
    let failed: Vec<&&Cell> = first.iter().filter(fails).collect();
    let mut evidence = Vec::new();
    if !first.is_empty() {
        evidence.push(format!(
            "the disk as installed on {}, its content unchanged, served on {moved} of {} emulated platforms",
            first[0].platform,
            first.len()
        ));
    }
    for cell in &failed {
        let mended = vms.iter().find(|other| {
            other.platform == cell.platform
                && other.outcome == CellOutcome::Works
                && other.changes.contains(' ')
        });
        evidence.push(match mended {
            Some(mended) => format!(
                "{}: {}; served in {} after: {}",
                cell.platform,
                cell.reason,
                mended.duration_ns.map_or("?".into(), |ns| duration(ns as f64)),
                mended.changes
            ),
            None => format!("{}: {}; nothing that was tried made it serve", cell.platform, cell.reason),
        });
    }
    let needed = |cover: &&crate::portability::Cover| cover.what.starts_with("VM");
    for cover in found.iter().flat_map(|found| &found.covers).filter(needed) {
        evidence.push(format!(
            "{}: {} for {} of {} platforms",
            cover.what,
            cover.needed.last().unwrap_or(&0),
            cover.needed.len(),
            cover.platforms
        ));
    }
    let conversions: Vec<&Cell> = cells.iter().filter(|cell| cell.kind == "conversion").collect();
    if !conversions.is_empty() {
        let words = conversions.iter().map(|cell| {
            let bytes = cell.bytes.map_or("?".into(), |bytes| size(bytes as f64));
            let took = cell.duration_ns.map_or("?".into(), |ns| duration(ns as f64));
            format!("{} {bytes} in {took}", cell.platform)
        });
        evidence.push(format!("conversions: {}", words.collect::<Vec<_>>().join(", ")));
    }
    let (verdict, because) = match (vms.iter().filter(tried).count(), failed.len(), moved) {
        (0, ..) => (Verdict::Undetermined("no disk was booted anywhere (bench run portability)".into()), ""),
        (_, 0, moved) if moved == first.len() && moved > 1 => (
            Verdict::Refuted,
            "the disk as it was installed served on every emulated platform it was tried on",
        ),
        (_, 0, _) => (Verdict::Undetermined("the disk was carried to no other platform".into()), ""),
        _ => (Verdict::Supported, "the disk as it was installed does not serve on every emulated platform"),
    };
    found_of("vm-image-portability", verdict, because, evidence)
}

/// The first that was tried on each platform: the disk as it was installed, in the format of the place.
fn first_tries<'a>(vms: &[&'a Cell]) -> Vec<&'a Cell> {
    let mut first: Vec<&Cell> = Vec::new();
    let tried = vms.iter().filter(|cell| matches!(cell.outcome, CellOutcome::Works | CellOutcome::Fails));
    let installed = |cell: &&&&Cell| cell.artifact.starts_with(&vms[0].artifact[..base(&vms[0].artifact)]);
    for cell in tried.filter(|cell| installed(&cell)) {
        if !first.iter().any(|other| other.platform == cell.platform) {
            first.push(cell);
        }
    }
    first
}

fn base(artifact: &str) -> usize {
    artifact.find('.').unwrap_or(artifact.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::portability::tests::cell;

    fn judged(cells: &[Cell], accelerator: Accelerator) -> Finding {
        judge(cells, crate::portability::summarize(cells, &Default::default()).as_ref(), accelerator)
    }

    #[test]
    fn one_place_where_it_fails_supports_and_slowness_does_not() {
        let works = cell("vm", "a_x.qcow2", "kvm/bios", CellOutcome::Works);
        let moved = Cell {
            changes: "converted to raw".into(),
            ..cell("vm", "a_x.raw", "aws/bios", CellOutcome::Works)
        };
        let everywhere = [works.clone(), moved.clone()];
        assert_eq!(judged(&everywhere, Accelerator::Interpreted).verdict, Verdict::Refuted);
        let fails = Cell {
            reason: "root not found".into(),
            ..cell("vm", "a_x.vdi", "vbox/bios", CellOutcome::Fails)
        };
        let mended = Cell {
            changes: "another kernel, with all drivers; converted to vdi".into(),
            ..cell("vm", "b_x.vdi", "vbox/bios", CellOutcome::Works)
        };
        let found = judged(&[works.clone(), moved, fails, mended], Accelerator::Interpreted);
        assert_eq!(found.verdict, Verdict::Supported);
        assert!(found.evidence[0].contains("2 of 3"), "{:?}", found.evidence);
        assert!(found.evidence[1].contains("another kernel"), "{:?}", found.evidence);
        let late = Cell {
            reason: format!("{LATE}; kernel"),
            ..cell("vm", "a_x.vdi", "vbox/bios", CellOutcome::Fails)
        };
        let slow = [works.clone(), late];
        assert!(matches!(judged(&slow, Accelerator::Interpreted).verdict, Verdict::Undetermined(_)));
        assert_eq!(judged(&slow, Accelerator::Hardware).verdict, Verdict::Supported);
        assert!(matches!(judged(&[], Accelerator::Hardware).verdict, Verdict::Undetermined(_)));
        assert!(matches!(judged(&[works], Accelerator::Hardware).verdict, Verdict::Undetermined(_)));
        let only = cell("vm", "a_x.vhdx", "hyperv", CellOutcome::Impossible);
        assert!(matches!(judged(&[only], Accelerator::Hardware).verdict, Verdict::Undetermined(_)));
    }
}
