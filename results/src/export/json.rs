//! JSON as in the files of this program: `summary.json` or `comparison.json`, whose schemas are
//! published in `results/schema/`. Several documents are a list.

use std::io::{self, Write};

use super::{Document, Export, Source};

/// `json`.
pub(super) struct Json;

impl Export for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn description(&self) -> &'static str {
        "the summary or comparison, as results/schema/ describes it"
    }

    fn write(&self, documents: &[Document], out: &mut dyn Write) -> io::Result<()> {
        let value = |document: &Document| match &document.source {
            Source::Run(summary) => serde_json::to_value(summary),
            Source::Comparison(comparison) => serde_json::to_value(comparison),
        };
        let text = match documents {
            [one] => serde_json::to_string_pretty(&value(one)?)?,
            several => {
                let values = several.iter().map(value).collect::<Result<Vec<_>, _>>()?;
                serde_json::to_string_pretty(&values)?
            }
        };
        writeln!(out, "{text}")
    }
}
