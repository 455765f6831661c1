//! Bencher Metric Format (bencher.dev/docs/reference/bencher-metric-format): benchmark → measure →
//! value with its bounds.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::{Document, Export};

/// `bencher`.
pub(super) struct Bencher;

impl Export for Bencher {
    fn name(&self) -> &'static str {
        "bencher"
    }

    fn description(&self) -> &'static str {
        "Bencher Metric Format JSON, for bencher run --adapter json"
    }

    fn write(&self, documents: &[Document], out: &mut dyn Write) -> io::Result<()> {
        let mut benchmarks = Map::new();
        for document in documents {
            for figure in &document.figures {
                let Some(value) = figure.estimate.value else { continue };
                let mut metric = Map::from_iter([("value".to_owned(), json!(value))]);
                for (key, bound) in
                    [("lower_value", figure.estimate.low), ("upper_value", figure.estimate.high)]
                {
                    if let Some(bound) = bound {
                        metric.insert(key.into(), json!(bound));
                    }
                }
                let name = format!("{}/{}", document.scenario, figure.backend);
                let measures = benchmarks.entry(name).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(measures) = measures {
                    measures.insert(figure.metric.name().into(), Value::Object(metric));
                }
            }
        }
        writeln!(out, "{}", serde_json::to_string_pretty(&benchmarks)?)
    }
}
