//! Processes whose parent has ended (credentials(7), PR_SET_CHILD_SUBREAPER; pid_namespaces(7)).

use std::time::Duration;

use guest::probe::Facts;

use super::load::stay;
use super::{errno_of, facts, number};

/// How long it may take until somebody else is the parent, and until an ended one is waited for.
const TRIES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(10);

/// Leaves one behind that stays, and one that ends.
pub fn leave(name: &str) -> Facts {
    let stays = behind(|| {
        stay(name, None);
        loop {
            // SAFETY: waits for a signal.
            unsafe { libc::pause() };
        }
    });
    let ends = behind(|| ());
    let (Some(stays), Some(ends)) = (stays, ends) else {
        return facts([("errno", number(errno_of(-1)))]);
    };
    let is_reaped = (0..TRIES).any(|_| {
        // SAFETY: signal 0 only asks whether there is such a process, which one not waited for still is.
        let is_there = unsafe { libc::kill(ends, 0) } == 0;
        if is_there {
            std::thread::sleep(PAUSE);
        }
        !is_there
    });
    facts([
        ("errno", number(0)),
        ("pid", number(stays)),
        ("parent", number(parent(stays).unwrap_or(-1))),
        ("reaped", number(i64::from(is_reaped))),
    ])
}

/// A child of a child that has ended, and is waited for; the child's child does `what` and ends.
fn behind(what: impl FnOnce()) -> Option<libc::pid_t> {
    let mut ends = [0; 2];
    // SAFETY: the program has one thread; descriptors and the number are this function's own.
    unsafe {
        if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            return None;
        }
        let child = libc::fork();
        if child == 0 {
            let left = libc::fork();
            if left == 0 {
                what();
                libc::_exit(0);
            }
            libc::write(ends[1], (&raw const left).cast(), size_of::<libc::pid_t>());
            libc::_exit(0);
        }
        libc::close(ends[1]);
        let mut left: libc::pid_t = -1;
        let read = libc::read(ends[0], (&raw mut left).cast(), size_of::<libc::pid_t>());
        libc::close(ends[0]);
        if child > 0 {
            libc::waitpid(child, std::ptr::null_mut(), 0);
        }
        (child > 0 && read > 0 && left > 0).then_some(left)
    }
}

/// proc_pid_stat(5), field 4.
fn parent(pid: libc::pid_t) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}
