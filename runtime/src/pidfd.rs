//! Small questions to a process held by its descriptor.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, pidfd_send_signal};

use crate::Error;

/// The process id behind `pidfd`, from its fdinfo (pidfd_open(2)).
///
/// # Errors
/// Where the file cannot be read, or the process has been reaped.
pub(crate) fn pid(pidfd: BorrowedFd<'_>) -> Result<i32, Error> {
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let text = std::fs::read_to_string(&path).map_err(Error::system(format!("read {path}")))?;
    text.lines()
        .find_map(|line| line.strip_prefix("Pid:"))
        .and_then(|number| number.trim().parse().ok())
        .filter(|pid| *pid > 0)
        .ok_or_else(|| Error::Invalid("the process has ended".into()))
}

/// Sends a signal; `what` names the process in the error.
///
/// # Errors
/// Where the kernel refuses, also because the process has been reaped.
pub(crate) fn signal(pidfd: BorrowedFd<'_>, signal: Signal, what: &str) -> Result<(), Error> {
    pidfd_send_signal(pidfd, signal).map_err(Error::system(format!("send {signal:?} to {what}")))
}

/// Kills the process, if it is still there, and waits until it has ended.
///
/// # Errors
/// Where the kernel refuses, or the process has not ended within `timeout`.
pub(crate) fn end(pidfd: BorrowedFd<'_>, what: &str, timeout: Duration) -> Result<(), Error> {
    match pidfd_send_signal(pidfd, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => await_end(pidfd, timeout),
        Err(error) => Err(Error::system(format!("kill {what}"))(error)),
    }
}

/// Waits until the process has ended.
///
/// # Errors
/// Where it has not within `timeout`.
pub(crate) fn await_end(pidfd: BorrowedFd<'_>, timeout: Duration) -> Result<(), Error> {
    let deadline_ns = crate::clock::now_ns() + timeout.as_nanos() as u64;
    loop {
        let left_ns = deadline_ns.saturating_sub(crate::clock::now_ns());
        let left =
            Timespec { tv_sec: (left_ns / 1_000_000_000) as i64, tv_nsec: (left_ns % 1_000_000_000) as i64 };
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&left)) {
            Ok(0) => {
                return Err(Error::Invalid(format!("a killed process has not ended within {timeout:?}")));
            }
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Error::system("wait for a process to end")(error)),
        }
    }
}
