//! `bench claims`: every claim, its state and what it rests on.

use std::io::Write;
use std::path::{Path, PathBuf};

use results::claims::{CLAIMS, Finding, Verdict, state};

use crate::command::run::RESULTS;
use crate::failure::Failure;
use crate::judging::ClaimsArgs;
use crate::sides::{self, Testimony};
use crate::terminal::{self, BOLD, paint};

/// Sentences of evidence shown of a claim; what it rests on comes first.
const MOST_SHOWN: usize = 6;

/// Prints a paragraph a claim.
///
/// # Errors
/// Runs that cannot be read.
pub fn run(args: &ClaimsArgs, out: &mut impl Write) -> Result<u8, Failure> {
    let folders = match args.runs.is_empty() {
        true if Path::new(RESULTS).is_dir() => vec![PathBuf::from(RESULTS)],
        true => Vec::new(),
        false => args.runs.clone(),
    };
    let mut all: Vec<Testimony> = Vec::new();
    for folder in &folders {
        all.extend(sides::testimonies(folder)?);
    }
    let found: Vec<(&str, &[Finding])> =
        all.iter().map(|one| (one.source.as_str(), one.findings.as_slice())).collect();
    for claim in CLAIMS {
        let state = state(claim, &found);
        print(&state.finding, &state.finding.evidence, out)?;
        if let Some(source) = state.source {
            writeln!(out, "  from {source}")?;
        }
    }
    Ok(0)
}

/// Claim, verdict and evidence.
///
/// # Errors
/// Where standard output refuses.
pub fn print(finding: &Finding, evidence: &[String], out: &mut impl Write) -> Result<(), Failure> {
    let why = match &finding.verdict {
        Verdict::Undetermined(why) => format!(" ({why})"),
        _ => String::new(),
    };
    let word = paint(terminal::stdout_colours(), BOLD, finding.verdict.word());
    writeln!(out, "{:<22} {word}{why}\n  “{}”", finding.id, finding.statement)?;
    if !finding.because.is_empty() {
        writeln!(out, "  {}", finding.because)?;
    }
    evidence.iter().take(MOST_SHOWN).try_for_each(|one| writeln!(out, "  - {one}"))?;
    if let more @ 1.. = evidence.len().saturating_sub(MOST_SHOWN) {
        writeln!(out, "  … and {more} more in the report")?;
    }
    Ok(())
}
