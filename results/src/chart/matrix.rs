//! What was carried where, as heat maps: a row a place, a column a thing, and what was said in each
//! cell shown by whatever shows the picture when it is pointed at (SVG 1.1, section 5.4, `title`).

use std::fmt::Write;

use super::{Chart, WIDTH, short};
use crate::record::{Cell, CellOutcome};
use crate::text::{duration, escape, size};

/// Pixels for the names of the places.
const LEFT: usize = 250;
const ROW: usize = 26;
/// Pixels of a line in the heads.
const LINE: usize = 14;
const LEGEND: usize = 30;

/// What a cell shows: the best that was found there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Unchanged,
    Changed,
    Differs,
    Inferred,
    Refused,
    Fails,
    Impossible,
}

impl State {
    const ALL: [State; 7] = [
        State::Unchanged,
        State::Changed,
        State::Differs,
        State::Inferred,
        State::Refused,
        State::Fails,
        State::Impossible,
    ];

    fn of(cell: &Cell) -> State {
        match cell.outcome {
            CellOutcome::Works if is_unchanged(cell) => State::Unchanged,
            CellOutcome::Works => State::Changed,
            CellOutcome::Differs => State::Differs,
            CellOutcome::Inferred => State::Inferred,
            CellOutcome::Refused => State::Refused,
            CellOutcome::Fails => State::Fails,
            CellOutcome::Impossible => State::Impossible,
        }
    }

    /// Colour, sign and words; the sign tells without the colour.
    fn look(self) -> (&'static str, &'static str, &'static str) {
        match self {
            State::Unchanged => ("#009e73", "✓", "works unchanged"),
            State::Changed => ("#e69f00", "✓ changed", "works after changes"),
            State::Differs => ("#cc79a7", "≠", "runs and differs"),
            State::Inferred => ("#9ad5c3", "(✓)", "inferred, not tried"),
            State::Refused => ("#56b4e9", "refused", "refused"),
            State::Fails => ("#d55e00", "✗", "fails"),
            State::Impossible => ("#999999", "–", "cannot be tried here"),
        }
    }
}

/// Whether no byte of the content was changed: another file format is none.
pub(crate) fn is_unchanged(cell: &Cell) -> bool {
    cell.changes.is_empty() || (cell.changes.starts_with("converted to ") && !cell.changes.contains(';'))
}

/// The heat maps there are cells for.
pub(super) fn draw(cells: &[Cell]) -> Vec<Chart> {
    let of = |kind: &str| cells.iter().filter(|cell| cell.kind == kind).collect::<Vec<_>>();
    let format = |cell: &Cell| cell.artifact.rsplit('.').next().unwrap_or_default().to_owned();
    let content = |cell: &Cell| cell.artifact.split('.').next().unwrap_or_default().to_owned();
    let charts = [
        one(
            "vm-formats",
            &of("vm"),
            format,
            "One installed disk in other formats, on hardware like other hypervisors' (all emulated by QEMU). Point at a \
             cell for the reason",
        ),
        one(
            "vm-versions",
            &of("vm"),
            content,
            "Versions of the disk's content (kernel, initramfs, boot loaders), on the same hardware, whatever the format",
        ),
        one(
            "containers",
            &of("container"),
            |cell| cell.artifact.clone(),
            "One image on runtimes, engines, kernels and both versions of cgroups: ✓ where its report is the same bytes",
        ),
    ];
    charts.into_iter().flatten().collect()
}

fn one(
    name: &'static str,
    cells: &[&Cell],
    column_of: impl Fn(&Cell) -> String,
    caption: &str,
) -> Option<Chart> {
    if cells.is_empty() {
        return None;
    }
    let mut columns: Vec<String> = Vec::new();
    let mut rows: Vec<&str> = Vec::new();
    for cell in cells {
        let column = column_of(cell);
        if !columns.contains(&column) {
            columns.push(column);
        }
        if !rows.contains(&cell.platform.as_str()) {
            rows.push(&cell.platform);
        }
    }
    let heads: Vec<Vec<String>> = columns.iter().map(|column| lines(column)).collect();
    let top = LINE * heads.iter().map(Vec::len).max().unwrap_or(1) + 12;
    let wide = (WIDTH as usize - LEFT) / columns.len();
    let height = top + ROW * rows.len() + LEGEND * 2;
    // Writing into a string cannot fail.
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n"
    );
    for (number, head) in heads.iter().enumerate() {
        let x = LEFT + number * wide + wide / 2;
        for (line, text) in head.iter().enumerate() {
            let y = LINE * (line + 1);
            let _ = writeln!(
                svg,
                "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\" fill=\"#222222\">{}</text>",
                escape(&short(text, wide / 6))
            );
        }
    }
    for (line, row) in rows.iter().enumerate() {
        let y = top + line * ROW;
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#222222\">{}</text>",
            LEFT - 8,
            y + 17,
            escape(&short(row, 40))
        );
        for (number, column) in columns.iter().enumerate() {
            let here: Vec<&&Cell> =
                cells.iter().filter(|cell| cell.platform == *row && column_of(cell) == *column).collect();
            let Some(state) = here.iter().map(|cell| State::of(cell)).min() else { continue };
            let (colour, sign, words) = state.look();
            let said: Vec<String> = here.iter().map(|cell| tell(cell)).collect();
            let x = LEFT + number * wide;
            let _ = writeln!(
                svg,
                "<g><title>{}</title><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"2\" fill=\"{colour}\"/>\
                 <text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"#000000\" style=\"fill:#000\">{sign}</text></g>",
                escape(&format!("{row}, {column}: {words}\n{}", said.join("\n"))),
                x + 1,
                y + 1,
                wide - 2,
                ROW - 2,
                x + wide / 2,
                y + 17,
            );
        }
    }
    let present = |state: &State| cells.iter().any(|cell| State::of(cell) == *state);
    let mut x = 10;
    let y = top + ROW * rows.len() + 20;
    for state in State::ALL.into_iter().filter(present) {
        let (colour, _, words) = state.look();
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{}\" width=\"10\" height=\"10\" fill=\"{colour}\"/><text x=\"{}\" y=\"{}\" \
             fill=\"#222222\">{words}</text>",
            y - 9,
            x + 15,
            y
        );
        x += 30 + 7 * words.len();
    }
    svg.push_str("</svg>\n");
    let tried = |cell: &&&Cell| !matches!(cell.outcome, CellOutcome::Inferred | CellOutcome::Impossible);
    let caption =
        format!("{caption} ({} of {} cells were tried).", cells.iter().filter(tried).count(), cells.len());
    Some(Chart { name, caption, svg })
}

/// A head, broken where its parts are joined.
fn lines(text: &str) -> Vec<String> {
    text.split(['_', ' ']).map(str::to_owned).collect()
}

/// A cell in words.
fn tell(cell: &Cell) -> String {
    let mut text = format!("{}: {}", cell.artifact, cell.outcome.word());
    if let Some(ns) = cell.duration_ns {
        let _ = write!(text, " in {}", duration(ns as f64));
    }
    if let Some(bytes) = cell.bytes {
        let _ = write!(text, ", {}", size(bytes as f64));
    }
    for part in [&cell.reason, &cell.changes] {
        if !part.is_empty() {
            let _ = write!(text, "; {part}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::portability::tests::cell;

    #[test]
    fn a_cell_shows_the_best_of_it_and_says_all() {
        let fails = cell("vm", "a.vmdk", "vmware", CellOutcome::Fails);
        let fails = Cell { reason: "root not found <b>".into(), ..fails };
        let works = cell("vm", "b.vmdk", "vmware", CellOutcome::Works);
        let works = Cell { changes: "another initramfs; converted to vmdk".into(), ..works };
        let same = cell("vm", "a.vmdk", "kvm", CellOutcome::Works);
        let same = Cell { changes: "converted to vmdk".into(), ..same };
        let charts = draw(&[fails, works, same]);
        assert_eq!(charts.len(), 2);
        let svg = &charts[0].svg;
        assert!(svg.contains("root not found &lt;b&gt;") && svg.contains("✓ changed"), "{svg}");
        assert!(
            svg.contains("vmware, vmdk: works after changes") && svg.contains("kvm, vmdk: works unchanged")
        );
        assert!(!svg.contains("inferred") && charts[0].caption.contains("3 of 3 cells were tried"));
        assert!(draw(&[]).is_empty());
    }
}
