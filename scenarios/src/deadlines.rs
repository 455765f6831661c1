//! By when an attempt must have got on: the whole of its start, and phases of it.

use std::collections::BTreeMap;

/// Nanoseconds, of the whole from its start, of a phase from the phase's begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deadlines {
    pub(crate) whole_ns: u64,
    phases_ns: BTreeMap<String, u64>,
}

impl Deadlines {
    /// One for the whole, and those of `phases` in seconds.
    pub(crate) fn of(whole_s: f64, phases: &BTreeMap<String, f64>) -> Deadlines {
        let ns = |seconds: f64| (seconds * 1e9) as u64;
        let phases_ns = phases.iter().map(|(phase, seconds)| (phase.clone(), ns(*seconds))).collect();
        Deadlines { whole_ns: ns(whole_s), phases_ns }
    }

    /// That of `phase`, where it has one of its own.
    pub(crate) fn phase_ns(&self, phase: &str) -> Option<u64> {
        self.phases_ns.get(phase).copied()
    }
}
