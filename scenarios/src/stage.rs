//! Where a scenario is carried out: everything it is given that is not its plan.

use results::record::Run;
use runtime::image::Image;
use runtime::{Backend, RunContext};

use crate::{Progress, Rows, Stop};

/// Warnings of the same run beyond this many are only counted.
const MOST_WARNINGS: usize = 50;

/// What a scenario works with.
pub struct Stage<'a> {
    /// Backends that have what they need on this host, in the order asked for.
    pub backends: Vec<Box<dyn Backend>>,
    /// What all backends of the run share.
    pub context: &'a RunContext,
    /// The image all instances come from.
    pub image: &'a Image,
    /// Where rows go.
    pub rows: &'a mut dyn Rows,
    /// What a reader must know about the run; written to `run.json`.
    pub run: &'a mut Run,
    /// The user's wish to stop.
    pub stop: &'a Stop,
    /// Hears what happens.
    pub progress: &'a mut dyn FnMut(Progress),
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// As planned.
    Complete,
    /// By the user; what had been measured is in the run folder.
    Interrupted,
}

/// Tells the user and the reader of the run what they should know before believing a number.
pub(crate) fn warn(run: &mut Run, progress: &mut dyn FnMut(Progress), text: String) {
    if run.warnings.len() == MOST_WARNINGS {
        run.warnings.push("there were more warnings than are kept".into());
    } else if run.warnings.len() < MOST_WARNINGS {
        run.warnings.push(text.clone());
    }
    progress(Progress::Warning(text));
}
