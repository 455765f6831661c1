//! `report.html`: one page that needs nothing else. On top what was found of each claim, then what
//! it rests on.

mod checks;
mod claims;
mod comparison;
mod dossier;
mod page;
mod portability;
mod readings;
mod recovery;
mod sweep;

pub use comparison::comparison;
pub use dossier::dossier;

use std::collections::BTreeMap;

use crate::chart::Chart;
use crate::density;
use crate::folder::LoadedRun;
use crate::summary::{BackendSummary, Metric, Row, Summary, table};
use crate::text::{duration, escape};
use page::{Section, details, figure, list, page};

/// Charts of memory; all others are of storms.
const MEMORY_CHARTS: [&str; 3] = ["density", "footprint", "merging"];
/// Charts of what was carried where.
const MATRIX_CHARTS: [&str; 4] = ["vm-formats", "vm-versions", "containers", "artifacts"];
/// Charts of what was asked and measured.
const READING_CHARTS: [&str; 2] = ["readings", "victim"];

/// The page of a run.
pub fn report(run: &LoadedRun, summary: &Summary, charts: &[Chart]) -> String {
    let (matrix, others): (Vec<&Chart>, Vec<&Chart>) =
        charts.iter().partition(|chart| MATRIX_CHARTS.contains(&chart.name));
    let (of_checks, others): (Vec<&Chart>, Vec<&Chart>) =
        others.into_iter().partition(|chart| chart.name == "checks");
    let (memory, others): (Vec<&Chart>, Vec<&Chart>) =
        others.into_iter().partition(|chart| MEMORY_CHARTS.contains(&chart.name));
    let (asked, storms): (Vec<&Chart>, Vec<&Chart>) =
        others.into_iter().partition(|chart| READING_CHARTS.contains(&chart.name));
    let figures = |charts: &[&Chart]| charts.iter().map(|chart| figure(chart, "")).collect::<String>();
    let sections = [
        Section::new("claims", "Findings", claims::glance(&summary.claims, charts)),
        Section::new("warnings", "Warnings", list(&summary.warnings)),
        Section::new("checks", "Isolation", figures(&of_checks) + &checks::checks(run)),
        Section::new("storms", "Storms", results(summary) + &figures(&storms) + &of_storms(summary)),
        Section::new(
            "portability",
            "Portability",
            figures(&matrix) + &portability::matrix(&run.matrix, summary.portability.as_ref()),
        ),
        Section::new("sizes", "Storms by size", sweep::sweep(summary)),
        Section::new("recovery", "After a failure", recovery::recoveries(summary)),
        Section::new("readings", "Asked and measured", readings::readings(summary) + &figures(&asked)),
        Section::new("memory", "Memory", memory_table(summary) + &figures(&memory)),
        Section::new("evidence", "Evidence", claims::evidence(&summary.claims)),
        Section::new("errors", "Errors", errors(summary)),
        Section::new("method", "Method", METHOD.into()),
        Section::new("self-test", "Self-test", properties(run.run.self_test.iter())),
        Section::new("host", "Host", properties(run.run.host.iter())),
        Section::new("data", "Raw data", data(run)),
        Section::new("repeat", "How to repeat it", repeat(&run.run.argv, run.run.seed, &run.run.versions)),
    ];
    page(&format!("{} {}", summary.scenario, run.run.began_at), &head(run, summary), &sections)
}

/// The page of a run without its charts and rows.
pub fn figures(summary: &Summary, began_at: &str) -> String {
    let sections = [
        Section::new("claims", "Findings", claims::glance(&summary.claims, &[])),
        Section::new("warnings", "Warnings", list(&summary.warnings)),
        Section::new("storms", "Storms", results(summary) + &of_storms(summary)),
        Section::new("sizes", "Storms by size", sweep::sweep(summary)),
        Section::new("recovery", "After a failure", recovery::recoveries(summary)),
        Section::new("readings", "Asked and measured", readings::readings(summary)),
        Section::new("memory", "Memory", memory_table(summary)),
        Section::new("evidence", "Evidence", claims::evidence(&summary.claims)),
        Section::new("errors", "Errors", errors(summary)),
        Section::new("method", "Method", METHOD.into()),
    ];
    let head = format!("<h1>{}</h1>\n<p class=\"dim\">{}</p>\n", escape(&summary.scenario), escape(began_at));
    page(&format!("{} {began_at}", summary.scenario), &head, &sections)
}

/// Tables and pictures of a run, as a part of another page.
fn body(summary: &Summary, charts: &[Chart], within: &str) -> String {
    let figures: String = charts.iter().map(|chart| figure(chart, within)).collect();
    let tables = [
        results(summary),
        sweep::sweep(summary),
        recovery::recoveries(summary),
        memory_table(summary),
        list(&summary.warnings),
        errors(summary),
    ];
    tables.concat() + &figures
}

/// How the figures were computed; `bench explain` has the details.
const METHOD: &str = "<p>All times are of the host's CLOCK_MONOTONIC; a guest's clock is never used. The clock starts when \
an attempt is <em>due</em>, and separately when the launcher begins with it. <em>Ready</em>: the first instruction of the \
workload has run and said so. <em>Serving</em>: it answered its first request.</p>\n<p>The storm is the unit of inference, \
for its instances share what the host did to them: medians are over storms, their 95 % intervals from resampling storms, \
then instances. Percentiles are over attempts and given where their number supports a distribution-free interval (p95 needs \
72). Attempts that failed or timed out rank above all others and are never dropped; outliers are labelled, never \
dropped. <code>bench explain METRIC</code> tells how each figure is computed.</p>\n";

/// The host in a line.
fn host_line(run: &LoadedRun) -> String {
    let text = |key: &str| run.run.host.get(key).filter(|value| !value.is_null()).map(plain);
    let host: Vec<String> =
        [("cpu_model", ""), ("cores", " cores"), ("kernel", "Linux"), ("accelerator", "accelerator")]
            .into_iter()
            .filter_map(|(key, word)| {
                let value = text(key)?;
                Some(match word.strip_prefix(' ') {
                    Some(unit) => format!("{value} {unit}"),
                    None => format!("{word} {value}").trim().to_owned(),
                })
            })
            .collect();
    if host.is_empty() { "a host that is not described".to_owned() } else { host.join(", ") }
}

fn head(run: &LoadedRun, summary: &Summary) -> String {
    let backends: Vec<String> = summary
        .backends
        .iter()
        .map(|one| match one.counted.total() {
            0 => one.backend.clone(),
            total => format!("{} ({} of {total} ready)", one.backend, one.counted.ready),
        })
        .collect();
    let mut html = format!(
        "<h1>{}</h1>\n<p>{}.</p>\n<p class=\"dim\">On {}; begun {}. Run {}, seed {}.</p>\n",
        escape(&summary.scenario),
        escape(&backends.join(", ")),
        escape(&host_line(run)),
        escape(&run.run.began_at),
        escape(&run.run.id),
        run.run.seed
    );
    if !summary.complete {
        html.push_str(
            "<p class=\"warn\">Incomplete: this run did not come to its planned end. Storms cut short are listed but count \
             in no figure.</p>\n",
        );
    }
    html
}

fn results(summary: &Summary) -> String {
    let has_no_storms =
        !summary.isolation.is_empty() || (summary.portability.is_some() && summary.attempts == 0);
    if !summary.has_like_storms() || has_no_storms {
        return String::new();
    }
    // A column of reasons why there is no figure is no column of figures.
    let has_p99 = summary.backends.iter().any(|backend| {
        let ready = backend.metrics.get(&Metric::ReadyFromStarted);
        ready.and_then(|found| found.percentiles.get("p99")).is_some_and(|p99| p99.value.is_some())
    });
    let column = |index: usize| has_p99 || Row::HEADS[index] != "p99";
    let heads: Vec<&str> = (0..Row::HEADS.len()).filter(|i| column(*i)).map(|i| Row::HEADS[i]).collect();
    let (measured, absent): (Vec<Row>, Vec<Row>) =
        table(summary).into_iter().partition(|row| !summary.unavailable.contains_key(&row.backend));
    let cells = |row: Row| {
        let cells = row.cells().into_iter().enumerate().filter(|(index, _)| column(*index));
        cells.map(|(_, cell)| cell.to_owned()).collect()
    };
    let rows: Vec<Vec<String>> = measured.into_iter().map(cells).collect();
    let absent: Vec<String> = absent.iter().map(|row| format!("{}: {}", row.backend, row.outcomes)).collect();
    let warmup: usize = summary.backends.iter().map(|backend| backend.warmup.total()).sum();
    let p99 = match has_p99 {
        true => "p99 over attempts with its distribution-free interval",
        false => "a p99 would need 368 attempts of a backend",
    };
    format!(
        "{}<p class=\"dim\">Medians over storms with 95 % intervals; {p99}. All {} attempts are in attempts.csv; \
         {warmup} of them are of warm-up storms, which are not counted.</p>\n{}",
        page::table(&heads, rows),
        summary.attempts,
        list(&absent)
    )
}

/// The values inference rests on, folded.
fn of_storms(summary: &Summary) -> String {
    if !summary.has_like_storms() {
        return String::new();
    }
    summary.backends.iter().map(of_backend).collect()
}

fn of_backend(backend: &BackendSummary) -> String {
    let rows: Vec<Vec<String>> = backend
        .metrics
        .iter()
        .map(|(metric, found)| {
            let values = found.storms.iter().map(|storm| storm.median_ns.map_or("never".into(), duration));
            let far = match (found.outliers.outside, found.outliers.far_out) {
                (0, 0) => "none".into(),
                (outside, far_out) => format!("{outside} outside, {far_out} far out"),
            };
            vec![metric.words().to_owned(), values.collect::<Vec<_>>().join(", "), far]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let title = format!("{}: the median of each of its {} storms", backend.backend, backend.storms);
    details(
        &title,
        &page::table(&["metric", "median of each storm", "outliers among attempts (labelled)"], rows),
    )
}

fn memory_table(summary: &Summary) -> String {
    if summary.density.is_empty() {
        return String::new();
    }
    let heads = density::heads(&summary.density);
    let heads: Vec<&str> = heads.iter().map(|head| head.as_ref()).collect();
    let rows =
        density::rows(&summary.density).into_iter().map(|row| row.iter().map(ToString::to_string).collect());
    format!(
        "{}<p class=\"dim\">Memory for one more instance: slope of a line through growing numbers of instances, mean over \
         repetitions with Student's 95 % interval. The methods count different things and are not to be added up; the last \
         ones are of the whole host, whatever else happened on it.</p>\n",
        page::table(&heads, rows)
    ) + &memory_changes(summary)
        + &list(&density::remarks(&summary.density))
}

fn memory_changes(summary: &Summary) -> String {
    let rows = density::change_rows(&summary.density);
    if rows.is_empty() {
        return String::new();
    }
    let heads = density::change_heads(&summary.density);
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    format!(
        "{}<p class=\"dim\">What each of the instances alive at the last step occupies more, or gives back, from one look \
         to the next; mean over repetitions with Student's 95 % interval.</p>\n",
        page::table(&heads, rows)
    )
}

fn errors(summary: &Summary) -> String {
    let errors: Vec<String> = summary
        .backends
        .iter()
        .flat_map(|backend| {
            backend.errors.iter().map(|(text, n)| format!("{} ({n}×): {text}", backend.backend))
        })
        .collect();
    list(&errors)
}

fn properties<'a>(all: impl Iterator<Item = (&'a String, &'a serde_json::Value)>) -> String {
    let rows: String = all
        .map(|(key, value)| format!("<tr><th>{}</th><td>{}</td></tr>\n", escape(key), escape(&plain(value))))
        .collect();
    match rows.is_empty() {
        true => "<p class=\"dim\">Not recorded.</p>\n".into(),
        false => format!("<div class=\"wide\"><table>{rows}</table></div>\n"),
    }
}

/// Links that work where the page lies in its run folder.
fn data(run: &LoadedRun) -> String {
    let files = [
        ("attempts.csv", "a row for every attempt, whatever became of it"),
        ("phases.csv", "the phases of each attempt"),
        ("host.csv", "the host and the canary over time"),
        ("storms.csv", "what each storm was"),
        ("memory.csv", "memory by every accounting method, a row a step"),
        ("ksm.csv", "what was merged"),
        ("matrix.csv", "what was carried where, a row a cell"),
        ("checks.csv", "a row a check and backend, with the evidence of both sides"),
        ("checks.tap", "the same for test runners (KTAP)"),
        ("checks.xml", "the same as JUnit XML"),
        ("readings.csv", "what was asked of limits, shares and accounts, and what was measured"),
        ("run.json", "plan, host, versions, launch configurations, self-test"),
        ("summary.json", "the figures of this page"),
        ("trace.json", "every instance a track: open it in ui.perfetto.dev"),
    ];
    let items: String = files
        .iter()
        .filter(|(name, _)| run.path.join(name).exists())
        .map(|(name, what)| format!("<li><a href=\"{name}\">{name}</a>: {what}</li>\n"))
        .collect();
    if items.is_empty() { items } else { format!("<ul>{items}</ul>\n") }
}

fn repeat(argv: &[String], seed: u64, versions: &BTreeMap<String, String>) -> String {
    let argv: Vec<String> = argv.iter().map(|word| quoted(word)).collect();
    let versions: Vec<String> = versions.iter().map(|(what, version)| format!("{what} {version}")).collect();
    format!(
        "<pre>{}</pre>\n<p class=\"dim\">With seed {seed}; {}.</p>\n",
        escape(&argv.join(" ")),
        escape(&versions.join(", "))
    )
}

/// A JSON value as people write it.
fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@+".contains(c);
    if !word.is_empty() && word.chars().all(safe) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}
