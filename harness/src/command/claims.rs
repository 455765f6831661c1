//! `bench claims`: every claim, its state and what it rests on.

use std::io::Write;
use std::path::{Path, PathBuf};

use results::LoadedRun;
use results::claims::{CLAIMS, Finding, Verdict, state};

use crate::command::run::RESULTS;
use crate::failure::Failure;
use crate::judging::ClaimsArgs;
use crate::sides;
use crate::terminal::{self, BOLD, paint};

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
    let mut runs: Vec<LoadedRun> = Vec::new();
    for folder in &folders {
        runs.extend(sides::runs(folder)?);
    }
    let summaries: Vec<_> =
        runs.iter().map(|run| (run.path.display().to_string(), results::summarize(run))).collect();
    let found: Vec<(&str, &[Finding])> =
        summaries.iter().map(|(path, summary)| (path.as_str(), summary.claims.as_slice())).collect();
    let colours = terminal::stdout_colours();
    for claim in CLAIMS {
        let state = state(claim, &found);
        let why = match &state.finding.verdict {
            Verdict::Undetermined(why) => format!(" ({why})"),
            _ => String::new(),
        };
        let word = paint(colours, BOLD, state.finding.verdict.word());
        writeln!(out, "{:<22} {word}{why}\n  “{}”", claim.id, claim.statement)?;
        for evidence in &state.finding.evidence {
            writeln!(out, "  - {evidence}")?;
        }
        if let Some(source) = state.source {
            writeln!(out, "  from {source}")?;
        }
    }
    Ok(0)
}
