//! The checks of cgroups once more in a container inside a virtual machine, whose kernel has all
//! controllers on v2: this host's are on v1. The machine is the one plans are carried out in
//! ([`crate::inside`]), with this program of the tests in it.

use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use runtime::cgroup::{Hierarchies, Mode};
use runtime::container::{Mechanism, WeakenedBackend};
use runtime::image::Image;
use runtime::vm::{Accel, DirectBackend, Options};
use runtime::watch::Watch;
use runtime::{Backend, RunContext};

use super::check::{Check, Finding, Twin};
use super::kind::Kind;
use super::list;
use super::nonce::Plots;
use super::run::{Field, Subject, jobs};
use crate::Stop;
use crate::inside::{Carried, Guest, Version};
use crate::testing::clear;

/// Set where this program runs in a guest.
const IN_GUEST: &str = "BENCH_TEST_IN_GUEST";
/// How long the guest may take for all of it, on an emulated processor beside other work.
const PATIENCE: Duration = Duration::from_secs(300);
/// What stands before a row, and says where it was found.
const LABEL: &str = "container in vm:direct (nested), cgroup v2: ";
/// Checks that need no v1, no disk and no swap.
const CHECKS: [&str; 14] = [
    "cg-memory-limit",
    "cg-memory-shared",
    "cg-memory-kernel",
    "cg-memory-high",
    "cg-memory-counted",
    "cg-pids-bomb",
    "cg-cpu-quota",
    "cg-cpu-weight",
    "cg-cpuset",
    "cg-move-out",
    "cg-limits-writable",
    "cg-devices",
    "cg-freeze-descendants",
    "cg-kill-all",
];

#[test]
fn cgroup_v2_holds_in_a_machine() {
    if std::env::var_os(IN_GUEST).is_some() {
        return inside();
    }
    let Some(kernel) = kernel() else { return };
    let folder = tempfile::tempdir().expect("folder");
    let context = RunContext {
        run_id: format!("nested-{}", std::process::id()),
        state_dir: folder.path().into(),
        cache_dir: folder.path().into(),
        watch: Arc::new(Watch::start().expect("watch")),
        network: Arc::default(),
    };
    let carried = Carried::fill(&context, None, &["sleep"]).expect("filled");
    let guest = Guest { kernel: Some((kernel, String::new())), version: Version::V2, accel: Accel::Auto };
    let script = format!(
        "mkdir -p /dev/shm\nexport {IN_GUEST}=1\n\
         exec bench-itself cgroup_v2_holds_in_a_machine --nocapture --color=never"
    );
    let said = carried.boot(&guest, &script, PATIENCE, &context, &Stop::new());
    clear(&context);
    let said = said.unwrap_or_else(|error| panic!("{error}"));
    let rows: Vec<&String> = said.iter().filter(|line| line.contains(LABEL)).collect();
    println!("{rows:#?}");
    assert_eq!(rows.len(), CHECKS.len(), "{said:#?}");
}

/// In the guest: all checks with their twins.
fn inside() {
    assert_eq!(Hierarchies::of_host().expect("readable").mode(), Mode::V2);
    let context = RunContext {
        run_id: "nested".into(),
        state_dir: "/tmp".into(),
        cache_dir: "/tmp".into(),
        watch: Arc::new(Watch::start().expect("watch")),
        network: Arc::default(),
    };
    let checks: Vec<&'static Check> = CHECKS.iter().flat_map(|id| list::matching(id)).collect();
    let subject = |without: &[Mechanism]| {
        let backend = WeakenedBackend { without: without.to_vec() };
        let prepared = backend.prepare(&context, &Image::builtin()).expect("prepared");
        Subject { kind: Kind::Container, name: backend.id(), prepared, backend: None }
    };
    // The whole container, and each that a check's control is. What one waits for another uses.
    let mut subjects = vec![subject(&[])];
    let mut rounds = jobs(0, &checks, |_| true);
    let mut twins: Vec<(Twin, usize)> = Vec::new();
    for check in &checks {
        let Twin::Without(without) = check.twin else { continue };
        if twins.iter().all(|(twin, _)| *twin != check.twin) {
            twins.push((check.twin, subjects.len()));
            rounds.extend(jobs(subjects.len(), &checks, |other| other.twin == check.twin));
            subjects.push(subject(without));
        }
    }
    let field = Field {
        subjects: &subjects,
        checks: &checks,
        timeout: Duration::from_secs(60),
        plots: &Plots { folder: "/tmp".into(), group: "bench/nested".into() },
        stop: &Stop::new(),
        rounds: AtomicU32::new(0),
        origin: None,
        troubles: Mutex::default(),
    };
    let outcomes = field.carry_out(rounds);
    let mut wrong = Vec::new();
    for (at, check) in checks.iter().enumerate() {
        let finding = |subject| outcomes.get(&(subject, at)).map(|outcome| outcome.finding.clone());
        let twin = twins.iter().find(|(twin, _)| *twin == check.twin);
        let (found, twin) = (finding(0), twin.map(|(_, subject)| finding(*subject)));
        println!("{LABEL}{}: {found:?}; twin: {twin:?}", check.id);
        let leaks = twin.is_none() || matches!(twin, Some(Some(Finding::Open(_))));
        if !matches!(found, Some(Finding::Apart(_))) || !leaks {
            wrong.push(check.id);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// The guest kernel's file, or why there can be no guest.
fn kernel() -> Option<PathBuf> {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: not running as root");
        return None;
    }
    let mut kernel = None;
    for requirement in DirectBackend::new(Options::default()).requirements() {
        match requirement.state {
            Ok(found) if requirement.what == "guest kernel" => kernel = Some(PathBuf::from(found)),
            Ok(_) => {}
            Err(why) => {
                println!("skipped: no virtual machine here: {}: {why}", requirement.what);
                return None;
            }
        }
    }
    kernel
}
