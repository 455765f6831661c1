//! Boot storms: many instances asked for at once, or at a rate, on each backend in turn.

mod arrival;
mod plan;

pub use arrival::{Arrival, ParseArrivalError};
pub use plan::{HostSize, Plan};

use results::record::Run;
use runtime::image::Image;
use runtime::{Backend, RunContext};

use crate::{Error, Progress, Rows, Stop};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// As planned.
    Complete,
    /// By the user; what had been measured is in the run folder.
    Interrupted,
}

/// Carries out `plan` on `backends` and writes what happens to `folder`, and what a reader must
/// know about it to `run`.
///
/// # Errors
/// Where the plan makes no sense, no backend works or a row cannot be written. What goes wrong
/// with a single attempt is no error but its row.
#[allow(clippy::too_many_arguments)]
pub fn run(
    plan: &Plan,
    backends: Vec<Box<dyn Backend>>,
    context: &RunContext,
    image: &Image,
    folder: &mut dyn Rows,
    run: &mut Run,
    stop: &Stop,
    progress: &mut dyn FnMut(Progress),
) -> Result<Completion, Error> {
    let _ = (backends, context, image, folder, run, stop, progress);
    plan.validate()?;
    Err(Error::NothingToRun("not built yet".into()))
}
