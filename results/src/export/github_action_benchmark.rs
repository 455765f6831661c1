//! The custom JSON of github-action-benchmark (github.com/benchmark-action/github-action-benchmark,
//! `tool: customSmallerIsBetter`): a list of `{name, unit, value, range, extra}`.

use std::io::{self, Write};

use serde_json::json;

use super::{Document, Export};

/// `github-action-benchmark`.
pub(super) struct GithubActionBenchmark;

impl Export for GithubActionBenchmark {
    fn name(&self) -> &'static str {
        "github-action-benchmark"
    }

    fn description(&self) -> &'static str {
        "its custom JSON, for tool: customSmallerIsBetter"
    }

    fn write(&self, documents: &[Document], out: &mut dyn Write) -> io::Result<()> {
        let mut all = Vec::new();
        for document in documents {
            for figure in &document.figures {
                let Some(value) = figure.estimate.value else { continue };
                let (unit, scale) =
                    if figure.metric.metric().is_some() { ("ms", 1e-6) } else { ("%", 100.0) };
                let mut entry = json!({
                    "name": format!("{}/{}/{}", document.scenario, figure.backend, figure.metric),
                    "unit": unit,
                    "value": value * scale,
                    "extra": format!("{} storms, {} attempts", figure.n_storms, figure.n_attempts),
                });
                if let (Some(low), Some(high)) = (figure.estimate.low, figure.estimate.high) {
                    entry["range"] = json!(format!("{:.3} to {:.3}", low * scale, high * scale));
                }
                all.push(entry);
            }
        }
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)
    }
}
