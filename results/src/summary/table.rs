//! The rows of the table on the terminal and in the report.

use super::{BackendSummary, Metric, MetricSummary, Summary};
use crate::statistics::Estimate;
use crate::text::{duration, ratio};

/// A row of the table, ready to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Backend.
    pub backend: String,
    /// Counted storms.
    pub storms: String,
    /// Counted attempts by outcome.
    pub outcomes: String,
    /// Median start → ready over storms, with its interval.
    pub ready: String,
    /// Median due → ready over storms, with its interval.
    pub ready_from_due: String,
    /// p99 start → ready over attempts, or why not.
    pub p99: String,
    /// Median start → serving over storms, with its interval; empty where nothing serves.
    pub serving: String,
    /// Start → ready as a multiple of `process`, with its interval.
    pub times_process: String,
}

impl Row {
    /// Heads of the columns, in the order of [`Row::cells`].
    pub const HEADS: [&'static str; 8] = [
        "backend",
        "storms",
        "attempts",
        "start → ready (median)",
        "due → ready (median)",
        "p99",
        "start → serving (median)",
        "× process",
    ];

    /// The cells.
    pub fn cells(&self) -> [&str; 8] {
        [
            &self.backend,
            &self.storms,
            &self.outcomes,
            &self.ready,
            &self.ready_from_due,
            &self.p99,
            &self.serving,
            &self.times_process,
        ]
    }
}

/// A row a backend, then one for each that was not available.
pub fn table(summary: &Summary) -> Vec<Row> {
    let measured = summary.backends.iter().map(row);
    let unavailable = summary
        .unavailable
        .iter()
        .filter(|(name, _)| !summary.backends.iter().any(|backend| backend.backend == **name))
        .map(|(name, reason)| Row {
            backend: name.clone(),
            storms: "–".into(),
            outcomes: format!("not available: {reason}"),
            ready: String::new(),
            ready_from_due: String::new(),
            p99: String::new(),
            serving: String::new(),
            times_process: String::new(),
        });
    measured.chain(unavailable).collect()
}

fn row(backend: &BackendSummary) -> Row {
    let metric = |metric| backend.metrics.get(&metric);
    let median = |which| metric(which).map(|found| with_interval(&found.storm_median, duration));
    let started = metric(Metric::ReadyFromStarted);
    Row {
        backend: backend.backend.clone(),
        storms: backend.storms.to_string(),
        outcomes: outcomes(backend),
        ready: median(Metric::ReadyFromStarted).unwrap_or_else(|| "–".into()),
        ready_from_due: median(Metric::ReadyFromScheduled).unwrap_or_else(|| "–".into()),
        p99: match started.and_then(|found| found.percentiles.get("p99")) {
            Some(p99) => with_interval(p99, duration),
            None => "–".into(),
        },
        serving: median(Metric::ServingFromStarted).unwrap_or_default(),
        times_process: if backend.backend == "process" { "1".into() } else { times(started) },
    }
}

fn times(started: Option<&MetricSummary>) -> String {
    started.map_or("–".into(), |found| with_interval(&found.times_process, ratio))
}

fn outcomes(backend: &BackendSummary) -> String {
    let counted = &backend.counted;
    let mut text = format!("{} of {} ready", counted.ready, counted.total());
    for (n, what) in [(counted.failed, "failed"), (counted.timeout, "timed out"), (counted.killed, "killed")]
    {
        if n > 0 {
            text.push_str(&format!(", {n} {what}"));
        }
    }
    if backend.interrupted_storms > 0 {
        text.push_str(&format!(" (+{} in storms cut short)", backend.interrupted.total()));
    }
    text
}

/// `value [low, high]`, or why there is no value.
pub(crate) fn with_interval(estimate: &Estimate, unit: fn(f64) -> String) -> String {
    match (estimate.value, estimate.low, estimate.high) {
        (None, ..) => estimate.reason.clone(),
        (Some(value), Some(low), Some(high)) => format!("{} [{}, {}]", unit(value), unit(low), unit(high)),
        (Some(value), Some(low), None) => format!("{} [{}, ∞)", unit(value), unit(low)),
        (Some(value), ..) => unit(value),
    }
}
