//! `bench report`: makes what is derived from a run's rows again, and prints the table.

use std::io::Write;
use std::path::{Path, PathBuf};

use results::claims::Verdict;
use results::dossier;
use results::{LoadedRun, Summary};

use crate::cli::ReportArgs;
use crate::failure::Failure;
use crate::terminal::{self, BOLD, YELLOW, paint};
use crate::{export, sides, table};

/// Reads each run and reports it.
///
/// # Errors
/// A folder that holds no run, or files that cannot be written.
pub fn run(args: &ReportArgs, out: &mut impl Write) -> Result<u8, Failure> {
    let (dossiers, runs): (Vec<PathBuf>, Vec<PathBuf>) =
        args.runs.iter().cloned().partition(|path| dossier::is_dossier(path));
    for path in &dossiers {
        super::trial::report(path, out)?;
    }
    for path in &runs {
        write(path, out)?;
    }
    if args.png {
        let parts = dossiers.iter().map(|path| sides::runs(path)).collect::<Result<Vec<_>, _>>()?;
        let parts = parts.iter().flatten().map(|run| run.path.as_path());
        for path in runs.iter().map(PathBuf::as_path).chain(parts) {
            pictures(path, out)?;
        }
    }
    if !args.export.is_empty() {
        let runs = runs.iter().map(|path| LoadedRun::load(path)).collect::<Result<Vec<_>, _>>();
        export::runs(&runs.map_err(sides::cannot)?, &args.export, out)?;
    }
    Ok(0)
}

/// Writes the charts of the run in `path` as PNG and says where they are.
#[cfg(feature = "png")]
fn pictures(path: &Path, out: &mut impl Write) -> Result<(), Failure> {
    let files = results::write_png(path).map_err(sides::cannot)?;
    files.iter().try_for_each(|file| writeln!(out, "{}", file.display()))?;
    Ok(())
}

#[cfg(not(feature = "png"))]
fn pictures(_: &Path, _: &mut impl Write) -> Result<(), Failure> {
    Err(Failure::Missing("this bench was built without --png (cargo build --features png)".into()))
}

/// Writes the derived files of the run in `path`, then prints table, verdicts, warnings and where the
/// files are.
///
/// # Errors
/// Files or standard output that cannot be written.
pub fn write(path: &Path, out: &mut impl Write) -> Result<Summary, Failure> {
    let summary = results::write_all(path).map_err(|error| Failure::Cannot(error.to_string()))?;
    let colours = terminal::stdout_colours();
    let carried = table::matrix(&summary);
    match table::sweep(&summary) {
        Some((sweep, knees)) => {
            print_table(sweep, out)?;
            knees.iter().try_for_each(|knee| writeln!(out, "  {knee}"))?;
        }
        // No instance of it has a row of its own.
        None if carried.is_some() && summary.attempts == 0 => {}
        None if !summary.isolation.is_empty() => print_table(table::checks(&summary), out)?,
        None if summary.has_like_storms() => print_table(table::table(&summary), out)?,
        None => {}
    }
    carried.map_or(Ok(()), |carried| print_table(carried, out))?;
    if summary.readings.is_empty() {
        table::footnotes(&summary).iter().try_for_each(|note| writeln!(out, "  {note}"))?;
    }
    if let Some(recoveries) = table::recoveries(&summary) {
        print_table(recoveries, out)?;
    }
    if let Some(readings) = table::readings(&summary) {
        print_table(readings, out)?;
    }
    if let Some(density) = table::density(&summary) {
        print_table(density, out)?;
        for remark in results::density::remarks(&summary.density) {
            writeln!(out, "  {remark}")?;
        }
    }
    for finding in &summary.claims {
        let (id, word) = (&finding.id, paint(colours, BOLD, finding.verdict.word()));
        let why = match &finding.verdict {
            Verdict::Undetermined(why) => format!(" ({why})"),
            _ => String::new(),
        };
        writeln!(out, "claim {id}, \"{}\": {word}{why}", finding.statement)?;
    }
    for warning in &summary.warnings {
        writeln!(out, "{} {warning}", paint(colours, YELLOW, "warning:"))?;
    }
    let report = path.join("report.html");
    let shown = if report.exists() { report } else { path.to_owned() };
    writeln!(out, "{}", shown.display())?;
    Ok(summary)
}

fn print_table(table: comfy_table::Table, out: &mut impl Write) -> std::io::Result<()> {
    // Trailing blanks of the last column are of no use to anybody.
    table.to_string().lines().try_for_each(|line| writeln!(out, "{}", line.trim_end()))
}
