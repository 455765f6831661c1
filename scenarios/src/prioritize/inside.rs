//! The same questions to a container of a virtual machine, under a version of cgroups the host may not
//! have.

use std::time::Duration;

use results::record::Reading;
use runtime::RunContext;

use super::plan::Plan;
use crate::Stop;
use crate::inside::{Version, carry_out};

/// What a repetition of a mechanism may take in a machine that is emulated.
const REPETITION: Duration = Duration::from_secs(60);

/// Readings of the plan, whose storms are counted on from `first_storm`.
///
/// # Errors
/// Why there are none.
pub(super) fn ask(
    plan: &Plan,
    version: Version,
    first_storm: u32,
    context: &RunContext,
    stop: &Stop,
) -> Result<Vec<Reading>, String> {
    let patience = REPETITION * plan.mechanisms.len() as u32 * plan.storms;
    let inside = crate::Plan::Prioritize(Plan { inside: Vec::new(), ..plan.clone() });
    let rows = carry_out(inside, "readings.csv", version, patience, context, stop)?;
    Ok(rows.into_iter().map(|row| of(version, first_storm, row)).collect())
}

/// A row of the machine's as one of this run's.
fn of(version: Version, first_storm: u32, row: Reading) -> Reading {
    Reading { storm: first_storm + row.storm, backend: version.backend(), ..row }
}

#[cfg(test)]
mod tests {
    use results::record::ReadingOutcome;

    use super::*;
    use crate::prioritize::question::{HOST, Refusal, ask, rows};

    #[test]
    fn rows_are_taken_over_under_their_own_name() {
        let refusal = Err(Refusal::NotHere("none".into()));
        let row = rows(&[ask("a", HOST, "cores", None)], refusal, 1, "container", "cpu-quota").remove(0);
        let taken = of(Version::V2, 10, row);
        assert_eq!((taken.storm, taken.backend.as_str()), (11, "container in a VM (v2)"));
        assert_eq!(taken.outcome, ReadingOutcome::NotApplicable);
    }
}
