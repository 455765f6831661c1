//! A comparison on the terminal, and the exit code it ends with.

use std::io::Write;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use results::compare::{Change, Comparison, Level, Verdict};
use results::statistics::Estimate;
use results::text::ratio;

use crate::failure::{Failure, INCOMPARABLE, INCONCLUSIVE, REGRESSED};
use crate::terminal::{self, BOLD, GREEN, RED, YELLOW, paint};

/// Prints what is compared, a row a metric, why, and what a reader should know.
///
/// # Errors
/// Where standard output refuses.
pub fn print(comparison: &Comparison, out: &mut impl Write) -> Result<(), Failure> {
    let colours = terminal::stdout_colours();
    for (side, found) in [("base", &comparison.base), ("head", &comparison.head)] {
        let runs: Vec<&str> = found.runs.iter().map(|run| run.id.as_str()).collect();
        let ids = if runs.is_empty() { String::new() } else { format!("  (run {})", runs.join(", ")) };
        writeln!(out, "{side}  {}{ids}", found.label)?;
    }
    for line in table(comparison).to_string().lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    for change in &comparison.changes {
        let colour = match change.verdict {
            Verdict::Regressed => RED,
            Verdict::Improved => GREEN,
            Verdict::Unchanged => BOLD,
            Verdict::Inconclusive | Verdict::Incomparable => YELLOW,
        };
        let word = paint(colours, colour, change.verdict.word());
        writeln!(out, "  {} {}: {word}: {}", change.backend, change.metric, change.why)?;
    }
    for ignored in &comparison.ignored {
        writeln!(out, "  {} {}: ignored: {}", ignored.backend, ignored.metric, ignored.reason)?;
    }
    for note in &comparison.notes {
        writeln!(out, "{} {note}", paint(colours, YELLOW, "note:"))?;
    }
    Ok(())
}

/// The exit code: a regression always, what could not be told only where it must be.
pub fn exit_code(comparison: &Comparison, strict: bool) -> u8 {
    match comparison.overall() {
        Verdict::Regressed => REGRESSED,
        Verdict::Incomparable if strict => INCOMPARABLE,
        Verdict::Inconclusive if strict => INCONCLUSIVE,
        _ => 0,
    }
}

fn table(comparison: &Comparison) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header([
        "backend",
        "metric",
        "base",
        "head",
        "head ÷ base [95 %]",
        "head − base [95 %]",
        "p",
        "n",
        "verdict",
    ]);
    for change in &comparison.changes {
        table.add_row(row(change));
    }
    for column in [2, 3, 4, 5, 6, 7] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn row(change: &Change) -> [String; 9] {
    let level = |level: &Level| level.value.map_or("–".into(), |value| change.metric.show(value));
    [
        change.backend.clone(),
        change.metric.to_string(),
        level(&change.base),
        level(&change.head),
        factor(&change.ratio),
        difference(change),
        change.adjusted_p.map_or("–".into(), p_value),
        format!("{}+{}", change.base.n, change.head.n),
        change.verdict.word().to_owned(),
    ]
}

fn factor(estimate: &Estimate) -> String {
    match (estimate.value, estimate.low, estimate.high) {
        (Some(value), Some(low), Some(high)) => {
            format!("{} [{}, {}]", ratio(value), ratio(low), ratio(high))
        }
        (Some(value), Some(low), None) => format!("{} [{}, ∞)", ratio(value), ratio(low)),
        (Some(value), ..) => ratio(value),
        _ => "–".into(),
    }
}

fn difference(change: &Change) -> String {
    let show = |value| change.metric.show(value);
    match (change.difference.value, change.difference.low, change.difference.high) {
        (Some(value), Some(low), Some(high)) => format!("{} [{}, {}]", show(value), show(low), show(high)),
        (Some(value), ..) => show(value),
        _ => "–".into(),
    }
}

fn p_value(p: f64) -> String {
    if p < 0.0001 { "<0.0001".into() } else { format!("{p:.4}") }
}
