//! The table a run ends with.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use results::Summary;
use results::statistics::Estimate;
use results::summary::{BackendSummary, Metric};
use results::text::{duration, ratio};

/// Heads of the columns.
const HEADS: [&str; 7] =
    ["backend", "n", "outcomes", "start → ready p50 [95 %]", "p95", "× process", "start → serving p50"];

/// A row a backend: what was counted, and by how much it differs from the bare process.
pub fn table(summary: &Summary) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(HEADS);
    for backend in &summary.backends {
        table.add_row(cells(backend));
    }
    for (backend, _) in summary.unavailable.iter().filter(|(name, _)| !measured(summary, name)) {
        table.add_row([backend, "0", "left out", "–", "–", "–", "–"]);
    }
    for column in [1, 3, 4, 5, 6] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Heads of the table of what was carried where.
const MATRIX_HEADS: [&str; 2] = ["carried", "what became of it"];

/// A row a kind of thing that was carried.
pub fn matrix(summary: &Summary) -> Option<Table> {
    let found = summary.portability.as_ref()?;
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(MATRIX_HEADS);
    for (kind, outcomes) in &found.outcomes {
        let parts: Vec<String> =
            outcomes.iter().map(|(outcome, count)| format!("{count} {}", outcome.word())).collect();
        table.add_row([kind.clone(), parts.join(", ")]);
    }
    for cover in &found.covers {
        let most = cover.needed.last().copied().unwrap_or(0);
        let told = format!("{most} for {} of {} platforms", cover.needed.len(), cover.platforms);
        table.add_row([cover.what.clone(), told]);
    }
    Some(table)
}

/// A row a backend: how many checks of isolation came to each verdict; then the checks on which
/// backends differ are in the report.
pub fn checks(summary: &Summary) -> Table {
    let mut verdicts: Vec<&str> =
        summary.isolation.iter().flat_map(|one| one.verdicts.keys().map(String::as_str)).collect();
    verdicts.sort_unstable();
    verdicts.dedup();
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(std::iter::once("backend").chain(verdicts.iter().copied()).chain(["not expected"]));
    for one in &summary.isolation {
        let count = |verdict: &&str| one.verdicts.get(*verdict).map_or("–".to_owned(), usize::to_string);
        let failures = if one.failures.is_empty() { "–".to_owned() } else { one.failures.join(", ") };
        let cells = verdicts.iter().map(count);
        table.add_row(std::iter::once(one.backend.clone()).chain(cells).chain([failures]));
    }
    table
}

/// Heads of the drills' table.
const RECOVERY_HEADS: [&str; 7] =
    ["backend", "dies", "drills", "half serve after", "90 %", "all", "requests lost"];

/// A row a backend and mode of failure.
pub fn recoveries(summary: &Summary) -> Option<Table> {
    if summary.recoveries.is_empty() {
        return None;
    }
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(RECOVERY_HEADS);
    for one in &summary.recoveries {
        let of = |estimate| interval(estimate, duration).unwrap_or_else(|| "–".into());
        table.add_row([
            one.backend.clone(),
            one.mode.clone(),
            format!("{} of {}", one.drills, one.instances),
            of(&one.half_ns),
            of(&one.most_ns),
            of(&one.all_ns),
            format!("{} of {}", one.lost_total, one.requests_total),
        ]);
    }
    Some(table)
}

/// Heads of the table of what was asked and measured.
const READING_HEADS: [&str; 7] =
    ["backend", "mechanism", "case", "said by", "asked", "measured [95 %]", "it"];

/// A row a case of what was asked of limits, shares and accounts.
pub fn readings(summary: &Summary) -> Option<Table> {
    if summary.readings.is_empty() {
        return None;
    }
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(READING_HEADS);
    for one in &summary.readings {
        table.add_row([
            one.backend.clone(),
            one.mechanism.clone(),
            format!("{}{}", one.case, if one.control { " (control)" } else { "" }),
            one.by.clone(),
            one.asked.map_or("–".into(), |asked| results::readings::value(asked, &one.unit)),
            results::readings::words(&one.measured, &one.unit),
            one.standing.word().to_owned(),
        ]);
    }
    Some(table)
}

/// Heads of the sweep's table.
const SWEEP_HEADS: [&str; 9] = [
    "backend",
    "cores",
    "arrival",
    "images",
    "storm of",
    "starts/core",
    "due → there p50 [95 %]",
    "per second",
    "canary",
];

/// A row a point of the sweep, and the knee of each curve in a sentence.
pub fn sweep(summary: &Summary) -> Option<(Table, Vec<String>)> {
    if summary.sweep.is_empty() {
        return None;
    }
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(SWEEP_HEADS);
    let mut knees = Vec::new();
    for curve in &summary.sweep {
        for point in &curve.points {
            let missed = match point.missed {
                0 => String::new(),
                missed => format!(" ({missed} of {} missed)", point.attempts),
            };
            table.add_row([
                curve.backend.clone(),
                curve.cores.to_string(),
                curve.arrival.clone(),
                curve.images.clone(),
                format!("{}{missed}", point.instances),
                format!("{:.1}", point.starts_per_core),
                interval(&point.from_due_ns, duration).unwrap_or_else(|| "–".into()),
                point.per_s.value.map_or_else(|| "–".into(), |per_s| format!("{per_s:.1}")),
                point.canary_slowdown.map_or_else(|| "–".into(), ratio),
            ]);
        }
        let name =
            format!("{} on {} cores, {}, {} images", curve.backend, curve.cores, curve.arrival, curve.images);
        knees.push(match interval(&curve.knee_starts_per_core, |starts| format!("{starts:.2}")) {
            Some(knee) => format!("{name}: knee at {knee} starts per core"),
            None => format!("{name}: no knee: {}", curve.knee_starts_per_core.reason),
        });
    }
    for model in &summary.sweep_models {
        if let Some(error) = model.held_out_error_ratio {
            knees.push(format!(
                "model: {}: by starts per core alone, {} cores are predicted from fewer with an error of {:.0} %",
                model.backend,
                model.from_cores,
                error * 100.0
            ));
        }
    }
    for column in 4..9 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    Some((table, knees))
}

/// A row an accounting method, a column a backend: what one more instance costs in memory.
pub fn density(summary: &Summary) -> Option<Table> {
    let all = &summary.density;
    if all.is_empty() {
        return None;
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    // Turned by a quarter: there are more methods than backends, and a terminal is narrow.
    let rows = results::density::rows(all);
    for (line, head) in results::density::heads(all).iter().enumerate() {
        let cells = std::iter::once(head).chain(rows.iter().map(|row| &row[line]));
        if line == 0 {
            table.set_header(
                std::iter::once("one more instance").chain(rows.iter().map(|row| row[0].as_str())),
            );
        } else {
            table.add_row(cells);
        }
    }
    Some(table)
}

/// Why a cell of the table is empty, a sentence each.
pub fn footnotes(summary: &Summary) -> Vec<String> {
    let mut notes: Vec<String> = summary
        .unavailable
        .iter()
        .filter(|(name, _)| !measured(summary, name))
        .map(|(name, why)| format!("{name} was left out: {why}"))
        .collect();
    for backend in &summary.backends {
        for (error, count) in backend.errors.iter().take(3) {
            notes.push(format!("{}: {count} × {error}", backend.backend));
        }
        notes.extend(backend.measures.iter().map(|measured| format!("{}: {measured}", backend.backend)));
        if let Some(why) = percentile(backend, "p95").map(|p95| &p95.reason).filter(|why| !why.is_empty()) {
            notes.push(format!("{}: no p95: {why}", backend.backend));
        }
    }
    notes
}

fn measured(summary: &Summary, name: &str) -> bool {
    summary.backends.iter().any(|backend| backend.backend == name)
}

fn cells(backend: &BackendSummary) -> [String; 7] {
    let started = backend.metrics.get(&Metric::ReadyFromStarted);
    let serving = backend.metrics.get(&Metric::ServingFromStarted);
    let of = |estimate: Option<&Estimate>, unit: fn(f64) -> String| {
        estimate.and_then(|estimate| interval(estimate, unit)).unwrap_or_else(|| "–".into())
    };
    [
        backend.backend.clone(),
        backend.counted.total().to_string(),
        outcomes(backend),
        of(started.map(|metric| &metric.storm_median), duration),
        of(percentile(backend, "p95"), duration),
        match backend.backend.as_str() {
            // What it is measured in: an interval around 1 would only raise questions.
            "process" => "1".into(),
            _ => of(started.map(|metric| &metric.times_process), ratio),
        },
        of(serving.map(|metric| &metric.storm_median), duration),
    ]
}

fn percentile<'a>(backend: &'a BackendSummary, name: &str) -> Option<&'a Estimate> {
    backend.metrics.get(&Metric::ReadyFromStarted)?.percentiles.get(name)
}

/// `value [low, high]`, as far as the attempts support it.
fn interval(estimate: &Estimate, unit: fn(f64) -> String) -> Option<String> {
    let value = unit(estimate.value?);
    Some(match (estimate.low, estimate.high) {
        (Some(low), Some(high)) => format!("{value} [{}, {}]", unit(low), unit(high)),
        (Some(low), None) => format!("{value} [{}, ∞)", unit(low)),
        (None, _) => value,
    })
}

fn outcomes(backend: &BackendSummary) -> String {
    let counted = &backend.counted;
    let named = [
        (counted.ready, "ready"),
        (counted.failed, "failed"),
        (counted.timeout, "timed out"),
        (counted.killed, "killed"),
    ];
    let mut parts: Vec<String> = named
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    if backend.interrupted_storms > 0 {
        parts.push(format!("({} in storms cut short)", backend.interrupted.total()));
    }
    if parts.is_empty() { "none".into() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use results::LoadedRun;
    use results::record::{Attempt, Outcome, Run};

    fn attempt(storm: u32, instance: u32, backend: &str, ready_ns: Option<u64>) -> Attempt {
        Attempt {
            storm,
            backend: backend.into(),
            instance,
            config: String::new(),
            scheduled_ns: 0,
            started_ns: Some(0),
            ready_ns,
            serving_ns: None,
            stopped_ns: None,
            outcome: if ready_ns.is_some() { Outcome::Ready } else { Outcome::Failed },
            error: if ready_ns.is_some() { String::new() } else { "no memory".into() },
        }
    }

    fn run() -> LoadedRun {
        let run = Run {
            plan: serde_json::json!({ "instances": 2 }),
            backends: vec!["process".into(), "container".into()],
            unavailable: [("vm:direct".to_owned(), "no QEMU".to_owned())].into(),
            complete: true,
            ..Run::new("x", "boot-storm")
        };
        let mut attempts = Vec::new();
        for storm in 0..12 {
            let (backend, ready_ns) =
                if storm % 2 == 0 { ("process", 1_000_000) } else { ("container", 3_000_000) };
            attempts.push(attempt(storm, 0, backend, Some(ready_ns)));
            attempts.push(attempt(storm, 1, backend, (storm != 3).then_some(ready_ns)));
        }
        LoadedRun { attempts, ..LoadedRun::without_rows(run) }
    }

    #[test]
    fn every_backend_has_a_row_also_the_one_left_out() {
        let summary = results::summarize(&run());
        let text = table(&summary).to_string();
        let row =
            |name: &str| text.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_default();
        assert!(row("process").contains("12 ready"), "{text}");
        assert!(row("container").contains("11 ready, 1 failed"), "{text}");
        assert!(row("container").contains("3.00 ms") && row("container").contains("3.00×"), "{text}");
        assert!(row("vm:direct").contains("left out"), "{text}");
        let notes = footnotes(&summary).join("\n");
        assert!(notes.contains("no QEMU") && notes.contains("container: 1 × no memory"), "{notes}");
    }
}
