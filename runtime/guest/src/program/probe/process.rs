//! Processes: those there are, those that can be reached (pid_namespaces(7), kill(2)).

use std::ffi::CString;

use guest::probe::{Fact, Facts};

use super::{errno_of, facts, number};

/// Most process ids that are told one by one.
const MOST_PIDS: usize = 256;

/// Own ids, and all that /proc lists.
pub fn list() -> Facts {
    let pids = pids();
    let told = pids.iter().take(MOST_PIDS).map(ToString::to_string).collect();
    // SAFETY: no memory is involved.
    let (pid, parent) = unsafe { (libc::getpid(), libc::getppid()) };
    facts([
        ("pid", number(pid)),
        ("parent", number(parent)),
        ("count", number(pids.len() as i64)),
        ("pids", Fact::List(told)),
    ])
}

/// Becomes a process that is found by its name; the caller keeps it.
pub fn sleeper(name: &str) -> Facts {
    let result = rename(name);
    // SAFETY: no memory is involved.
    facts([("errno", number(errno_of(result))), ("pid", number(unsafe { libc::getpid() }))])
}

/// How many processes are called `name`.
pub fn find(name: &str) -> Facts {
    let found = called(name);
    let own = "probe-own-name";
    rename(own);
    facts([
        ("found", number(found)),
        ("own", number(i64::from(called(own) > 0))),
        ("count", number(pids().len() as i64)),
    ])
}

/// kill(2).
pub fn signal(pid: i32, signal: i32) -> Facts {
    // SAFETY: no memory is involved.
    let result = unsafe { libc::kill(pid, signal) };
    facts([("errno", number(errno_of(result.into())))])
}

/// Ends by `signal`.
pub fn crash(signal: i32) -> Facts {
    // SAFETY: acts on this process alone.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
    Facts::new()
}

pub(super) fn rename(name: &str) -> i64 {
    let Ok(name) = CString::new(name) else { return -1 };
    // SAFETY: the name lives through the call (PR_SET_NAME).
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()).into() }
}

pub(super) fn pids() -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok()).collect()
}

fn called(name: &str) -> i64 {
    let is = |pid: &i32| {
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    pids().iter().filter(|pid| is(pid)).count() as i64
}
