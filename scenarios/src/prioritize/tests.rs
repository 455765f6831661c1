//! Whole runs: with plain processes, which cannot be limited, with a backend that fails, and with
//! containers where this may make them.

use results::record::{Outcome, Reading, ReadingOutcome};
use runtime::Backend;
use runtime::container::ContainerBackend;
use runtime::process::ProcessBackend;

use super::*;
use crate::testing::{Memory, Trial, try_it, try_on};
use crate::{HostSize, Stop};

fn plan(on: &str, mechanisms: &[Mechanism]) -> Plan {
    let host = HostSize { cores: 2, mem_available_bytes: 4 << 30, kvm: false };
    let (mut plan, _) = Plan::sized_for(&host).expect("default plan");
    plan.launch.on = vec![on.into()];
    plan.launch.settle_s = 0.0;
    plan.mechanisms = mechanisms.to_vec();
    plan.storms = 1;
    plan.window_s = 0.3;
    plan.pulses = 20;
    plan.validate().expect("valid");
    plan
}

fn on(backend: Box<dyn Backend>, mechanisms: &[Mechanism]) -> Trial {
    let plan = crate::Plan::Prioritize(plan(&backend.id(), mechanisms));
    let trial = try_on(&plan, vec![backend], Memory::default(), &Stop::new(), |_| {});
    assert!(trial.result.is_ok(), "{:?}", trial.result);
    trial
}

fn find<'a>(rows: &'a [Reading], case: &str, by: &str) -> &'a Reading {
    let found = rows.iter().find(|row| row.case == case && row.by == by);
    found.unwrap_or_else(|| panic!("no row {case:?} by {by:?}: {rows:?}"))
}

#[test]
fn what_cannot_be_limited_is_not_applicable_and_its_controls_are_measured() {
    let mechanisms = [Mechanism::MemoryLimit, Mechanism::PidsLimit, Mechanism::Hog, Mechanism::CpuWeight];
    let trial = on(Box::new(ProcessBackend), &mechanisms);
    let rows = &trial.memory.readings;
    let pids = find(rows, "32 allowed, 200 wanted", "work done inside");
    assert_eq!((pids.outcome, pids.measured), (ReadingOutcome::NotApplicable, None));
    assert!(pids.reason.contains("bare process"), "{pids:?}");
    let control = find(rows, "200 wanted, no limit", "work done inside");
    assert_eq!((control.measured, control.control), (Some(200.0), true), "{control:?}");
    let control = find(rows, "64 MiB wanted, no limit", "work done inside");
    assert_eq!(control.measured, Some(f64::from(64 << 20)), "{control:?}");
    let (p50, p99) = (find(rows, "alone", "p50"), find(rows, "alone", "p99"));
    assert!(p50.measured > Some(0.0) && p50.measured <= p99.measured, "{p50:?} {p99:?}");
    // Nobody started is forgotten, and each is written down with what it was.
    assert!(
        trial.memory.attempts.iter().all(|row| row.outcome == Outcome::Ready && row.stopped_ns.is_some())
    );
    assert!(trial.memory.attempts.iter().all(|row| trial.run.configs.contains_key(&row.config)));
    assert_eq!(trial.memory.storms.len(), mechanisms.len());
    assert_eq!(
        trial.memory.storms.iter().map(|storm| storm.instances).sum::<u32>() as usize,
        trial.memory.attempts.len()
    );
}

#[test]
fn limits_of_containers_hold_and_their_controls_pass_them() {
    let backend = ContainerBackend;
    if let Some(missing) = backend.requirements().into_iter().find_map(|requirement| requirement.state.err())
    {
        println!("skipped: no containers here ({missing})");
        return;
    }
    let mechanisms = [Mechanism::MemoryLimit, Mechanism::PidsLimit, Mechanism::Freeze, Mechanism::Accounting];
    let trial = on(Box::new(backend), &mechanisms);
    let rows = &trial.memory.readings;
    let value = |case: &str, by: &str| {
        let row = find(rows, case, by);
        row.measured.unwrap_or_else(|| panic!("not measured: {row:?}"))
    };
    assert_eq!(value("32 allowed, 200 wanted", "work done inside"), 32.0);
    assert_eq!(value("32 allowed, 200 wanted", "host's count"), 32.0);
    assert_eq!(value("200 wanted, no limit", "work done inside"), 200.0);
    let allowed = f64::from(96 << 20);
    let touched = value("96 MiB allowed, 512 MiB wanted", "work done inside");
    assert!((0.8 * allowed..=allowed).contains(&touched), "{touched}");
    assert_eq!(value("killed inside", "work done inside"), 1.0);
    assert_eq!(value("a sibling lives on", "host's count"), 1.0);
    assert_eq!(value("64 MiB wanted, no limit", "work done inside"), f64::from(64 << 20));
    assert!(value("used while stopped", "host's count") < 0.01);
    assert!(value("used while running", "host's count") > 0.05);
    // Whatever else is busy, what is charged is what was used.
    let charged = value("processor time charged of that burnt", "host's count");
    assert!((0.8..1.25).contains(&charged), "{charged}");
}

#[test]
fn what_fails_is_a_row_for_every_question() {
    let plan = plan("fake:fail=1", &[Mechanism::CpuQuota, Mechanism::Hog]);
    let trial = try_it(&crate::Plan::Prioritize(plan), Memory::default(), &Stop::new(), |_| {});
    assert!(trial.result.is_ok(), "{:?}", trial.result);
    let rows = &trial.memory.readings;
    assert!(rows.len() >= 5 + 12, "{}", rows.len());
    assert!(rows.iter().all(|row| row.outcome == ReadingOutcome::Failed && row.reason.contains("scripted")));
    assert!(trial.memory.attempts.iter().all(|row| row.outcome == Outcome::Failed));
}

#[test]
fn a_plan_that_limits_what_is_limited_here_is_refused() {
    let refused = |change: fn(&mut Plan)| {
        let mut plan = plan("process", &[Mechanism::Hog]);
        change(&mut plan);
        plan.validate().expect_err("refused").to_string()
    };
    assert!(refused(|plan| plan.launch.cpus = Some(1.0)).starts_with("cpus"));
    assert!(refused(|plan| plan.launch.workload = "http".into()).contains("workloads of its own"));
    assert!(refused(|plan| plan.mechanisms.clear()).contains("cpu-quota"));
    assert!(refused(|plan| plan.mechanisms.push(Mechanism::Hog)).contains("twice"));
}
