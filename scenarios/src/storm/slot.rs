//! One attempt's place in its storm.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use runtime::Instance;

use super::attempt::Progressing;

/// How far an attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Not handed to the crew yet (serial arrival).
    Idle,
    /// Waiting for its instant or for a launcher.
    Waiting,
    /// Called off before a launcher had begun with it.
    Never,
    /// Inside the launch.
    Launching,
    /// The instance is ours.
    Running,
    /// Being stopped, or gone.
    Stopping,
    /// Its row is written.
    Closed,
}

/// An attempt, its instance, and what is expected of it by when.
pub(super) struct Slot {
    pub(super) attempt: Progressing,
    pub(super) stage: Stage,
    pub(super) instance: Option<Box<dyn Instance>>,
    pub(super) port: Option<u16>,
    pub(super) requested: bool,
    /// When something must have happened.
    pub(super) deadline_ns: u64,
    pub(super) announced: bool,
    /// Its outcome is known and its deadline is no longer the attempt's.
    pub(super) decided: bool,
    /// It is to end although its storm is held.
    pub(super) leaves: bool,
    pub(super) called_off: Arc<AtomicBool>,
}
