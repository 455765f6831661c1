//! Tests of the suite itself: it must say nothing good of what does nothing (control C6).

use std::collections::BTreeMap;

use results::record::CheckVerdict;
use runtime::Backend;
use runtime::fake::FakeBackend;
use runtime::process::ProcessBackend;

use super::*;
use crate::testing::{Memory, try_on};
use crate::{HostSize, Stop};

fn rows(on: &[&str], backends: Vec<Box<dyn Backend>>, check: &[&str]) -> Vec<results::record::Check> {
    let host = HostSize { cores: 2, mem_available_bytes: 4 << 30, kvm: false };
    let (mut plan, _) = Plan::sized_for(&host).expect("default plan");
    plan.launch.on = on.iter().map(|name| (*name).to_owned()).collect();
    plan.launch.timeout_s = 20.0;
    plan.check = check.iter().map(|name| (*name).to_owned()).collect();
    let trial = try_on(&crate::Plan::Isolation(plan), backends, Memory::default(), &Stop::new(), |_| {});
    assert!(trial.result.is_ok(), "{:?}", trial.result);
    trial.memory.checks
}

fn verdicts(rows: &[results::record::Check]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    rows.iter().for_each(|row| *counts.entry(row.verdict.word()).or_default() += 1);
    counts
}

#[test]
fn a_runtime_that_does_nothing_passes_nothing() {
    for script in ["ready=1ms", "fail=1", "die=1"] {
        let backend = FakeBackend { script: script.into() };
        let mut plan_on = vec![backend.id()];
        let backends: Vec<Box<dyn Backend>> = vec![Box::new(backend)];
        let rows = {
            let host = HostSize { cores: 2, mem_available_bytes: 4 << 30, kvm: false };
            let (mut plan, _) = Plan::sized_for(&host).expect("default plan");
            plan.launch.on.clone_from(&plan_on);
            plan.launch.timeout_s = 0.05;
            plan.controls = "off".into();
            let plan = crate::Plan::Isolation(plan);
            try_on(&plan, backends, Memory::default(), &Stop::new(), |_| {}).memory.checks
        };
        plan_on.clear();
        assert!(!rows.is_empty());
        let bad = |row: &&results::record::Check| {
            !matches!(row.verdict, CheckVerdict::Broken | CheckVerdict::NotApplicable)
        };
        assert!(!rows.iter().any(|row| bad(&row)), "{script}: {:?}", rows.iter().find(bad));
    }
}

#[test]
fn a_bare_process_is_open_to_every_namespace_check() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: not running as root, so no world of its own can be made");
        return;
    }
    let rows = rows(&["process"], vec![Box::new(ProcessBackend)], &["ns-uts", "ns-pid", "ns-ipc"]);
    for row in &rows {
        assert_eq!(row.verdict, CheckVerdict::Leak, "{row:?}");
    }
    assert!(rows.len() >= 15, "{:?}", verdicts(&rows));
}
