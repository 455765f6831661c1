//! OpenMetrics 1.0 text (github.com/prometheus/OpenMetrics, specification/OpenMetrics.md), for
//! what scrapes files, as node_exporter's textfile collector. Base units: seconds, ratios.

use std::io::{self, Write};

use super::{Document, Export, Figure};
use crate::compare::Quantity;

/// `openmetrics`.
pub(super) struct OpenMetrics;

impl Export for OpenMetrics {
    fn name(&self) -> &'static str {
        "openmetrics"
    }

    fn description(&self) -> &'static str {
        "OpenMetrics text: a gauge a metric, in seconds or ratios"
    }

    fn write(&self, documents: &[Document], out: &mut dyn Write) -> io::Result<()> {
        for quantity in Quantity::ALL {
            let figures: Vec<(&Document, &Figure)> = documents
                .iter()
                .flat_map(|document| document.figures.iter().map(move |figure| (document, figure)))
                .filter(|(_, figure)| figure.metric == quantity && figure.estimate.value.is_some())
                .collect();
            if figures.is_empty() {
                continue;
            }
            let (unit, scale) = if quantity.metric().is_some() { ("seconds", 1e-9) } else { ("ratio", 1.0) };
            let stem = quantity.name().trim_end_matches("-share").replace('-', "_");
            let name = format!("bench_{stem}_{unit}");
            writeln!(out, "# TYPE {name} gauge\n# UNIT {name} {unit}")?;
            writeln!(
                out,
                "# HELP {name} {}: median over storms and the ends of its 95 % interval",
                quantity.words()
            )?;
            for (document, figure) in figures {
                let estimate = &figure.estimate;
                for (statistic, value) in
                    [("median", estimate.value), ("low", estimate.low), ("high", estimate.high)]
                {
                    let Some(value) = value else { continue };
                    writeln!(
                        out,
                        "{name}{{scenario=\"{}\",backend=\"{}\",run=\"{}\",statistic=\"{statistic}\"}} {}",
                        label(&document.scenario),
                        label(&figure.backend),
                        label(&document.began_at),
                        value * scale
                    )?;
                }
            }
        }
        writeln!(out, "# EOF")
    }
}

/// A label's value: backslash, quote and line feed escaped (§ABNF, `escaped-string`).
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
