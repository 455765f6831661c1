//! The matrix of what was carried where, in tables.

use super::page::{details, table};
use crate::portability::Portability;
use crate::record::{Cell, CellOutcome};
use crate::text::{duration, size};

const HEADS: [&str; 7] = ["what", "where", "outcome", "reason", "changed", "size", "took"];

/// Sums and one folded table for each kind.
pub(super) fn matrix(cells: &[Cell], found: Option<&Portability>) -> String {
    let Some(found) = found else { return String::new() };
    let mut html = table(
        &["kind", "outcomes"],
        found.outcomes.iter().map(|(kind, outcomes)| {
            let parts = outcomes.iter().map(|(outcome, count)| format!("{count} {}", outcome.word()));
            vec![kind.clone(), parts.collect::<Vec<_>>().join(", ")]
        }),
    );
    html.push_str(
        "<p class=\"dim\">Hypervisors are emulated: the rows show QEMU's models of their devices, not the hypervisors. \
         <em>works</em>, <em>differs</em>, <em>fails</em> and <em>refused</em> were tried; <em>inferred</em> was not, and says \
         what it follows from; <em>impossible</em> says why nothing could be tried. Containers inside a VM are also how Docker \
         Desktop runs them on macOS and Windows: what is shown is the container on the kernel of such a VM.</p>\n",
    );
    for kind in found.outcomes.keys() {
        let rows: Vec<Vec<String>> =
            cells.iter().filter(|cell| cell.kind == *kind).filter(shown).map(row).collect();
        html.push_str(&details(&format!("{kind}: {} rows", rows.len()), &table(&HEADS, rows)));
    }
    html
}

/// What is inferred is in the pictures and in matrix.csv.
fn shown(cell: &&Cell) -> bool {
    cell.outcome != CellOutcome::Inferred
}

fn row(cell: &Cell) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".into());
    vec![
        cell.artifact.clone(),
        cell.platform.clone(),
        cell.outcome.word().into(),
        cell.reason.clone(),
        cell.changes.clone(),
        or_dash(cell.bytes.map(|bytes| size(bytes as f64))),
        or_dash(cell.duration_ns.map(|ns| duration(ns as f64))),
    ]
}
