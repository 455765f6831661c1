//! Effects, not read-backs: these tests need root, and those of v2's controllers a host that has
//! them there, which is a guest (see `guest`) where this one is hybrid.

mod guest;
mod limits;
mod members;
mod user;

use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::*;
use ::guest::{Plan, Workload};

/// The hierarchies of this host in every arrangement it can play, by name. Empty without root.
fn arrangements() -> Vec<(&'static str, Hierarchies)> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: making cgroups needs root");
        return Vec::new();
    }
    guest::set_up();
    let host = Hierarchies::of_host().expect("readable");
    match host.mode() {
        Mode::Hybrid => vec![("hybrid", host.clone()), ("v1", host.without_v2())],
        Mode::V1 => vec![("v1", host)],
        Mode::V2 => vec![("v2", host)],
        Mode::None => panic!("no cgroup hierarchy is mounted"),
    }
}

fn run_name() -> String {
    format!("test-{}", std::process::id())
}

/// A group of this test's own.
fn group(hierarchies: &Hierarchies, name: &str, limits: &Limits) -> Cgroup {
    Cgroup::create(hierarchies, &run_name(), name, limits).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A program in the group from its first instruction; killed when dropped.
struct Inside(Child);

impl Inside {
    fn start(cgroup: &Cgroup, command: &mut Command) -> Inside {
        let entrance = cgroup.entrance_by_moving().expect("open");
        // SAFETY: the closure makes system calls only.
        unsafe { command.pre_exec(move || entrance.enter().ok_or_else(std::io::Error::last_os_error)) };
        Inside(command.spawn().expect("started"))
    }

    fn shell(cgroup: &Cgroup, script: &str) -> Inside {
        let mut command = Command::new("/bin/sh");
        Inside::start(cgroup, command.args(["-c", script]).stdout(Stdio::piped()).stderr(Stdio::piped()))
    }

    /// The guest program, saying on standard output what it has done.
    fn workload(cgroup: &Cgroup, workload: Workload) -> Inside {
        let program = crate::guest_program().expect("sealed");
        let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
        Inside::start(cgroup, command.args(["fd:1", &Plan::new(workload).to_word()]).stdout(Stdio::piped()))
    }

    /// All it says until it ends or closes its output.
    fn output(&mut self) -> String {
        let mut text = String::new();
        self.0.stdout.take().expect("piped").read_to_string(&mut text).expect("text");
        if let Some(mut errors) = self.0.stderr.take() {
            errors.read_to_string(&mut text).expect("text");
        }
        text
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for what the other side will do, on busy machines too.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within 20 s");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Tests run in parallel and share the run's folder, which the last one to end removes.
struct RunFolder;

impl Drop for RunFolder {
    fn drop(&mut self) {
        for root in Hierarchies::of_host().expect("readable").roots() {
            // Busy while others have groups in it.
            let _ = std::fs::remove_dir(root.join(TOP).join(run_name()));
        }
    }
}

/// Those that keep processors busy go one after the other, also where each test has a process of its own.
fn turn() -> crate::lock::Lock {
    let path = std::env::temp_dir().join("bench-test-turn");
    let file = std::fs::File::options().write(true).create(true).truncate(false).open(path);
    let lock = crate::lock::Lock::of(file.expect("opened"));
    lock.take().expect("taken");
    lock
}
