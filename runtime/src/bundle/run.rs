//! `run`: create, start, stay until the program's end, delete.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::create::{Options, create};
use super::delete::delete;
use super::kill::send;
use super::start::start;
use super::state::Root;
use crate::Error;

/// Signals that are passed on to the program.
const PASSED_ON: [Signal; 8] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGCONT,
    Signal::SIGWINCH,
];

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// By itself, with this code.
    Exited(u8),
    /// By this signal.
    Signalled(u8),
}

impl Ended {
    /// The exit code to pass on: of a signal 128 and its number, as shells have it.
    pub(super) fn code(self) -> u8 {
        match self {
            Ended::Exited(code) => code,
            Ended::Signalled(signal) => 128u8.saturating_add(signal),
        }
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ended::Exited(code) => write!(f, "failed with exit code {code}"),
            Ended::Signalled(signal) => write!(f, "was ended by signal {signal}"),
        }
    }
}

/// Runs the container and gives the program's exit code; with `detach` only starts it. Warnings
/// that changed nothing come with it.
///
/// # Errors
/// As [`create`], [`start`] and [`delete`]; nothing of the container is left then.
pub fn run(
    root: &Root,
    id: &str,
    bundle: &Path,
    options: &Options,
    detach: bool,
) -> Result<(u8, Vec<String>), Error> {
    let mut warnings = create(root, id, bundle, &Options { stays: !detach, ..options.clone() })?;
    let started = start(root, id).and_then(|()| if detach { Ok(0) } else { stay(root, id) });
    if detach && started.is_ok() {
        return Ok((0, warnings));
    }
    let deleted = delete(root, id, true);
    let code = started?;
    warnings.extend(deleted?);
    Ok((code, warnings))
}

/// Until init has ended, which is this program's child.
fn stay(root: &Root, id: &str) -> Result<u8, Error> {
    let record = super::start::read(&root.find(id)?, id)?;
    let pid = record.init.and_then(|init| rustix::process::Pid::from_raw(init.pid));
    let pid = pid.ok_or_else(|| Error::Invalid(format!("container {id:?} has no init")))?;
    // One that has ended already is kept for its parent.
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
        .map_err(Error::system("open a pidfd of the container's init"))?;
    follow(&pidfd).map(Ended::code)
}

/// Waits for the end of a child and passes signals on to it meanwhile.
pub(super) fn follow(pidfd: &OwnedFd) -> Result<Ended, Error> {
    let mut passed_on = SigSet::empty();
    PASSED_ON.into_iter().for_each(|signal| passed_on.add(signal));
    let mut before = SigSet::empty();
    pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&passed_on), Some(&mut before))
        .map_err(Error::system("hold signals back"))?;
    let signals = SignalFd::with_flags(&passed_on, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .map_err(Error::system("make a descriptor for signals"))?;
    loop {
        let (process, arrived) = (pidfd.as_fd(), signals.as_fd());
        let mut polled = [PollFd::new(&process, PollFlags::IN), PollFd::new(&arrived, PollFlags::IN)];
        match poll(&mut polled, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Error::system("wait for the program's end")(error)),
        }
        while let Ok(Some(signal)) = signals.read_signal() {
            // It may just have ended.
            let _ = send(pidfd, signal.ssi_signo as i32);
        }
        if let Some(ended) = wait(pidfd, Some(Duration::ZERO))? {
            let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
            return Ok(ended);
        }
    }
}

/// Waits for the end of a child and reaps it; `None` where it has not ended within `timeout`, and
/// then it is killed unless the time-out was zero.
pub(super) fn wait(pidfd: &OwnedFd, timeout: Option<Duration>) -> Result<Option<Ended>, Error> {
    let time = timeout.map(|timeout| Timespec {
        tv_sec: timeout.as_secs() as i64,
        tv_nsec: i64::from(timeout.subsec_nanos()),
    });
    let process = pidfd.as_fd();
    let mut polled = [PollFd::new(&process, PollFlags::IN)];
    let in_time = loop {
        match poll(&mut polled, time.as_ref()) {
            Ok(ready) => break ready > 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Error::system("wait for a process to end")(error)),
        }
    };
    if !in_time {
        if timeout != Some(Duration::ZERO) {
            let _ = send(pidfd, libc::SIGKILL);
            let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
        }
        return Ok(None);
    }
    let status = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)
        .map_err(Error::system("learn how a process ended"))?;
    let byte = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
    Ok(status.and_then(|status| {
        let exited = status.exit_status().map(|code| Ended::Exited(byte(code)));
        exited.or_else(|| status.terminating_signal().map(|signal| Ended::Signalled(byte(signal))))
    }))
}
