//! Lines through made-up steps.

use std::collections::BTreeMap;

use super::*;
use crate::record::Run;

fn step(storm: u32, live: u32, state: MemoryState, bytes: u64) -> MemoryStep {
    MemoryStep {
        storm,
        backend: "container".into(),
        live,
        at_ns: 0,
        state,
        mem_available_bytes: Some((1 << 40) - bytes - 7 * u64::from(live)),
        slab_bytes: None,
        page_tables_bytes: None,
        kernel_stack_bytes: None,
        percpu_bytes: None,
        page_cache_bytes: None,
        counted: live,
        rss_bytes: Some(bytes),
        pss_bytes: if live == 3 { None } else { Some(bytes) },
        private_bytes: Some(bytes),
        virtual_bytes: Some(10 * bytes),
        cgroup_bytes: None,
    }
}

fn run(memory: Vec<MemoryStep>) -> LoadedRun {
    let run = Run {
        backends: vec!["process".into(), "container".into()],
        warmup_storms: vec![0],
        ..Run::new("x", "density")
    };
    LoadedRun { memory, ..LoadedRun::without_rows(run) }
}

#[test]
fn the_price_of_one_more_is_the_slope_and_the_warm_up_does_not_count() {
    use MemoryState::{Ballooned, Idle, Merged, Worked};
    let mut steps = vec![step(0, 0, Idle, 0), step(0, 1, Idle, 999_999)];
    for (storm, each) in [(1, 100), (2, 104)] {
        // 1,000 bytes are there once, whatever the number of instances: no part of the price.
        for live in 0..=4u32 {
            steps.push(step(storm, live, Idle, 1000 + each * u64::from(live)));
        }
        steps.push(step(storm, 4, Worked, 1000 + (each + 50) * 4));
        steps.push(step(storm, 4, Ballooned, 1000 + (each + 40) * 4));
        steps.push(step(storm, 4, Merged, 1000 + (each + 20) * 4));
    }
    let all = summarize(&run(steps));
    assert_eq!(all.len(), 1);
    let one = &all[0];
    assert_eq!((one.most_alive, one.repetitions), (4, 2));
    let value = |map: &BTreeMap<Method, Estimate>, method| map[&method].value.expect("value").round();
    assert_eq!(value(&one.slopes_bytes, Method::Rss), 102.0);
    assert_eq!(value(&one.slopes_bytes, Method::Available), 109.0);
    // A step without its sum is left out, and the line still found.
    assert_eq!(value(&one.slopes_bytes, Method::Pss), 102.0);
    assert!(!one.slopes_bytes.contains_key(&Method::Cgroup));
    assert_eq!(value(&one.work_adds_bytes, Method::Private), 50.0);
    assert_eq!(value(&one.merging_frees_bytes, Method::Private), 20.0);
    assert_eq!(value(&one.balloon_frees_bytes, Method::Private), 10.0);
    let rows_of_changes = change_rows(&all);
    assert_eq!(rows_of_changes.len(), 3);
    assert!(rows_of_changes.iter().all(|row| row.len() == change_heads(&all).len()), "{rows_of_changes:?}");
    assert_eq!(rows(&all)[0].len(), heads(&all).len());
    // Ten times as much is asked for as is resident; nothing is shared.
    let remarks = remarks(&all);
    assert_eq!(remarks.len(), 1);
    assert!(remarks[0].contains("1020 B virtual") || remarks[0].contains("1.00 KiB virtual"), "{remarks:?}");
}

#[test]
fn one_step_has_no_price() {
    let all = summarize(&run(vec![step(1, 2, MemoryState::Idle, 10)]));
    assert!(all[0].slopes_bytes.is_empty());
    assert!(summarize(&run(Vec::new())).is_empty());
}
