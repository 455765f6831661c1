//! GitHub Actions: an annotation on the run (*Workflow commands for GitHub Actions*: `::error
//! title=…::message`) and the step summary, which is Markdown.

use std::io::{self, Write};

use super::markdown::Markdown;
use super::{Document, Export, Source};
use crate::claims::Verdict as ClaimVerdict;
use crate::compare::Verdict;

/// `github-annotations`: at most one line a scenario, so that nobody learns to look away.
pub(super) struct Annotations;
/// `github-summary`.
pub(super) struct StepSummary;

impl Export for Annotations {
    fn name(&self) -> &'static str {
        "github-annotations"
    }

    fn description(&self) -> &'static str {
        "a workflow command that annotates a GitHub Actions run, one a scenario"
    }

    fn write(&self, documents: &[Document], out: &mut dyn Write) -> io::Result<()> {
        for document in documents {
            let (level, message) = match &document.source {
                Source::Comparison(comparison) => {
                    let level = match comparison.overall() {
                        Verdict::Regressed => "error",
                        Verdict::Incomparable | Verdict::Inconclusive => "warning",
                        Verdict::Improved | Verdict::Unchanged => "notice",
                    };
                    let lines: Vec<String> = comparison
                        .changes
                        .iter()
                        .filter(|change| change.verdict != Verdict::Unchanged || level == "notice")
                        .map(|change| {
                            format!(
                                "{} {} {}: {}",
                                change.backend,
                                change.metric,
                                change.verdict.word(),
                                change.why
                            )
                        })
                        .collect();
                    (level, lines.join("\n"))
                }
                Source::Run(summary) => {
                    let none_ready = summary.backends.iter().any(|backend| backend.counted.ready == 0);
                    let level = match (none_ready, summary.complete) {
                        (true, _) => "error",
                        (false, false) => "warning",
                        (false, true) => "notice",
                    };
                    let told = summary
                        .claims
                        .iter()
                        .filter(|finding| !matches!(finding.verdict, ClaimVerdict::Undetermined(_)));
                    let lines: Vec<String> = summary
                        .backends
                        .iter()
                        .map(|backend| {
                            format!(
                                "{}: {} of {} ready",
                                backend.backend,
                                backend.counted.ready,
                                backend.counted.total()
                            )
                        })
                        .chain(told.map(|finding| format!("{}: {}", finding.id, finding.verdict.word())))
                        .collect();
                    (level, lines.join("\n"))
                }
            };
            let title = property(&format!("bench {}", document.scenario));
            writeln!(out, "::{level} title={title}::{}", data(&message))?;
        }
        Ok(())
    }
}

impl Export for StepSummary {
    fn name(&self) -> &'static str {
        "github-summary"
    }

    fn description(&self) -> &'static str {
        "Markdown for $GITHUB_STEP_SUMMARY"
    }

    fn write(&self, documents: &[Document], out: &mut dyn Write) -> io::Result<()> {
        Markdown.write(documents, out)
    }
}

/// As `escapeData` of actions/toolkit.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// As `escapeProperty` of actions/toolkit.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
