//! `bench list`: what there is to choose from.

use std::io::Write;

use runtime::vm;
use scenarios::SCENARIOS;

use crate::failure::Failure;
use crate::select;

/// Writes scenarios, backends (with why not, where one cannot be used here) and workloads.
///
/// # Errors
/// Where standard output refuses.
pub fn run(out: &mut impl Write) -> Result<u8, Failure> {
    writeln!(out, "scenarios")?;
    for (name, what) in SCENARIOS {
        writeln!(out, "  {name:<14} {what}")?;
    }
    writeln!(out, "  {:<14} {}", scenarios::claims::NAME, scenarios::claims::DOES)?;
    writeln!(out, "\nbackends")?;
    for backend in runtime::backends(&vm::Options::default()) {
        let id = backend.id();
        writeln!(out, "  {id:<14} {}", backend.description())?;
        if let Some(why) = select::missing(backend.as_ref()) {
            writeln!(out, "  {:<14} not on this host: {why}", "")?;
        }
    }
    writeln!(out, "\nchecks of isolation (bench explain CHECK)")?;
    for check in scenarios::isolation::all() {
        writeln!(out, "  {:<26} {:<14} {}", check.id, check.claim, check.question)?;
    }
    writeln!(out, "\nworkloads")?;
    for (name, what) in guest::WORKLOADS.iter().chain(&guest::TASKS) {
        writeln!(out, "  {name:<14} {what}")?;
    }
    Ok(0)
}
