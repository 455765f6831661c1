//! What the matrix of what was carried where says as a whole.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::{Cell, CellOutcome};

/// The matrix summed up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Portability {
    /// Cells of each kind by outcome.
    pub outcomes: BTreeMap<String, BTreeMap<CellOutcome, usize>>,
    /// How many artifacts it takes to cover platforms.
    pub covers: Vec<Cover>,
}

/// Artifacts that are needed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cover {
    /// What counts as one artifact.
    pub what: String,
    /// Platforms on which something was tried.
    pub platforms: usize,
    /// Artifacts that together work on 1, 2, … platforms, as far as any do: chosen greedily, and only
    /// by what was tried.
    pub needed: Vec<usize>,
}

/// The format of disks that each hypervisor keeps, by the name of its hardware.
pub type Natives = BTreeMap<String, String>;

/// The formats as the run has recorded them.
pub fn natives(configs: &BTreeMap<String, serde_json::Value>) -> Natives {
    let hardware = configs.get("portability").and_then(|config| config["hardware"].as_array());
    let word = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let pair = |one: &serde_json::Value| Some((word(&one["name"])?, word(&one["native_format"])?));
    hardware.into_iter().flatten().filter_map(pair).collect()
}

/// Sums up `matrix.csv`; `None` where there is none.
pub fn summarize(cells: &[Cell], natives: &Natives) -> Option<Portability> {
    if cells.is_empty() {
        return None;
    }
    let mut outcomes: BTreeMap<String, BTreeMap<CellOutcome, usize>> = BTreeMap::new();
    for cell in cells {
        *outcomes.entry(cell.kind.clone()).or_default().entry(cell.outcome).or_default() += 1;
    }
    // What QEMU reads is not what another hypervisor would.
    let is_own = |cell: &&Cell| {
        let hardware = cell.platform.split('/').next().unwrap_or_default();
        natives.get(hardware).is_none_or(|format| cell.artifact.ends_with(&format!(".{format}")))
    };
    let own: Vec<Cell> = cells.iter().filter(is_own).cloned().collect();
    let whole = |cell: &Cell| cell.artifact.clone();
    let content = |cell: &Cell| cell.artifact.split('.').next().unwrap_or_default().to_owned();
    let covers = [
        cover("VM: disk files in the hypervisors' own formats", &own, "vm", whole),
        cover("VM: versions of the content, formats left aside", cells, "vm", content),
        cover("container: images", cells, "container", whole),
    ];
    Some(Portability { outcomes, covers: covers.into_iter().flatten().collect() })
}

fn cover(what: &str, cells: &[Cell], kind: &str, artifact: impl Fn(&Cell) -> String) -> Option<Cover> {
    let tried = |cell: &&Cell| {
        cell.kind == kind && !matches!(cell.outcome, CellOutcome::Impossible | CellOutcome::Inferred)
    };
    let platforms: BTreeSet<&str> = cells.iter().filter(tried).map(|cell| cell.platform.as_str()).collect();
    if platforms.is_empty() {
        return None;
    }
    let mut reach: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for cell in cells.iter().filter(tried).filter(|cell| cell.outcome == CellOutcome::Works) {
        reach.entry(artifact(cell)).or_default().insert(&cell.platform);
    }
    Some(Cover { what: what.into(), platforms: platforms.len(), needed: needed(&reach) })
}

/// Greedy: the artifact that adds most comes next. That is never more than ln(platforms) + 1 times
/// the least (Johnson, *Approximation algorithms for combinatorial problems*, 1974), and the least
/// itself where one artifact's platforms do not overlap with another's.
fn needed(reach: &BTreeMap<String, BTreeSet<&str>>) -> Vec<usize> {
    let mut covered: BTreeSet<&str> = BTreeSet::new();
    let mut needed = Vec::new();
    for count in 1.. {
        let gain = |set: &BTreeSet<&str>| set.difference(&covered).count();
        let Some(best) = reach.values().max_by_key(|set| gain(set)).filter(|set| gain(set) > 0) else {
            break;
        };
        covered.extend(best);
        needed.resize(covered.len(), count);
    }
    needed
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn cell(kind: &str, artifact: &str, platform: &str, outcome: CellOutcome) -> Cell {
        Cell {
            kind: kind.into(),
            artifact: artifact.into(),
            platform: platform.into(),
            outcome,
            reason: String::new(),
            changes: String::new(),
            bytes: None,
            duration_ns: None,
        }
    }

    #[test]
    fn only_what_was_tried_covers_anything() {
        use CellOutcome::{Fails, Impossible, Inferred, Works};
        let cells = [
            cell("vm", "a.qcow2", "kvm", Works),
            cell("vm", "a.vmdk", "vmware", Fails),
            cell("vm", "b.vmdk", "vmware", Works),
            cell("vm", "b.qcow2", "kvm", Works),
            cell("vm", "b.raw", "kvm", Inferred),
            cell("vm", "a.vhdx", "hyperv", Impossible),
            cell("vm", "a.raw", "aws", Fails),
            cell("container", "sha256:1", "runc", Works),
            cell("container", "sha256:1", "crun", Works),
        ];
        let found = summarize(&cells, &Natives::new()).expect("cells");
        assert_eq!((found.covers[0].platforms, found.covers[0].needed.as_slice()), (3, &[1, 2][..]));
        let strict = [
            cell("vm", "a.qcow2", "kvm/bios", Works),
            cell("vm", "a.qcow2", "vmware/bios", Works),
            cell("vm", "a.vmdk", "vmware/bios", Works),
        ];
        let recorded = serde_json::json!({ "hardware": [{ "name": "vmware", "native_format": "vmdk" }] });
        let natives = natives(&BTreeMap::from([("portability".to_owned(), recorded)]));
        let covers = summarize(&strict, &natives).expect("cells").covers;
        assert_eq!((covers[0].needed.as_slice(), covers[1].needed.as_slice()), (&[1, 2][..], &[1, 1][..]));
        assert_eq!(found.covers[1].needed, [1, 1]);
        assert_eq!((found.covers[2].platforms, found.covers[2].needed.as_slice()), (2, &[1, 1][..]));
        assert_eq!(found.outcomes["vm"][&Works], 3);
        assert_eq!(summarize(&[], &Natives::new()), None);
    }
}
