//! Small questions to a process held by its descriptor.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use crate::{Error, Exit};

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

/// How the process ended, where it has: also after somebody has reaped it (PIDFD_GET_INFO, Linux 6.15).
/// `None` while it runs, and where an older kernel no longer knows.
pub(crate) fn exit(pidfd: BorrowedFd<'_>) -> Option<Exit> {
    use std::os::unix::process::ExitStatusExt;
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match waitid(WaitId::PidFd(pidfd), options) {
        Ok(status) => {
            let status = status?;
            let signal = status.terminating_signal().map(Exit::Signal);
            signal.or_else(|| status.exit_status().map(Exit::Code))
        }
        Err(_) => {
            let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
            // SAFETY: the request writes at most the size it carries.
            let asked = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) };
            let is_told = asked == 0 && info.mask & PIDFD_INFO_EXIT != 0;
            is_told.then(|| std::process::ExitStatus::from_raw(info.exit_code).into())
        }
    }
}

/// struct pidfd_info (linux/pidfd.h), its first version.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup_id: u64,
    ids: [u32; 11],
    exit_code: i32,
}

const PIDFD_INFO_EXIT: u64 = 1 << 3;
/// _IOWR(0xff, 11, struct pidfd_info).
const PIDFD_GET_INFO: libc::Ioctl =
    (3 << 30) | ((size_of::<PidfdInfo>() as libc::Ioctl) << 16) | (0xff << 8) | 11;

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
