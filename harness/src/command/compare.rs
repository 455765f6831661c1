//! `bench compare`: a verdict for each metric of head against base.

use std::io::Write;
use std::path::Path;

use results::compare::{Comparison, Rules, Side, compare};

use crate::failure::Failure;
use crate::judging::CompareArgs;
use crate::settings::Settings;
use crate::sides::{self, cannot};
use crate::{export, verdicts};

/// Seed of resamples and random assignments: the same files give the same verdicts.
const SEED: u64 = 1;

/// Compares and prints.
///
/// # Errors
/// Sides that cannot be read or are the same, rules that match nothing.
pub fn run(args: &CompareArgs, out: &mut impl Write) -> Result<u8, Failure> {
    let rules = rules()?;
    let (base, head) = (sides::side(&args.base)?, sides::side(&args.head)?);
    let comparison = judge(&base, &head, &rules)?;
    verdicts::print(&comparison, out)?;
    export::comparison(&comparison, &args.export, out)?;
    Ok(verdicts::exit_code(&comparison, args.strict))
}

/// Compares two sides of runs that must not be the same.
///
/// # Errors
/// As [`run`].
pub fn judge(base: &Side, head: &Side, rules: &Rules) -> Result<Comparison, Failure> {
    if let Some(twice) = base.runs.iter().find(|run| head.runs.iter().any(|other| other.id == run.id)) {
        return Err(Failure::Usage(format!(
            "run {} is on both sides: it cannot differ from itself",
            twice.id
        )));
    }
    compare(base, head, rules, SEED).map_err(cannot)
}

/// The rules of `bench.toml` in the working directory.
///
/// # Errors
/// A file that cannot be read, or rules that make no sense.
pub fn rules() -> Result<Rules, Failure> {
    let rules = Settings::default().or_file(Path::new("."))?.compare.unwrap_or_default();
    rules.validate().map_err(|what| Failure::Usage(format!("{}: {what}", crate::settings::FILE)))?;
    Ok(rules)
}
