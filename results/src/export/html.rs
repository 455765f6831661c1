//! HTML: the page of a comparison, or a list of what a run says (its own page is `report.html`).

use std::io::{self, Write};

use super::{Document, Export, Source};
use crate::report;

/// `html`.
pub(super) struct Html;

impl Export for Html {
    fn name(&self) -> &'static str {
        "html"
    }

    fn description(&self) -> &'static str {
        "a page that needs nothing else; of a run its figures (report.html has its charts)"
    }

    fn write(&self, documents: &[Document], out: &mut dyn Write) -> io::Result<()> {
        for document in documents {
            match &document.source {
                Source::Comparison(comparison) => {
                    let page = report::comparison(comparison).map_err(io::Error::other)?;
                    out.write_all(page.as_bytes())?;
                }
                Source::Run(summary) => {
                    out.write_all(report::figures(summary, &document.began_at).as_bytes())?
                }
            }
        }
        Ok(())
    }
}
