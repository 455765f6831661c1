//! Joining, freezing, listing and killing, with children of children that have lost their parents.

use std::io;
use std::path::PathBuf;

use super::*;

/// Arrangements for which only the tracking hierarchy matters.
fn trackers() -> Vec<(&'static str, Hierarchies)> {
    let mut found = arrangements();
    let v1 = found.iter().find(|(name, _)| *name == "v1").cloned();
    found.extend(v1.map(|(_, v1)| ("no-freezer", v1.without_v1("freezer"))));
    found
}

/// A shell whose grandchild counts into a file and has no parent in the group.
fn counter(cgroup: &Cgroup, name: &str) -> (Inside, PathBuf) {
    let file = std::env::temp_dir().join(format!("bench-counter-{name}-{}", std::process::id()));
    std::fs::write(&file, "").expect("written");
    let script = format!("(sh -c 'while :; do echo; done >> {}' &) ; exec sleep 100", file.display());
    let inside = Inside::shell(cgroup, &script);
    let path = file.clone();
    // The subshell between the two has to go first.
    eventually("it counts", move || size(&path) > 0 && cgroup.processes().is_ok_and(|all| all.len() == 2));
    (inside, file)
}

fn size(path: &Path) -> u64 {
    path.metadata().map_or(0, |found| found.len())
}

#[test]
fn freezing_stops_the_grandchildren_too() {
    let _run = RunFolder;
    for (name, hierarchies) in trackers() {
        let mut cgroup = group(&hierarchies, &format!("freeze-{name}"), &Limits::default());
        if name == "no-freezer" {
            assert!(cgroup.freeze().expect_err("there is none").to_string().contains("freezer"));
            continue;
        }
        let (_inside, file) = counter(&cgroup, name);
        cgroup.freeze().expect("frozen");
        let frozen = size(&file);
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(size(&file), frozen, "{name}: it counts while frozen");
        cgroup.thaw().expect("thawed");
        eventually("it goes on", || size(&file) > frozen);
        // A frozen group can be ended all the same.
        cgroup.freeze().expect("frozen");
        cgroup.end().expect("ended");
        std::fs::remove_file(file).expect("removed");
    }
}

#[test]
fn everybody_inside_is_listed_and_killed() {
    let _run = RunFolder;
    for (name, hierarchies) in trackers() {
        let above = format!("kill-{name}");
        let mut cgroup = group(&hierarchies, &above, &Limits::default());
        let path = Path::new(TOP).join(run_name()).join(&above).join("below");
        let below = Cgroup::create_at(&hierarchies, &path, &Limits::default()).expect("made");
        let (inside, file) = counter(&cgroup, &above);
        let (nested, nested_file) = counter(&below, &format!("{above}-below"));
        let listed = cgroup.processes().expect("readable");
        for pid in [inside.0.id(), nested.0.id()] {
            assert!(listed.contains(&(pid as i32)), "{name}: {pid} is not in {listed:?}");
        }
        assert_eq!(listed.len(), 4, "{name}: {listed:?}");
        assert_eq!(below.processes().expect("readable").len(), 2, "{name}");
        cgroup.kill().expect("killed");
        eventually("all are gone", || cgroup.processes().expect("readable").is_empty());
        cgroup.end().expect("ended");
        assert!(cgroup.path().is_none() && !hierarchies.roots()[0].join(&path).exists());
        for file in [file, nested_file] {
            std::fs::remove_file(file).expect("removed");
        }
    }
}

#[test]
fn a_fork_bomb_is_ended() {
    let (_run, _turn) = (RunFolder, turn());
    for (name, hierarchies) in trackers() {
        // Enough to outrun who kills one after the other, few enough for the neighbours.
        let limits = Limits { pids: Some(64), ..Limits::default() };
        let mut cgroup = group(&hierarchies, &format!("bomb-{name}"), &limits);
        let pid = child(&cgroup.entrance().expect("open"), bomb).expect("cloned");
        eventually("it multiplies", || cgroup.processes().is_ok_and(|found| found.len() > 30));
        cgroup.end().unwrap_or_else(|error| panic!("{name}: {error}"));
        reap(pid);
    }
}

fn bomb() {
    // SAFETY: plain system calls in a child of one thread.
    unsafe {
        if libc::fork() < 0 {
            libc::usleep(1_000);
        }
    }
}

#[test]
fn a_child_is_born_into_its_group() {
    let _run = RunFolder;
    for (name, hierarchies) in trackers() {
        let limits = Limits { pids: Some(9), memory_bytes: Some(64 << 20), ..Limits::default() };
        let cgroup = group(&hierarchies, &format!("born-{name}"), &limits);
        let entrance = cgroup.entrance().expect("open");
        let pid = child(&entrance, wait).expect("cloned");
        let path = format!("/proc/{pid}/cgroup");
        eventually("it is in all its groups", || {
            let text = std::fs::read_to_string(&path).expect("readable");
            text.matches(&format!("/born-{name}\n")).count() == cgroup.folders.len()
        });
        assert_eq!(cgroup.processes().expect("readable"), [pid], "{name}");
        drop(cgroup);
        reap(pid);
    }
}

fn wait() {
    // SAFETY: a plain system call.
    unsafe { libc::pause() };
}

fn reap(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).expect("reaped");
}

/// A child that enters and does the same thing, which is to be system calls only, until it is killed.
pub(super) fn child(entrance: &Entrance, act: fn()) -> io::Result<i32> {
    // SAFETY: plain data for which all zeroes is valid.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.exit_signal = libc::SIGCHLD as u64;
    if let Some(group) = entrance.born_into() {
        arguments.flags = CLONE_INTO_CGROUP;
        arguments.cgroup = group.as_raw_fd() as u64;
    }
    // SAFETY: the child makes system calls only.
    unsafe {
        let pid = libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<libc::clone_args>());
        if pid == 0 {
            if entrance.enter().is_none() {
                libc::_exit(1);
            }
            loop {
                act();
            }
        }
        if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(pid as i32) }
    }
}

#[test]
fn a_group_is_found_again_and_left_alone() {
    let _run = RunFolder;
    for (name, hierarchies) in arrangements() {
        let limits = Limits { pids: Some(9), ..Limits::default() };
        let mut cgroup = group(&hierarchies, &format!("again-{name}"), &limits);
        let (mut inside, file) = counter(&cgroup, &format!("again-{name}"));
        cgroup.keep();
        drop(cgroup);
        assert!(inside.0.try_wait().expect("asked").is_none(), "{name}");
        let path = Path::new(TOP).join(run_name()).join(format!("again-{name}"));
        drop(Cgroup::open(&hierarchies, &path).expect("found"));
        assert!(inside.0.try_wait().expect("asked").is_none(), "{name}");
        let mut found = Cgroup::open(&hierarchies, &path).expect("found");
        assert_eq!(found.processes().expect("readable").len(), 2, "{name}");
        found.limit(&Limits { pids: Some(5), ..Limits::default() }).expect("lowered");
        eventually("the two are counted", || {
            found.statistics().expect("readable").pids.is_some_and(|pids| pids.current == 2)
        });
        found.end().expect("ended");
        assert!(Cgroup::open(&hierarchies, &path).is_err());
        assert!(Cgroup::open(&hierarchies, Path::new("../x")).is_err());
        std::fs::remove_file(file).expect("removed");
    }
}
