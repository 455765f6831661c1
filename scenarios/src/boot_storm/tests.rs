//! The whole scenario, with the fake backend.

use std::collections::BTreeSet;

use results::record::{Attempt, Outcome, Phase};
use runtime::clock::now_ns;

use super::*;
use crate::testing::{Memory, Trial};
use crate::{Arrival, Completion, Error, Progress, Stop};

fn plan(on: &str, instances: u32, storms: u32) -> Plan {
    let mut plan = Plan::standard().expect("default plan");
    plan.launch.on = vec![on.into()];
    plan.instances = instances;
    plan.storms = storms;
    plan.warmup = 0;
    plan.launch.workload = "ready".into();
    plan.launch.seed = 42;
    plan.launch.settle_s = 0.0;
    plan
}

fn try_it(plan: &Plan, memory: Memory, stop: &Stop, heard: impl FnMut(Progress)) -> Trial {
    crate::testing::try_it(&crate::Plan::BootStorm(plan.clone()), memory, stop, heard)
}

fn quietly(plan: &Plan) -> Trial {
    try_it(plan, Memory::default(), &Stop::new(), |_| {})
}

fn each_once(attempts: &[Attempt], storm: u32, instances: u32) {
    let rows: Vec<u32> = attempts.iter().filter(|row| row.storm == storm).map(|row| row.instance).collect();
    assert_eq!(rows.len(), instances as usize, "storm {storm}");
    assert_eq!(rows.iter().collect::<BTreeSet<_>>().len(), instances as usize, "storm {storm}");
}

#[test]
fn every_attempt_is_a_row_and_the_totals_reconcile() {
    let mut plan = plan("fake:ready=5ms,jitter=2ms,fail=0.1,hang=0.1,die=0.1", 100, 3);
    plan.launch.timeout_s = 0.3;
    let (mut ready, mut other, mut ended) = (0, 0, 0);
    let trial = try_it(&plan, Memory::default(), &Stop::new(), |progress| match progress {
        Progress::StormEnded { ready: r, other: o, .. } => {
            ready += r;
            other += o;
        }
        Progress::AttemptEnded { .. } => ended += 1,
        _ => {}
    });
    assert!(matches!(trial.result, Ok(Completion::Complete)), "{:?}", trial.result);
    let rows = &trial.memory.attempts;
    (0..3).for_each(|storm| each_once(rows, storm, 100));
    let count = |outcome| rows.iter().filter(|row| row.outcome == outcome).count();
    let (failed, timeout) = (count(Outcome::Failed), count(Outcome::Timeout));
    assert!((30..90).contains(&failed) && (10..60).contains(&timeout), "{failed} {timeout}");
    assert_eq!((ready as usize, other as usize, ended), (count(Outcome::Ready), failed + timeout, 300));
    for row in rows {
        assert_eq!(row.ready_ns.is_some(), row.outcome == Outcome::Ready, "{row:?}");
        assert!(row.stopped_ns >= row.started_ns && row.started_ns >= Some(row.scheduled_ns), "{row:?}");
        assert_eq!(row.error.is_empty(), row.outcome == Outcome::Ready, "{row:?}");
    }
    let decided: Vec<Attempt> = rows.iter().map(|row| Attempt { stopped_ns: None, ..row.clone() }).collect();
    assert_eq!(trial.memory.decided.len(), decided.len());
    assert!(
        trial
            .memory
            .decided
            .iter()
            .all(|row| { decided.contains(&Attempt { stopped_ns: None, ..row.clone() }) })
    );
    let is_told = |row: &&Attempt| row.error.starts_with("ended too early with exit status 1");
    let died: Vec<_> = rows.iter().filter(is_told).collect();
    assert!(
        !died.is_empty() && died.iter().all(|row| row.error.contains("; its last lines: scripted to die"))
    );
    assert!(trial.run.complete && trial.run.warnings.iter().all(|text| !text.contains("gone")));
}

#[test]
fn phases_tile_and_an_injected_delay_is_recovered() {
    let trial = quietly(&plan("fake:ready=30ms", 10, 2));
    for row in &trial.memory.attempts {
        let phases: Vec<&Phase> = trial
            .memory
            .phases
            .iter()
            .filter(|phase| (phase.storm, phase.instance) == (row.storm, row.instance))
            .collect();
        assert_eq!(phases.len(), 2);
        assert_eq!(phases.first().map(|phase| phase.begin_ns), row.started_ns);
        assert_eq!(phases.last().map(|phase| phase.end_ns), row.ready_ns);
        assert!(phases.windows(2).all(|pair| pair[0].end_ns == pair[1].begin_ns));
    }
    let self_test = &trial.run.self_test;
    let recovered = self_test["injected_delay"]["recovered_p50_ns"].as_u64().unwrap_or(0);
    assert!((20_000_000..30_000_000).contains(&recovered), "{self_test:?}");
    // A mark and `ready` of each of 20 instances, and `serving` where it came before the end.
    assert!(self_test["stamping_delay"]["n"].as_u64() >= Some(40), "{self_test:?}");
    assert!(!trial.memory.samples.is_empty() && self_test.contains_key("canary_core_ratio"));
}

#[test]
fn a_stalled_launcher_moves_latency_from_the_schedule_only() {
    let p99_ms = |stall_ms| {
        let mut plan = plan("fake:ready=5ms", 40, 1);
        plan.arrival = Arrival::Rate(200.0);
        plan.stall_launcher_ms = stall_ms;
        let rows = quietly(&plan).memory.attempts;
        let worst = |from: fn(&Attempt) -> Option<u64>| {
            rows.iter().filter_map(|row| row.ready_ns?.checked_sub(from(row)?)).max().unwrap_or(0) / 1_000_000
        };
        (worst(|row| Some(row.scheduled_ns)), worst(|row| row.started_ns))
    };
    let (scheduled, started) = p99_ms(0);
    let (scheduled_stalled, started_stalled) = p99_ms(500);
    assert!(scheduled < 250 && scheduled_stalled >= 500, "{scheduled} {scheduled_stalled}");
    assert!(started < 250 && started_stalled < 250, "{started} {started_stalled}");
}

#[test]
fn an_interrupted_storm_leaves_complete_rows() {
    let mut plan = plan("fake:ready=20ms,hang=0.5", 40, 3);
    plan.arrival = Arrival::Rate(100.0);
    let stop = Stop::new();
    let (asker, mut seen) = (stop.clone(), 0);
    let trial = try_it(&plan, Memory::default(), &stop, |progress| {
        if matches!(progress, Progress::AttemptEnded { .. }) {
            seen += 1;
            if seen == 5 {
                asker.request();
            }
        }
    });
    assert!(matches!(trial.result, Ok(Completion::Interrupted)), "{:?}", trial.result);
    let rows = &trial.memory.attempts;
    each_once(rows, 0, 40);
    assert_eq!(rows.len(), 40);
    assert!(!trial.run.complete);
    let never = rows.iter().filter(|row| row.started_ns.is_none()).count();
    assert!(never > 0 && rows.iter().filter(|row| row.outcome == Outcome::Killed).count() > never);
    assert!(rows.iter().filter(|row| row.outcome == Outcome::Ready).count() >= 5);
    assert!(rows.iter().all(|row| row.started_ns.is_some() == row.stopped_ns.is_some()));
}

#[test]
fn a_second_request_does_not_wait_for_the_teardown() {
    let plan = plan("fake:ready=1ms,hang=0.5,stop=5s", 4, 1);
    let stop = Stop::new();
    let asker = stop.clone();
    let began_ns = now_ns();
    let trial = try_it(&plan, Memory::default(), &stop, |progress| {
        if matches!(progress, Progress::AttemptEnded { .. }) {
            asker.request();
            asker.request();
        }
    });
    assert!(matches!(trial.result, Ok(Completion::Interrupted)), "{:?}", trial.result);
    each_once(&trial.memory.attempts, 0, 4);
    assert!(now_ns() - began_ns < 4_000_000_000);
}

#[test]
fn a_full_disk_ends_the_run_and_keeps_what_was_written() {
    let memory = Memory { full_after: Some(7), ..Memory::default() };
    let trial = try_it(&plan("fake:ready=1ms", 5, 4), memory, &Stop::new(), |_| {});
    assert!(matches!(trial.result, Err(Error::Record { .. })), "{:?}", trial.result);
    assert_eq!(trial.memory.attempts.len(), 7);
    assert!(!trial.run.complete);
}

#[test]
fn serial_attempts_do_not_overlap() {
    let mut plan = plan("fake:ready=3ms", 6, 1);
    plan.arrival = Arrival::Serial;
    let mut rows = quietly(&plan).memory.attempts;
    each_once(&rows, 0, 6);
    rows.sort_by_key(|row| row.scheduled_ns);
    assert!(rows.windows(2).all(|pair| pair[0].stopped_ns <= Some(pair[1].scheduled_ns)));
}

#[test]
fn seeds_reproduce_the_order_and_warm_up_is_marked() {
    let order = |seed| {
        let mut plan = plan("fake:ready=1ms", 1, 6);
        plan.launch.on.push("fake:ready=2ms".into());
        plan.warmup = 1;
        plan.launch.seed = seed;
        let trial = quietly(&plan);
        assert_eq!(trial.run.warmup_storms, [0, 1]);
        assert_eq!(trial.run.configs.len(), 2);
        trial.memory.attempts.iter().map(|row| row.backend.clone()).collect::<Vec<_>>()
    };
    assert_eq!(order(1), order(1));
    assert!((2..20).any(|seed| order(seed) != order(1)));
}

#[test]
fn a_backend_that_cannot_be_prepared_is_recorded_and_the_others_run() {
    let mut plan = plan("fake:nonsense", 2, 1);
    assert!(matches!(quietly(&plan).result, Err(Error::NothingToRun(_))));
    plan.launch.on.push("fake:ready=1ms".into());
    let trial = quietly(&plan);
    assert!(trial.run.unavailable["fake:nonsense"].contains("nonsense"));
    assert_eq!(trial.memory.attempts.len(), 2);
}
