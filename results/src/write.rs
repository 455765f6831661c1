//! Everything that is made from the rows, made again.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::chart::Chart;
use crate::folder::{LoadedRun, replace};
use crate::summary::{Summary, summarize};
use crate::{Error, chart, isolation, report, trace};

/// Makes `summary.json`, `trace.json`, `charts/*.svg` and `report.html` of the run in `path`,
/// over what is there. The rows are only read.
///
/// # Errors
/// Where the run cannot be read or a file not be written.
pub fn write_all(path: &Path) -> Result<Summary, Error> {
    let run = LoadedRun::load(path)?;
    let summary = summarize(&run);
    derived(&run, &summary)?;
    Ok(summary)
}

/// As [`write_all`] for a run that is read already; gives back its charts.
pub(crate) fn derived(run: &LoadedRun, summary: &Summary) -> Result<Vec<Chart>, Error> {
    let path = &run.path;
    write_json(&path.join("summary.json"), summary)?;
    // Not indented: it is read by programs only.
    replace(&path.join("trace.json"), trace::trace(run).to_string().as_bytes())?;
    let charts = chart::all(run, summary)?;
    let folder = path.join("charts");
    fs::create_dir_all(&folder).map_err(Error::system("make the folder", &folder))?;
    for chart in &charts {
        replace(&folder.join(format!("{}.svg", chart.name)), chart.svg.as_bytes())?;
    }
    if !run.checks.is_empty() {
        replace(&path.join("checks.tap"), isolation::ktap(&run.checks).as_bytes())?;
        let xml = isolation::junit(&run.checks)
            .map_err(|refused| Error::Invalid { path: path.join("checks.xml"), what: refused.to_string() })?;
        replace(&path.join("checks.xml"), xml.as_bytes())?;
        let table = isolation::mutation::markdown(&run.checks);
        if !table.is_empty() {
            replace(&path.join("mutations.md"), table.as_bytes())?;
        }
    }
    replace(&path.join("report.html"), report::report(run, summary, &charts).as_bytes())?;
    Ok(charts)
}

/// Writes `value` as indented JSON in one step.
///
/// # Errors
/// What the system said.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let mut text = serde_json::to_vec_pretty(value)
        .map_err(|refused| Error::Invalid { path: path.to_owned(), what: refused.to_string() })?;
    text.push(b'\n');
    replace(path, &text)
}
