//! The checks of cgroups once more in a container of a virtual machine, under a version of cgroups the host may
//! not have, with their controls.

use std::time::Duration;

use results::record::Check as Row;
use runtime::RunContext;

use super::check::Check;
use super::plan::Plan;
use crate::Stop;
use crate::inside::{Version, carry_out};

/// What a check with its control may take in a machine that is emulated.
const CHECK: Duration = Duration::from_secs(20);

/// Whether a check is about cgroups, whose versions differ.
fn concerns(check: &Check) -> bool {
    check.id.starts_with("cg-") || check.id.starts_with("cgroup-")
}

/// Rows of those of the plan's checks that are about cgroups, under a name that says where they are from.
///
/// # Errors
/// Why there are none.
pub(super) fn ask(
    plan: &Plan,
    version: Version,
    context: &RunContext,
    stop: &Stop,
) -> Result<Vec<Row>, String> {
    let check: Vec<String> =
        plan.checks().into_iter().filter(|check| concerns(check)).map(|check| check.id.to_owned()).collect();
    if check.is_empty() {
        return Err("none of the checks asked for is about cgroups".into());
    }
    let patience = CHECK * check.len() as u32;
    let inside = crate::Plan::Isolation(Plan { inside: Vec::new(), check, ..plan.clone() });
    let rows: Vec<Row> = carry_out(inside, "checks.csv", version, patience, context, stop)?;
    Ok(rows.into_iter().map(|row| Row { backend: version.backend(), ..row }).collect())
}
