//! CSV for Apache Otava's CSV importer (otava.apache.org/docs/csv): a row a run with its time, a
//! column a metric. Times in milliseconds. Otava takes no empty cell, so a metric that some run has
//! no value of is left out.

use std::collections::BTreeSet;
use std::io::{self, Write};

use super::{Document, Export};

/// `otava`.
pub(super) struct Otava;

impl Export for Otava {
    fn name(&self) -> &'static str {
        "otava"
    }

    fn description(&self) -> &'static str {
        "CSV for Apache Otava, a row a run (give it several runs)"
    }

    fn write(&self, documents: &[Document], out: &mut dyn Write) -> io::Result<()> {
        let column = |figure: &super::Figure| format!("{}.{}", figure.backend, figure.metric);
        let value = |document: &Document, wanted: &str| {
            let figure = document.figures.iter().find(|figure| column(figure) == wanted)?;
            let scale = if figure.metric.metric().is_some() { 1e-6 } else { 1.0 };
            figure.estimate.value.map(|value| (value * scale).to_string())
        };
        let mut columns: BTreeSet<String> =
            documents.iter().flat_map(|document| &document.figures).map(column).collect();
        columns.retain(|wanted| documents.iter().all(|document| value(document, wanted).is_some()));
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(["time", "scenario"].into_iter().chain(columns.iter().map(String::as_str)))?;
        let mut documents: Vec<&Document> = documents.iter().collect();
        documents.sort_by(|a, b| a.began_at.cmp(&b.began_at));
        for document in documents {
            let values = columns.iter().map(|wanted| value(document, wanted).unwrap_or_default());
            let head = [document.began_at.clone(), document.scenario.clone()];
            writer.write_record(head.into_iter().chain(values))?;
        }
        writer.flush()
    }
}
