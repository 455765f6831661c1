//! What instances occupy more or less of once they have worked, given memory back, or been merged.

use std::collections::BTreeMap;

use super::{BackendDensity, Method, cell};
use crate::record::{MemoryState, MemoryStep};
use crate::statistics::Estimate;

/// The states in which the last step is looked at, in their order.
const STATES: [MemoryState; 4] =
    [MemoryState::Idle, MemoryState::Worked, MemoryState::Ballooned, MemoryState::Merged];

/// Bytes per instance of each repetition, by the state that is come to and by method.
#[derive(Default)]
pub(super) struct Changes(BTreeMap<MemoryState, BTreeMap<Method, Vec<f64>>>);

impl Changes {
    /// Takes the steps of a repetition: each state is held against the one before it that was looked at.
    pub(super) fn add(&mut self, steps: &[&MemoryStep], method: Method) {
        let looked_at: Vec<&&MemoryStep> =
            STATES.iter().filter_map(|state| steps.iter().rfind(|step| step.state == *state)).collect();
        for pair in looked_at.windows(2) {
            let [before, after] = pair else { continue };
            if let (Some(low), Some(high)) = (method.of(before), method.of(after))
                && before.live == after.live
                && after.live > 0
            {
                let change = (high - low) / f64::from(after.live);
                self.0.entry(after.state).or_default().entry(method).or_default().push(change);
            }
        }
    }

    pub(super) fn to(&self, state: MemoryState) -> &BTreeMap<Method, Vec<f64>> {
        static NONE: BTreeMap<Method, Vec<f64>> = BTreeMap::new();
        self.0.get(&state).unwrap_or(&NONE)
    }
}

/// The changes of a backend that were measured, with their words.
fn changes(one: &BackendDensity) -> impl Iterator<Item = (&'static str, &BTreeMap<Method, Estimate>)> {
    [
        ("work adds", &one.work_adds_bytes),
        ("balloons give back", &one.balloon_frees_bytes),
        ("merging gives back", &one.merging_frees_bytes),
    ]
    .into_iter()
    .filter(|(_, change)| !change.is_empty())
}

/// Heads of the table of changes: one column a method that any of them has.
pub fn change_heads(all: &[BackendDensity]) -> Vec<String> {
    let words = methods(all).into_iter().map(|method| method.words().to_owned());
    ["backend".to_owned(), "each instance".to_owned()].into_iter().chain(words).collect()
}

/// Its rows, in the order of [`change_heads`]; none where nothing was looked at twice.
pub fn change_rows(all: &[BackendDensity]) -> Vec<Vec<String>> {
    let methods = methods(all);
    let row = |one: &BackendDensity, words: &str, change: &BTreeMap<Method, Estimate>| {
        let cells = methods.iter().map(|method| change.get(method).map_or_else(|| "–".to_owned(), cell));
        [one.backend.clone(), words.to_owned()].into_iter().chain(cells).collect()
    };
    all.iter()
        .flat_map(|one| changes(one).map(move |(words, change)| (one, words, change)))
        .map(|(one, words, change)| row(one, words, change))
        .collect()
}

fn methods(all: &[BackendDensity]) -> Vec<Method> {
    let has = |method: &Method| all.iter().flat_map(changes).any(|(_, change)| change.contains_key(method));
    Method::ALL.into_iter().filter(has).collect()
}
