//! `bench explain`: what a metric, claim or verdict is, and how it is computed.

use std::io::Write;

use results::explain;

use crate::failure::Failure;
use crate::{judging::ExplainArgs, nearest};

/// Explains one thing, or lists what can be explained.
///
/// # Errors
/// A name that does not exist, with the nearest that does.
pub fn run(args: &ExplainArgs, out: &mut impl Write) -> Result<u8, Failure> {
    let names = explain::names();
    let Some(name) = &args.name else {
        names.iter().try_for_each(|name| writeln!(out, "{name}"))?;
        return Ok(0);
    };
    let Some(text) = explain::explain(name) else {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        return Err(Failure::Usage(nearest::unknown("metric, claim or verdict", name, &names)));
    };
    writeln!(out, "{text}")?;
    Ok(0)
}
