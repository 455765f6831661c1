//! Results in the formats of others, one file each.

mod bencher;
mod csv;
mod github;
mod github_action_benchmark;
mod html;
mod json;
mod junit;
mod markdown;
mod openmetrics;
mod otava;
pub mod schema;

use std::io::{self, Write};

use crate::claims::Finding;
use crate::compare::{Comparison, Quantity, RunRef, Verdict};
use crate::record::Run;
use crate::statistics::Estimate;
use crate::summary::{BackendSummary, Summary};

/// A format.
pub trait Export: Sync {
    /// What a user calls it.
    fn name(&self) -> &'static str;

    /// What it is for, in a line.
    fn description(&self) -> &'static str;

    /// Writes one document, or several runs after each other where the format has room for them.
    ///
    /// # Errors
    /// What the writer said.
    fn write(&self, documents: &[Document], out: &mut dyn Write) -> io::Result<()>;
}

/// All formats.
pub fn all() -> &'static [&'static dyn Export] {
    &[
        &markdown::Markdown,
        &html::Html,
        &github::Annotations,
        &github::StepSummary,
        &junit::JUnit,
        &json::Json,
        &csv::Csv,
        &openmetrics::OpenMetrics,
        &bencher::Bencher,
        &github_action_benchmark::GithubActionBenchmark,
        &otava::Otava,
    ]
}

/// The format called `name`.
pub fn by_name(name: &str) -> Option<&'static dyn Export> {
    all().iter().copied().find(|format| format.name() == name)
}

/// A run or a comparison, as exporters see it.
#[derive(Clone, Debug)]
pub struct Document {
    /// Scenario.
    pub scenario: String,
    /// When the run (the head's newest) began, RFC 3339.
    pub began_at: String,
    /// One for each backend and metric.
    pub figures: Vec<Figure>,
    /// Verdicts on claims.
    pub findings: Vec<Finding>,
    /// What a reader should know.
    pub notes: Vec<String>,
    /// What it was made from.
    pub source: Source,
}

/// What a document was made from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A run.
    Run(Box<Summary>),
    /// A comparison.
    Comparison(Box<Comparison>),
}

/// One number with its interval, and its verdict where it was compared.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Backend.
    pub backend: String,
    /// Metric.
    pub metric: Quantity,
    /// Median over storms in nanoseconds (mean for a share), with its interval.
    pub estimate: Estimate,
    /// Storms.
    pub n_storms: usize,
    /// Attempts.
    pub n_attempts: usize,
    /// The verdict and why, where it was compared.
    pub verdict: Option<(Verdict, String)>,
    /// The base's value, where it was compared.
    pub base: Option<f64>,
    /// Head as a multiple of base, where it was compared.
    pub ratio: Option<Estimate>,
}

impl Document {
    /// Of a run.
    pub fn of_run(run: &Run, summary: &Summary) -> Document {
        Document {
            scenario: summary.scenario.clone(),
            began_at: run.began_at.clone(),
            figures: summary.backends.iter().flat_map(figures).collect(),
            findings: summary.claims.clone(),
            notes: summary.warnings.clone(),
            source: Source::Run(Box::new(summary.clone())),
        }
    }

    /// Of a comparison.
    pub fn of_comparison(comparison: &Comparison) -> Document {
        let newest = comparison.head.runs.last();
        let text = |of: fn(&RunRef) -> &String| newest.map(of).cloned().unwrap_or_default();
        let figures = comparison.changes.iter().map(|change| Figure {
            backend: change.backend.clone(),
            metric: change.metric,
            estimate: Estimate { value: change.head.value, ..Estimate::default() },
            n_storms: change.head.n,
            n_attempts: change.head.n_attempts,
            verdict: Some((change.verdict, change.why.clone())),
            base: change.base.value,
            ratio: Some(change.ratio.clone()),
        });
        Document {
            scenario: text(|run| &run.scenario),
            began_at: text(|run| &run.began_at),
            figures: figures.collect(),
            findings: Vec::new(),
            notes: comparison.notes.clone(),
            source: Source::Comparison(Box::new(comparison.clone())),
        }
    }
}

fn figures(backend: &BackendSummary) -> Vec<Figure> {
    let of = |metric, estimate, n_storms, n_attempts| Figure {
        backend: backend.backend.clone(),
        metric,
        estimate,
        n_storms,
        n_attempts,
        verdict: None,
        base: None,
        ratio: None,
    };
    let mut all = Vec::new();
    for quantity in Quantity::ALL {
        match quantity.metric() {
            Some(metric) => {
                if let Some(found) = backend.metrics.get(&metric) {
                    all.push(of(quantity, found.storm_median.clone(), found.n_storms, found.n_attempts));
                }
            }
            None => {
                let n = backend.counted.total();
                if n > 0 {
                    let share = (n - backend.counted.ready) as f64 / n as f64;
                    let estimate = Estimate { value: Some(share), ..Estimate::default() };
                    all.push(of(quantity, estimate, backend.storms, n));
                }
            }
        }
    }
    all
}
