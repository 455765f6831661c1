//! What one more instance costs, by every accounting method.

mod change;
mod fit;
mod method;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use change::{change_heads, change_rows};
pub use fit::{Line, line};
pub use method::Method;

use self::change::Changes;
use crate::folder::LoadedRun;
use crate::record::{MemoryState, MemoryStep};
use crate::statistics::{Estimate, mean};
use crate::text::size;

/// One backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackendDensity {
    /// Its name.
    pub backend: String,
    /// Most instances alive at once.
    pub most_alive: u32,
    /// Counted repetitions.
    pub repetitions: usize,
    /// Bytes for one more instance, idle, by method: the slope of a line through the steps of each
    /// repetition, then the mean over repetitions. A method that says nothing here is left out.
    pub slopes_bytes: BTreeMap<Method, Estimate>,
    /// Slope of each repetition, by method.
    pub repetition_slopes_bytes: BTreeMap<Method, Vec<f64>>,
    /// Bytes per instance that work adds to idle, at the last step; by method.
    pub work_adds_bytes: BTreeMap<Method, Estimate>,
    /// Bytes per instance that balloons give back, at the last step; by method.
    #[serde(default)]
    pub balloon_frees_bytes: BTreeMap<Method, Estimate>,
    /// Bytes per instance that merging gives back, at the last step; by method.
    pub merging_frees_bytes: BTreeMap<Method, Estimate>,
}

/// Sums up `memory.csv`; empty where the run has none. Backends in the order asked for.
pub fn summarize(run: &LoadedRun) -> Vec<BackendDensity> {
    let backends =
        run.run.backends.iter().filter(|name| run.memory.iter().any(|step| step.backend == **name));
    backends.map(|name| backend(run, name)).collect()
}

fn backend(run: &LoadedRun, name: &str) -> BackendDensity {
    let mut repetitions: BTreeMap<u32, Vec<&MemoryStep>> = BTreeMap::new();
    for step in run.memory.iter().filter(|step| step.backend == name) {
        if !run.run.warmup_storms.contains(&step.storm) {
            repetitions.entry(step.storm).or_default().push(step);
        }
    }
    let mut slopes: BTreeMap<Method, Vec<f64>> = BTreeMap::new();
    let mut changes = Changes::default();
    for steps in repetitions.values() {
        for method in Method::ALL {
            if let Some(line) = line(&points(steps, method)) {
                slopes.entry(method).or_default().push(line.slope);
            }
            changes.add(steps, method);
        }
    }
    let means = |all: &BTreeMap<Method, Vec<f64>>, sign: f64| {
        all.iter()
            .map(|(method, values)| {
                (*method, mean(&values.iter().map(|value| sign * value).collect::<Vec<_>>()))
            })
            .collect()
    };
    BackendDensity {
        backend: name.to_owned(),
        most_alive: repetitions.values().flatten().map(|step| step.live).max().unwrap_or(0),
        repetitions: repetitions.len(),
        slopes_bytes: means(&slopes, 1.0),
        work_adds_bytes: means(changes.to(MemoryState::Worked), 1.0),
        balloon_frees_bytes: means(changes.to(MemoryState::Ballooned), -1.0),
        merging_frees_bytes: means(changes.to(MemoryState::Merged), -1.0),
        repetition_slopes_bytes: slopes,
    }
}

/// Live instances and bytes of the idle steps. A step whose sums could not be completed has no
/// point, and where that leaves fewer than two numbers of instances there is no line.
pub fn points(steps: &[&MemoryStep], method: Method) -> Vec<(f64, f64)> {
    let idle = steps.iter().filter(|step| step.state == MemoryState::Idle);
    idle.filter_map(|step| Some((f64::from(step.live), method.of(step)?))).collect()
}

/// Heads of the density table: one column a method that any backend has.
pub fn heads(all: &[BackendDensity]) -> Vec<String> {
    let methods = methods(all).into_iter().map(|method| method.words().to_owned());
    ["backend".to_owned(), "alive".to_owned(), "repetitions".to_owned()].into_iter().chain(methods).collect()
}

/// Its rows, in the order of [`heads`]: bytes for one more instance with their interval.
pub fn rows(all: &[BackendDensity]) -> Vec<Vec<String>> {
    let methods = methods(all);
    all.iter()
        .map(|one| {
            let cells = methods
                .iter()
                .map(|method| one.slopes_bytes.get(method).map_or_else(|| "–".to_owned(), cell));
            [one.backend.clone(), one.most_alive.to_string(), one.repetitions.to_string()]
                .into_iter()
                .chain(cells)
                .collect()
        })
        .collect()
}

/// Where methods differ so much that a reader must know why: what is only asked for, and what is shared.
pub fn remarks(all: &[BackendDensity]) -> Vec<String> {
    let mut remarks = Vec::new();
    for one in all {
        let slope = |method| one.slopes_bytes.get(&method).and_then(|estimate| estimate.value);
        if let (Some(asked), Some(resident)) = (slope(Method::Virtual), slope(Method::Rss))
            && asked > FAR * resident.max(0.0)
        {
            remarks.push(format!(
                "{}: one more is {} virtual and {} resident: what is only asked for, as all the RAM of a machine is, \
                 occupies nothing before it is touched",
                one.backend,
                size(asked),
                size(resident)
            ));
        }
        if let (Some(resident), Some(shared)) = (slope(Method::Rss), slope(Method::Pss))
            && resident > FAR * shared.max(0.0)
        {
            remarks.push(format!(
                "{}: one more is {} resident and {} proportional: a page that instances share is counted once for each \
                 of them by the one and once in all by the other",
                one.backend,
                size(resident),
                size(shared)
            ));
        }
    }
    remarks
}

fn cell(estimate: &Estimate) -> String {
    match (estimate.value, estimate.low, estimate.high) {
        (Some(value), Some(low), Some(high)) => format!("{} [{}, {}]", size(value), size(low), size(high)),
        (Some(value), ..) => size(value),
        _ => "–".to_owned(),
    }
}

fn methods(all: &[BackendDensity]) -> Vec<Method> {
    Method::ALL
        .into_iter()
        .filter(|method| all.iter().any(|one| one.slopes_bytes.contains_key(method)))
        .collect()
}

/// Twice is far.
const FAR: f64 = 2.0;

#[cfg(test)]
mod tests;
