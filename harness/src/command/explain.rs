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
        scenarios::isolation::all().iter().try_for_each(|check| writeln!(out, "{}", check.id))?;
        return Ok(0);
    };
    if let Some(text) = scenarios::isolation::explain(name) {
        writeln!(out, "{text}")?;
        return Ok(0);
    }
    let Some(text) = explain::explain(name) else {
        let checks = scenarios::isolation::all();
        let names: Vec<&str> =
            names.iter().map(String::as_str).chain(checks.iter().map(|check| check.id)).collect();
        return Err(Failure::Usage(nearest::unknown("metric, claim, verdict or check", name, &names)));
    };
    writeln!(out, "{text}")?;
    Ok(0)
}
