//! Whole drills with plain processes, which really serve.

use results::record::Outcome;
use runtime::Backend;
use runtime::process::ProcessBackend;

use super::*;
use crate::testing::{Memory, try_on};
use crate::{HostSize, Stop};

#[test]
fn a_drill_has_a_row_for_every_attempt_and_the_client_counts_what_is_lost() {
    let host = HostSize { cores: 2, mem_available_bytes: 4 << 30, kvm: false };
    let (mut plan, _) = Plan::sized_for(&host).expect("default plan");
    plan.launch.on = vec!["process".into()];
    plan.launch.settle_s = 0.0;
    plan.instances = 4;
    plan.storms = 1;
    plan.rate = 200.0;
    plan.calm_s = 0.3;
    let backends: Vec<Box<dyn Backend>> = vec![Box::new(ProcessBackend)];
    let plan = crate::Plan::NodeFailure(plan);
    let trial = try_on(&plan, backends, Memory::default(), &Stop::new(), |_| {});
    assert!(trial.result.is_ok(), "{:?}", trial.result);
    let rows = &trial.memory.attempts;
    assert_eq!(rows.len(), 2 * 2 * 4);
    assert!(rows.iter().all(|row| row.outcome == Outcome::Ready && row.stopped_ns.is_some()), "{rows:?}");
    assert_eq!(trial.memory.drills.len(), 2);
    for drill in &trial.memory.drills {
        // Most of the time everybody serves; during the failure nobody, or all but one, does.
        assert!(drill.requests > 80, "{drill:?}");
        assert!(drill.lost < drill.requests / 2, "{drill:?}");
        assert!(drill.gone_at_ns >= drill.failed_at_ns);
        if drill.lost > 0 {
            assert!(drill.last_lost_ns >= Some(drill.failed_at_ns), "{drill:?}");
        }
        let again: Vec<_> = rows.iter().filter(|row| row.storm == drill.storm).collect();
        assert_eq!(again.len(), 4);
        assert!(again.iter().all(|row| row.serving_ns > Some(drill.failed_at_ns)));
    }
}

#[test]
fn a_workload_that_answers_nothing_is_refused() {
    let host = HostSize { cores: 2, mem_available_bytes: 4 << 30, kvm: false };
    let (mut plan, _) = Plan::sized_for(&host).expect("default plan");
    plan.launch.workload = "ready".into();
    assert!(plan.validate().expect_err("refused").to_string().contains("http"));
}
