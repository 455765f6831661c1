//! `bench clean`: removes what runs have left that were killed.

use std::io::Write;

use crate::failure::Failure;

/// Writes what was removed, and what was left alone.
///
/// # Errors
/// Where something cannot be removed, or standard output refuses.
pub fn run(out: &mut impl Write) -> Result<u8, Failure> {
    let runtime::state::Cleaned { mut removed, left } = runtime::state::clean()?;
    removed.extend(runtime::bundle::clean(&runtime::bundle::Root::new(None))?);
    if removed.is_empty() {
        writeln!(out, "nothing to clean")?;
    }
    for sentence in removed.into_iter().chain(left) {
        writeln!(out, "{sentence}")?;
    }
    Ok(0)
}
