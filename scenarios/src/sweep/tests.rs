//! The whole scenario, with the fake backend.

use std::collections::BTreeMap;

use super::*;
use crate::testing::{Memory, try_it};
use crate::{Arrival, HostSize, Stop};

#[test]
fn every_point_has_its_storms_and_they_are_interleaved() {
    let host = HostSize { cores: 2, mem_available_bytes: 4 << 30, kvm: false };
    let (mut plan, _) = Plan::sized_for(&host).expect("default plan");
    plan.launch.on = vec!["fake:ready=1ms".into(), "fake:ready=2ms".into()];
    plan.launch.workload = "ready".into();
    plan.launch.settle_s = 0.0;
    plan.sizes = vec![1, 3];
    plan.cores = vec![1, 0];
    plan.arrivals = vec![Arrival::Burst, Arrival::Rate(500.0)];
    plan.storms = 2;
    plan.warmup = 1;
    let trial = try_it(&crate::Plan::StormSweep(plan), Memory::default(), &Stop::new(), |_| {});
    assert!(trial.result.is_ok(), "{:?}", trial.result);
    let rows = &trial.memory.storms;
    let points = 2 * 2 * 2 * 2;
    assert_eq!(rows.len(), points * 3);
    assert_eq!(rows.iter().filter(|row| row.warmup).count(), points);
    let attempts = rows.iter().map(|row| row.instances as usize).sum::<usize>();
    assert_eq!(trial.memory.attempts.len(), attempts);
    // Each block has every point once, and not in the order of the plan.
    for block in rows.chunks(points) {
        let mut seen = BTreeMap::new();
        for row in block {
            *seen.entry((&row.backend, row.instances, row.cores, &row.arrival)).or_insert(0) += 1;
        }
        let distinct = if crate::cores() == 1 { points / 2 } else { points };
        assert_eq!(seen.len(), distinct);
    }
    let sizes: Vec<u32> = rows.iter().map(|row| row.instances).collect();
    assert!(sizes.windows(2).any(|pair| pair[0] > pair[1]));
    assert!(rows.iter().all(|row| row.images == "shared" && row.ended_ns >= row.began_ns));
}
