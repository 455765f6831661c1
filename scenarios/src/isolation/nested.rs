//! The checks of cgroups once more in a container inside a virtual machine, whose kernel has all
//! controllers on v2: this host's are on v1.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use guest::{Plan, Workload};
use runtime::cgroup::{Hierarchies, Mode};
use runtime::container::WeakenedBackend;
use runtime::image::Image;
use runtime::vm::{Accel, DirectBackend, Machine, Options};
use runtime::watch::Watch;
use runtime::{Backend, Event, EventSink, InstanceName, LaunchSpec, Limits, RunContext};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::unbounded_channel;

use super::check::{Check, Finding, Twin};
use super::kind::Kind;
use super::list;
use super::run::{Field, Subject, jobs};
use crate::Stop;

/// Set where this program runs in a guest.
const IN_GUEST: &str = "BENCH_TEST_IN_GUEST";
/// Of which the machine gets enough for this program and for two that want too much.
const MEMORY_BYTES: u64 = 1536 << 20;
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
    let rootfs = folder.path().join("rootfs");
    fill(&rootfs);
    let image = Image { rootfs: Some(rootfs), ..Image::builtin() };
    let options =
        Options { accel: Accel::Auto, machine: Machine::Microvm, kernel: Some(kernel), ..Options::default() };
    let prepared = DirectBackend::new(options).prepare(&context, &image).expect("prepared");
    let argv = ["/tests", "cgroup_v2_holds_in_a_machine", "--nocapture", "--color=never"];
    let mut plan = Plan::new(Workload::Command { argv: argv.map(str::to_owned).to_vec() });
    plan.environment = vec![format!("{IN_GUEST}=1"), "PATH=/bin".into()];
    let name = InstanceName { storm: 0, index: 0 };
    let limits = Limits { memory_bytes: Some(MEMORY_BYTES), cpus: Some(2.0), ..Limits::default() };
    let (sender, mut events) = unbounded_channel();
    let spec = LaunchSpec { name: name.clone(), plan, limits };
    let mut vm = prepared.launch(&spec, EventSink::new(name, sender)).expect("launched");
    let mut said = Vec::new();
    let began = Instant::now();
    let status = loop {
        let event = match events.try_recv() {
            Ok(stamped) => stamped.event,
            Err(TryRecvError::Empty) if began.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            Err(why) => panic!("{why}; before: {said:#?}"),
        };
        match event {
            Event::Log(line) => said.push(line),
            Event::CommandExited(status) => break status,
            Event::Failed(error) => panic!("{error}; before: {said:#?}"),
            Event::Exited(exit) => panic!("the guest ended: {exit}; before: {said:#?}"),
            _ => {}
        }
    };
    vm.stop().expect("stopped");
    for root in Hierarchies::of_host().expect("readable").roots() {
        let _ = std::fs::remove_dir(root.join("bench").join(&context.run_id));
    }
    let rows: Vec<&String> = said.iter().filter(|line| line.contains(LABEL)).collect();
    println!("{rows:#?}");
    assert!(status == 0 && rows.len() == CHECKS.len(), "{status}: {said:#?}");
}

/// In the guest: what a distribution's init would have mounted, then all checks with their twins.
fn inside() {
    set_up();
    assert_eq!(Hierarchies::of_host().expect("readable").mode(), Mode::V2);
    let context = RunContext {
        run_id: "nested".into(),
        state_dir: "/tmp".into(),
        cache_dir: "/tmp".into(),
        watch: Arc::new(Watch::start().expect("watch")),
        network: Arc::default(),
    };
    let checks: Vec<&'static Check> = CHECKS.iter().flat_map(|id| list::matching(id)).collect();
    let mut wrong = Vec::new();
    for check in checks {
        let subject = |without: &[runtime::container::Mechanism]| {
            let backend = WeakenedBackend { without: without.to_vec() };
            let prepared = backend.prepare(&context, &Image::builtin()).expect("prepared");
            Subject { kind: Kind::Container, name: backend.id(), prepared }
        };
        let mut subjects = vec![subject(&[])];
        if let Twin::Without(without) = check.twin {
            subjects.push(subject(without));
        }
        let all = [check];
        let field = Field {
            subjects: &subjects,
            checks: &all,
            timeout: Duration::from_secs(60),
            stop: &Stop::new(),
            rounds: std::sync::atomic::AtomicU32::new(0),
            origin: None,
            troubles: Mutex::default(),
        };
        let outcomes = field.carry_out((0..subjects.len()).flat_map(|at| jobs(at, &all, |_| true)).collect());
        let finding = |at| outcomes.get(&(at, 0)).map(|outcome| outcome.finding.clone());
        let (found, twin) = (finding(0), finding(1));
        println!("{LABEL}{}: {found:?}; twin: {twin:?}", check.id);
        let leaks = twin.is_none() || matches!(twin, Some(Finding::Open(_)));
        if !matches!(found, Some(Finding::Apart(_))) || !leaks {
            wrong.push(check.id);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

fn set_up() {
    use nix::mount::{MsFlags, mount};
    let none = None::<&str>;
    // The kernel keeps its first file system as the root of all (pivot_root(2), EINVAL): the same
    // files as a mount of their own can be left.
    mount(Some("/"), "/mnt", none, MsFlags::MS_BIND, none).expect("bound");
    for kind in ["proc", "sys", "dev"] {
        let target = format!("/mnt/{kind}");
        mount(Some(&*format!("/{kind}")), &*target, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)
            .expect("bound");
    }
    std::env::set_current_dir("/mnt").expect("there");
    mount(Some("/mnt"), "/", none, MsFlags::MS_MOVE, none).expect("moved");
    nix::unistd::chroot(".").expect("entered");
    mount(Some("cgroup2"), "/sys/fs/cgroup", Some("cgroup2"), MsFlags::empty(), none).expect("cgroup2");
    std::fs::create_dir_all("/dev/shm").expect("made");
    mount(Some("tmpfs"), "/tmp", Some("tmpfs"), MsFlags::empty(), none).expect("tmpfs");
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

/// This program, `sleep` and their libraries.
fn fill(root: &Path) {
    let script = r#"set -e
        root=$0; program=$1; mkdir -p "$root/bin" "$root/tmp" "$root/mnt" "$root/proc" "$root/sys" "$root/dev"
        add() { cp "$1" "$root/$2"; for library in $(ldd "$1" | grep -o '/[^ ]*'); do
            mkdir -p "$root$(dirname $library)"; cp -L "$library" "$root$library"; done; }
        add "$(command -v sleep)" bin/sleep
        add "$program" tests; if command -v strip >/dev/null; then strip "$root/tests"; fi"#;
    let program = std::env::current_exe().expect("its path");
    let mut command = Command::new("/bin/sh");
    assert!(command.args(["-c", script]).arg(root).arg(program).status().expect("sh").success());
}
