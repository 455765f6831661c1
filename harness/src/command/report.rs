//! `bench report`: makes what is derived from a run's rows again, and prints the table.

use std::io::Write;

use comfy_table::{CellAlignment, Table, presets};
use results::LoadedRun;
use results::record::Outcome;

use crate::cli::ReportArgs;
use crate::failure::Failure;

/// Reads each run and reports it.
///
/// # Errors
/// A folder that holds no run, or files that cannot be written.
pub fn run(args: &ReportArgs, out: &mut impl Write) -> Result<u8, Failure> {
    for path in &args.runs {
        let loaded = LoadedRun::load(path).map_err(|error| Failure::Cannot(error.to_string()))?;
        write(&loaded, out)?;
    }
    Ok(0)
}

/// Writes the derived files and prints table, warnings and where the files are.
///
/// # Errors
/// Files or standard output that cannot be written.
pub fn write(loaded: &LoadedRun, out: &mut impl Write) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(["backend", "n", "ready", "failed", "timeout", "killed"]);
    for backend in &loaded.run.backends {
        let rows: Vec<_> = loaded
            .attempts
            .iter()
            .filter(|row| row.backend == *backend && !loaded.run.warmup_storms.contains(&row.storm))
            .collect();
        let count = |outcome| rows.iter().filter(|row| row.outcome == outcome).count().to_string();
        table.add_row([
            backend.clone(),
            rows.len().to_string(),
            count(Outcome::Ready),
            count(Outcome::Failed),
            count(Outcome::Timeout),
            count(Outcome::Killed),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    writeln!(out, "{table}")?;
    for (backend, why) in &loaded.run.unavailable {
        writeln!(out, "{backend}: left out: {why}")?;
    }
    for warning in loaded.warnings.iter().chain(&loaded.run.warnings) {
        writeln!(out, "warning: {warning}")?;
    }
    writeln!(out, "{}", loaded.path.display())?;
    Ok(())
}
