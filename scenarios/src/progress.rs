//! What a scenario tells while it runs, for progress bars and logs.

use results::record::Outcome;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// A choice made for the user, and why.
    Chosen(String),
    /// A backend is being prepared.
    Preparing {
        /// Its name.
        backend: String,
    },
    /// A backend cannot be used on this host; the others go on.
    Unavailable {
        /// Its name.
        backend: String,
        /// Why not, and what would help.
        reason: String,
    },
    /// A storm begins.
    StormBegan {
        /// Its number, from 0.
        storm: u32,
        /// How many storms there are in all, warm-up included.
        of: u32,
        /// Backend.
        backend: String,
        /// Kept but not counted.
        warmup: bool,
        /// Attempts in it.
        instances: u32,
    },
    /// An attempt's outcome is known.
    AttemptEnded {
        /// Storm number.
        storm: u32,
        /// Backend.
        backend: String,
        /// Instance number.
        instance: u32,
        /// What became of it.
        outcome: Outcome,
        /// From the launcher's start to what the storm waited for, in nanoseconds.
        latency_ns: Option<u64>,
        /// Why, where it is not `ready`.
        error: String,
    },
    /// A storm is over and its instances are gone.
    StormEnded {
        /// Storm number.
        storm: u32,
        /// Backend.
        backend: String,
        /// Attempts that got there.
        ready: u32,
        /// Attempts that did not.
        other: u32,
        /// From the first due instant until the last instance was gone, in nanoseconds.
        lasted_ns: u64,
    },
    /// All checks have been judged of a backend.
    Checked {
        /// Its name.
        backend: String,
        /// How many checks came to each verdict.
        counts: std::collections::BTreeMap<&'static str, u32>,
    },
    /// Something was carried somewhere.
    CellEnded {
        /// What of the matrix is decided by now.
        done: u32,
        /// What there is to decide, as far as is known; failures add to it.
        of: u32,
        /// What was tried where, and what became of it.
        text: String,
    },
    /// What a reader should know before believing a number; also in `run.json`.
    Warning(String),
}
