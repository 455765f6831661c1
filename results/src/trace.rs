//! `trace.json` for <https://ui.perfetto.dev> and `chrome://tracing`: the Trace Event Format. One
//! process a storm, one track an instance, its phases nested in its attempt.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use crate::folder::LoadedRun;
use crate::record::Phase;

/// Attempts a trace holds; viewers take no more than about a million events. Of a larger run every
/// k-th instance is in it, which its `otherData` says.
const MOST_ATTEMPTS: usize = 20_000;

/// The trace of a run.
pub fn trace(run: &LoadedRun) -> Value {
    let step = run.attempts.len().div_ceil(MOST_ATTEMPTS).max(1);
    let shown = |instance: u32| (instance as usize).is_multiple_of(step);
    let mut phases: HashMap<(u32, &str, u32), Vec<&Phase>> = HashMap::new();
    for phase in run.phases.iter().filter(|phase| shown(phase.instance)) {
        phases.entry((phase.storm, &phase.backend, phase.instance)).or_default().push(phase);
    }
    let mut storms: BTreeMap<(u32, &str), usize> = BTreeMap::new();
    run.attempts.iter().for_each(|one| _ = storms.insert((one.storm, &one.backend), 0));
    let mut events = Vec::new();
    for (index, ((storm, backend), pid)) in storms.iter_mut().enumerate() {
        *pid = index + 1;
        let warmup = if run.run.warmup_storms.contains(storm) { " (warm-up)" } else { "" };
        events.push(json!({"ph": "M", "name": "process_name", "pid": *pid, "tid": 0,
            "args": {"name": format!("storm {storm}: {backend}{warmup}")}}));
    }
    for attempt in run.attempts.iter().filter(|attempt| shown(attempt.instance)) {
        let pid = storms[&(attempt.storm, attempt.backend.as_str())];
        let tid = attempt.instance + 1;
        events.push(json!({"ph": "M", "name": "thread_name", "pid": pid, "tid": tid,
            "args": {"name": format!("{} {}", attempt.backend, attempt.instance)}}));
        let reached = [attempt.serving_ns, attempt.ready_ns, attempt.stopped_ns];
        let end = reached.into_iter().flatten().next().unwrap_or(attempt.scheduled_ns);
        events.push(json!({"ph": "X", "name": "attempt", "cat": "attempt", "pid": pid, "tid": tid,
            "ts": microseconds(attempt.scheduled_ns),
            "dur": microseconds(end.saturating_sub(attempt.scheduled_ns)),
            "args": {"outcome": attempt.outcome, "error": attempt.error, "config": attempt.config}}));
        for (name, at) in [("ready", attempt.ready_ns), ("serving", attempt.serving_ns)] {
            if let Some(at) = at {
                events.push(json!({"ph": "i", "s": "t", "name": name, "pid": pid, "tid": tid,
                    "ts": microseconds(at)}));
            }
        }
        for phase in
            phases.get(&(attempt.storm, attempt.backend.as_str(), attempt.instance)).into_iter().flatten()
        {
            events.push(json!({"ph": "X", "name": phase.phase, "cat": "phase", "pid": pid, "tid": tid,
                "ts": microseconds(phase.begin_ns), "dur": microseconds(phase.end_ns - phase.begin_ns)}));
        }
    }
    for sample in &run.host {
        let counters = [
            ("CPU used", sample.cpu_used_ratio),
            ("PSI cpu some", sample.psi_cpu_some_ratio),
            ("canary p50 (ms)", sample.canary_p50_ns.map(|ns| ns as f64 / 1e6)),
        ];
        for (name, value) in counters {
            if let Some(value) = value {
                events.push(json!({"ph": "C", "name": name, "pid": 0, "tid": 0,
                    "ts": microseconds(sample.at_ns), "args": {"value": value}}));
            }
        }
    }
    let left_out = match step {
        1 => "nothing".to_owned(),
        _ => format!("of every {step} instances all but the first: attempts.csv and phases.csv have them"),
    };
    json!({"displayTimeUnit": "ms", "otherData": {"left_out": left_out}, "traceEvents": events})
}

/// The format's unit, with the nanoseconds as its fraction.
fn microseconds(ns: u64) -> f64 {
    ns as f64 / 1e3
}
