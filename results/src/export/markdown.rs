//! Markdown for a comment on a pull request: GitHub Flavored Markdown (github.github.com/gfm).

use std::io::{self, Write};

use super::{Document, Export, Figure, Source};
use crate::claims::Verdict as ClaimVerdict;
use crate::compare::{Comparison, Verdict};
use crate::statistics::Estimate;
use crate::text::ratio;

/// `markdown`.
pub(super) struct Markdown;

impl Export for Markdown {
    fn name(&self) -> &'static str {
        "markdown"
    }

    fn description(&self) -> &'static str {
        "a comment for a pull request"
    }

    fn write(&self, documents: &[Document], out: &mut dyn Write) -> io::Result<()> {
        for (index, document) in documents.iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            match &document.source {
                Source::Comparison(comparison) => compared(document, comparison, out)?,
                Source::Run(_) => measured(document, out)?,
            }
            details("Notes", &document.notes, out)?;
        }
        Ok(())
    }
}

fn compared(document: &Document, comparison: &Comparison, out: &mut dyn Write) -> io::Result<()> {
    let count = |verdict| comparison.changes.iter().filter(|change| change.verdict == verdict).count();
    let counts: Vec<String> = [
        Verdict::Regressed,
        Verdict::Improved,
        Verdict::Unchanged,
        Verdict::Inconclusive,
        Verdict::Incomparable,
    ]
    .into_iter()
    .filter(|verdict| count(*verdict) > 0)
    .map(|verdict| format!("{} {}", count(verdict), verdict.word()))
    .collect();
    writeln!(out, "### bench: {}\n", counts.join(", "))?;
    writeln!(out, "`{}` against `{}`\n", code(&comparison.head.label), code(&comparison.base.label))?;
    writeln!(
        out,
        "| | backend | metric | base | head | head ÷ base [95 %] | {} |",
        comparison.unit.plural()
    )?;
    writeln!(out, "|---|---|---|---:|---:|---:|---:|")?;
    for figure in &document.figures {
        let (verdict, _) = figure.verdict.as_ref().map_or((None, ""), |(v, why)| (Some(*v), why.as_str()));
        let show = |value: Option<f64>| value.map_or("–".into(), |value| figure.metric.show(value));
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} |",
            verdict.map_or("", mark),
            cell(&figure.backend),
            figure.metric,
            show(figure.base),
            show(figure.estimate.value),
            figure.ratio.as_ref().map_or("–".into(), |estimate| interval(estimate, ratio)),
            figure.n_storms
        )?;
    }
    writeln!(out)?;
    let why: Vec<String> = comparison
        .changes
        .iter()
        .map(|change| {
            format!("{} {}: **{}**: {}", change.backend, change.metric, change.verdict.word(), change.why)
        })
        .chain(
            comparison
                .ignored
                .iter()
                .map(|one| format!("{} {}: ignored: {}", one.backend, one.metric, one.reason)),
        )
        .collect();
    details("Why", &why, out)
}

fn measured(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "### bench: {} {}\n", cell(&document.scenario), cell(&document.began_at))?;
    writeln!(out, "| backend | metric | median over storms [95 %] | storms | attempts |")?;
    writeln!(out, "|---|---|---:|---:|---:|")?;
    for figure in &document.figures {
        writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            cell(&figure.backend),
            figure.metric,
            value(figure),
            figure.n_storms,
            figure.n_attempts
        )?;
    }
    writeln!(out)?;
    for finding in &document.findings {
        let why = match &finding.verdict {
            ClaimVerdict::Undetermined(why) => format!(" ({})", cell(why)),
            _ => String::new(),
        };
        writeln!(out, "- “{}”: **{}**{why}", cell(&finding.statement), finding.verdict.word())?;
    }
    Ok(())
}

fn value(figure: &Figure) -> String {
    match figure.estimate.value {
        None => cell(&figure.estimate.reason),
        Some(_) => interval(&figure.estimate, |value| figure.metric.show(value)),
    }
}

fn interval(estimate: &Estimate, show: impl Fn(f64) -> String) -> String {
    match (estimate.value, estimate.low, estimate.high) {
        (Some(value), Some(low), Some(high)) => format!("{} [{}, {}]", show(value), show(low), show(high)),
        (Some(value), Some(low), None) => format!("{} [{}, ∞)", show(value), show(low)),
        (Some(value), ..) => show(value),
        _ => "–".into(),
    }
}

fn details(title: &str, lines: &[String], out: &mut dyn Write) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "<details><summary>{title}</summary>\n")?;
    for line in lines {
        writeln!(out, "- {}", cell(line))?;
    }
    writeln!(out, "\n</details>")
}

fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Regressed => "🔴 regressed",
        Verdict::Improved => "🟢 improved",
        Verdict::Unchanged => "⚪ unchanged",
        Verdict::Inconclusive => "🟡 inconclusive",
        Verdict::Incomparable => "🟡 incomparable",
    }
}

/// Text that stays within its cell and is text only.
fn cell(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' => clean.push_str("\\|"),
            '<' => clean.push_str("&lt;"),
            '>' => clean.push_str("&gt;"),
            '&' => clean.push_str("&amp;"),
            '@' => clean.push_str("&#64;"),
            c if c.is_control() => clean.push(' '),
            c => clean.push(c),
        }
    }
    clean
}

/// Text between backquotes.
fn code(text: &str) -> String {
    text.chars().map(|c| if c == '`' || c.is_control() { ' ' } else { c }).collect()
}
