//! Tests of the suite itself: it must say nothing good of what does nothing (control C6), what one
//! instance does must cost its own rows only, and a missing mechanism must be noticed.

use std::sync::Arc;

use guest::Workload;
use results::isolation::mutation;
use results::record::{Check as Row, CheckVerdict};
use runtime::container::ContainerBackend;
use runtime::fake::FakeBackend;
use runtime::image::Image;
use runtime::process::ProcessBackend;
use runtime::{Backend, EventSink, Instance, LaunchSpec, Prepared, Requirement, RunContext};

use super::*;
use crate::testing::{Memory, try_on};
use crate::{HostSize, Stop};

fn plan(on: &[&str], check: &[&str]) -> Plan {
    let host = HostSize { cores: 2, mem_available_bytes: 4 << 30, kvm: false };
    let (mut plan, _) = Plan::sized_for(&host).expect("default plan");
    plan.launch.on = on.iter().map(|name| (*name).to_owned()).collect();
    plan.launch.timeout_s = 20.0;
    plan.check = check.iter().map(|name| (*name).to_owned()).collect();
    plan
}

fn rows(plan: Plan, backends: Vec<Box<dyn Backend>>) -> Vec<Row> {
    let trial = try_on(&crate::Plan::Isolation(plan), backends, Memory::default(), &Stop::new(), |_| {});
    assert!(trial.result.is_ok(), "{:?}", trial.result);
    trial.memory.checks
}

/// Neither praised nor blamed.
fn says_nothing(row: &Row) -> bool {
    matches!(row.verdict, CheckVerdict::Broken | CheckVerdict::NotApplicable)
}

fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        println!("skipped: not running as root, so no world of its own can be made");
    }
    root
}

#[test]
fn a_runtime_that_does_nothing_passes_nothing() {
    for script in ["ready=1ms", "fail=1", "die=1"] {
        let backend = FakeBackend { script: script.into() };
        let mut plan = plan(&[&backend.id()], &["ns-uts", "ns-ipc"]);
        plan.launch.timeout_s = 0.05;
        plan.controls = "off".into();
        let rows = rows(plan, vec![Box::new(backend)]);
        assert!(rows.len() >= 10);
        for row in &rows {
            assert!(says_nothing(row), "{script}: {row:?}");
        }
    }
}

#[test]
fn who_is_interrupted_has_not_been_asked() {
    // It never answers, and would be waited for until the end of the test.
    let backend = FakeBackend { script: "ready=1ms".into() };
    let mut plan = plan(&[&backend.id()], &["ns-uts", "ns-ipc"]);
    plan.launch.timeout_s = 600.0;
    plan.controls = "off".into();
    let (stop, began) = (Stop::new(), std::time::Instant::now());
    let user = stop.clone();
    let asks = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        user.request();
    });
    let plan = crate::Plan::Isolation(plan);
    let trial = try_on(&plan, vec![Box::new(backend)], Memory::default(), &stop, |_| {});
    asks.join().expect("asked");
    assert!(matches!(trial.result, Ok(crate::Completion::Interrupted)), "{:?}", trial.result);
    assert!(trial.memory.checks.is_empty(), "{:?}", trial.memory.checks);
    assert!(began.elapsed().as_secs() < 60);
}

/// A bare process that carries out something else than it was told.
struct Impostor {
    name: &'static str,
    does: fn(&Workload) -> Workload,
}

struct PreparedImpostor {
    process: Arc<dyn Prepared>,
    does: fn(&Workload) -> Workload,
}

impl Backend for Impostor {
    fn id(&self) -> String {
        self.name.into()
    }

    fn description(&self) -> &'static str {
        "does something else"
    }

    fn requirements(&self) -> Vec<Requirement> {
        Vec::new()
    }

    fn prepare(&self, context: &RunContext, image: &Image) -> Result<Arc<dyn Prepared>, runtime::Error> {
        let process = ProcessBackend.prepare(context, image)?;
        Ok(Arc::new(PreparedImpostor { process, does: self.does }))
    }
}

impl Prepared for PreparedImpostor {
    fn config(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    fn launch(&self, spec: &LaunchSpec, events: EventSink) -> Result<Box<dyn Instance>, runtime::Error> {
        let mut spec = spec.clone();
        spec.plan.workload = (self.does)(&spec.plan.workload);
        self.process.launch(&spec, events)
    }
}

fn shell(script: &str) -> Workload {
    Workload::Command { argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec() }
}

#[test]
fn a_probe_that_is_replaced_killed_replayed_or_forged_passes_nothing() {
    if !is_root() {
        return;
    }
    let impostors: [Impostor; 5] = [
        Impostor { name: "container:true", does: |_| shell("exec /bin/true") },
        Impostor { name: "container:killed", does: |_| shell("kill -9 $PPID") },
        // What another run said: right in all but the nonce.
        Impostor {
            name: "container:replayed",
            does: |asked| match asked {
                Workload::Probe { requests, .. } => {
                    Workload::Probe { nonce: "0".repeat(32), requests: requests.clone() }
                }
                other => other.clone(),
            },
        },
        Impostor {
            name: "container:forged",
            does: |_| {
                shell(
                    r#"printf '\036{"v":1,"event":"observation","nonce":"","index":0,"assertions":2,"ending":"done","facts":{"errno":2,"own":1}}\n' >&3; sleep 3"#,
                )
            },
        },
        // More output than is kept, without an answer.
        Impostor { name: "container:flood", does: |_| shell("yes | head -c 50000000") },
    ];
    for impostor in impostors {
        let mut plan = plan(&[impostor.name], &["ipc-*", "uts-*"]);
        plan.controls = "off".into();
        plan.launch.timeout_s = 0.5;
        let name = impostor.name;
        let rows = rows(plan, vec![Box::new(impostor)]);
        assert!(rows.len() >= 10);
        for row in &rows {
            assert!(says_nothing(row), "{name}: {row:?}");
        }
    }
}

#[test]
fn a_bare_process_is_open_to_every_namespace_check() {
    if !is_root() {
        return;
    }
    let claims = ["ns-uts", "ns-pid", "ns-ipc", "ns-net", "ns-user"];
    let rows = rows(plan(&["process"], &claims), vec![Box::new(ProcessBackend)]);
    assert!(rows.len() >= 25, "{}", rows.len());
    for row in rows.iter().filter(|row| !row.expectation.starts_with("n/a")) {
        assert_eq!(row.verdict, CheckVerdict::Leak, "{row:?}");
    }
}

#[test]
fn the_container_is_apart_and_its_controls_leak() {
    if !is_root() {
        return;
    }
    let claims = ["ns-uts", "ns-pid", "ns-ipc", "ns-net", "ns-user"];
    let rows = rows(plan(&["container"], &claims), vec![Box::new(ContainerBackend)]);
    for row in &rows {
        assert_eq!(row.verdict, CheckVerdict::Pass, "{row:?}");
        assert!(row.controls.contains("C1 ok"), "{row:?}");
    }
}

/// Groups that are planted lie below the run's own, and come before it.
#[test]
fn groups_that_are_planted_leave_room_for_instances() {
    if !is_root() {
        return;
    }
    let mut plan = plan(&["container"], &["cg-cpuset", "cg-move-out"]);
    plan.controls = "off".into();
    let rows = rows(plan, vec![Box::new(ContainerBackend)]);
    assert_eq!(rows.len(), 2);
    for row in &rows {
        assert!(matches!(row.verdict, CheckVerdict::Pass | CheckVerdict::NotApplicable), "{row:?}");
    }
}

/// A part of `bench run isolation --mutate all`, whose whole table is in MUTATIONS.md.
#[test]
fn a_namespace_that_is_missing_is_noticed() {
    if !is_root() {
        return;
    }
    let names = ["pid namespace", "network namespace", "uts namespace", "ipc namespace", "user namespace"];
    let mut plan = plan(&["container"], &["ns-uts", "ns-pid", "ns-ipc", "ns-net", "ns-user"]);
    plan.mutate = Some(names.join(","));
    let rows = rows(plan, vec![Box::new(ContainerBackend)]);
    let noticed = mutation::noticed(&rows);
    for name in names {
        assert!(noticed.get(name).is_some_and(|one| !one.alone.is_empty()), "{name}: {noticed:?}");
    }
}
