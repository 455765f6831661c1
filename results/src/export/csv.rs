//! CSV (RFC 4180): a row for each backend and metric. Times in nanoseconds, shares from 0 to 1.

use std::io::{self, Write};

use super::{Document, Export};

/// `csv`.
pub(super) struct Csv;

const COLUMNS: [&str; 16] = [
    "scenario",
    "began_at",
    "backend",
    "metric",
    "unit",
    "value",
    "low",
    "high",
    "n_storms",
    "n_attempts",
    "base",
    "ratio",
    "ratio_low",
    "ratio_high",
    "verdict",
    "why",
];

impl Export for Csv {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn description(&self) -> &'static str {
        "a row for each backend and metric"
    }

    fn write(&self, documents: &[Document], out: &mut dyn Write) -> io::Result<()> {
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(COLUMNS)?;
        for document in documents {
            for figure in &document.figures {
                let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
                let (estimate, ratio) = (&figure.estimate, figure.ratio.clone().unwrap_or_default());
                let (verdict, why) = match &figure.verdict {
                    Some((verdict, why)) => (verdict.word(), why.as_str()),
                    None => ("", estimate.reason.as_str()),
                };
                writer.write_record([
                    document.scenario.as_str(),
                    &document.began_at,
                    &figure.backend,
                    figure.metric.name(),
                    if figure.metric.metric().is_some() { "ns" } else { "share" },
                    &number(estimate.value),
                    &number(estimate.low),
                    &number(estimate.high),
                    &figure.n_storms.to_string(),
                    &figure.n_attempts.to_string(),
                    &number(figure.base),
                    &number(ratio.value),
                    &number(ratio.low),
                    &number(ratio.high),
                    verdict,
                    why,
                ])?;
            }
        }
        writer.flush()
    }
}
