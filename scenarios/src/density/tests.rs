//! The whole scenario, with the fake backend.

use results::record::{MemoryState, Outcome};

use super::until::Until;
use super::*;
use crate::testing::{Memory, Trial, try_it};
use crate::{HostSize, Stop};

fn grown(change: impl FnOnce(&mut Plan)) -> Trial {
    let host = HostSize { cores: 2, mem_available_bytes: 4 << 30, kvm: false };
    let (mut plan, _) = Plan::sized_for(&host).expect("default plan");
    plan.launch.on = vec!["fake:ready=1ms".into()];
    plan.launch.workload = "ready".into();
    plan.launch.settle_s = 0.0;
    plan.until = Until::Count(7);
    plan.steps = 3;
    plan.storms = 2;
    change(&mut plan);
    try_it(&crate::Plan::Density(plan), Memory::default(), &Stop::new(), |_| {})
}

#[test]
fn every_step_has_its_row_and_every_instance_its_attempt() {
    let trial = grown(|_| {});
    assert!(trial.result.is_ok(), "{:?}", trial.result);
    let live = |storm| -> Vec<u32> {
        trial.memory.steps.iter().filter(|row| row.storm == storm).map(|row| row.live).collect()
    };
    // The first repetition is a warm-up of one step.
    assert_eq!((live(0), live(1), live(2)), (vec![0, 2], vec![0, 2, 4, 7], vec![0, 2, 4, 7]));
    assert_eq!(trial.run.warmup_storms, [0]);
    assert_eq!(trial.memory.attempts.len(), 2 + 7 + 7);
    assert!(trial.memory.attempts.iter().all(|row| row.stopped_ns.is_some()));
    assert!(trial.memory.steps.iter().all(|row| row.state == MemoryState::Idle));
    assert!(trial.memory.steps.iter().all(|row| row.mem_available_bytes.is_some()));
}

#[test]
fn growth_until_failure_ends_at_the_first_instance_that_does_not_come_up() {
    let trial = grown(|plan| {
        plan.launch.on = vec!["fake:ready=1ms,fail=0.2".into()];
        plan.until = Until::Failure;
        plan.steps = 10;
        plan.storms = 1;
    });
    assert!(trial.result.is_ok(), "{:?}", trial.result);
    let rows: Vec<_> = trial.memory.attempts.iter().filter(|row| row.storm == 1).collect();
    assert!(rows.iter().any(|row| row.outcome == Outcome::Failed));
    let steps = trial.memory.steps.iter().filter(|row| row.storm == 1).count();
    assert_eq!(rows.len(), (steps - 1) * 10);
    let end = &trial.run.self_test["density_end"]["fake:ready=1ms,fail=0.2 storm 1"];
    assert!(end["why"].as_str().is_some_and(|why| why.contains("did not come up")), "{end}");
}

#[test]
fn the_hosts_reserve_is_kept_whatever_is_asked() {
    let trial = grown(|plan| {
        plan.launch.workload = "memory=512GiB".into();
        plan.until = Until::Count(100);
        plan.storms = 1;
    });
    assert!(trial.result.is_ok(), "{:?}", trial.result);
    assert!(trial.memory.attempts.is_empty());
    let end = &trial.run.self_test["density_end"]["fake:ready=1ms storm 1"];
    assert!(end["why"].as_str().is_some_and(|why| why.contains("reserve")), "{end}");
}
