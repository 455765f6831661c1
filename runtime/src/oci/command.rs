//! One command of a runtime, carried out to its end, with all that it says and a deadline.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, waitid};

use crate::clock::now_ns;
use crate::{Error, Exit};

/// Most that is kept of what a command says.
const SAID_BYTES: usize = 64 * 1024;
/// Most of it that is quoted.
const QUOTED_BYTES: usize = 4096;

/// What became of a command.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) exit: Exit,
    /// Its output, both kinds.
    pub(super) said: String,
}

impl Done {
    /// Whether it succeeded.
    ///
    /// # Errors
    /// What it said, where it did not; `what` names it.
    pub(super) fn succeeded(self, what: &str) -> Result<String, Error> {
        match self.exit {
            Exit::Code(0) => Ok(self.said),
            exit => {
                let said = self.said.trim();
                let end = (0..=QUOTED_BYTES.min(said.len())).rev().find(|at| said.is_char_boundary(*at));
                Err(Error::Invalid(format!("{what} ended with {exit}: {}", &said[..end.unwrap_or(0)])))
            }
        }
    }
}

/// Runs `program` with `arguments` where this process is.
///
/// # Errors
/// Where it cannot be started or has not ended within `timeout`; it is killed then.
pub(super) fn run(program: &Path, arguments: &[&str], timeout: Duration) -> Result<Done, Error> {
    let what = format!("{} {}", program.display(), arguments.join(" "));
    let (read, write) = pipe()?;
    let again = write.try_clone().map_err(Error::system("duplicate a pipe"))?;
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(write)
        .stderr(again)
        .process_group(0)
        .spawn()
        .map_err(Error::system(format!("run {what}")))?;
    let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty());
    let pidfd = pidfd.map_err(Error::system("open a process's descriptor"))?;
    finish(pidfd.as_fd(), child.id() as i32, &read, timeout, &what)
}

/// A pipe whose ends are closed by exec.
///
/// # Errors
/// What the system said.
pub(super) fn pipe() -> Result<(OwnedFd, OwnedFd), Error> {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(Error::system("make a pipe"))
}

/// Waits for a command that leads a process group, reads what it says, and reaps it.
///
/// # Errors
/// Where it has not ended within `timeout`; its group is killed then.
pub(super) fn finish(
    pidfd: BorrowedFd<'_>,
    pid: i32,
    output: &OwnedFd,
    timeout: Duration,
    what: &str,
) -> Result<Done, Error> {
    rustix::io::ioctl_fionbio(output, true).map_err(Error::system("make a pipe non-blocking"))?;
    let deadline_ns = now_ns() + timeout.as_nanos() as u64;
    let mut said = Vec::new();
    let mut open = true;
    loop {
        let left_ns = deadline_ns.saturating_sub(now_ns());
        if left_ns == 0 {
            end_group(pid);
            // Killed, so that this does not wait long.
            let _ = waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED);
            return Err(Error::Invalid(format!("{what} did not end within {timeout:?} and was killed")));
        }
        let left =
            Timespec { tv_sec: (left_ns / 1_000_000_000) as i64, tv_nsec: (left_ns % 1_000_000_000) as i64 };
        let mut fds = vec![PollFd::new(&pidfd, PollFlags::IN)];
        if open {
            fds.push(PollFd::new(output, PollFlags::IN));
        }
        match poll(&mut fds, Some(&left)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Error::system("wait for a command")(error)),
        }
        // Asked before the output is read: what it said before its end is there then.
        let ended = waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        open = open && drain(output, &mut said);
        match ended {
            Ok(Some(status)) => {
                let exit = match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => Exit::Code(code),
                    (None, signal) => Exit::Signal(signal.unwrap_or(0)),
                };
                return Ok(Done { exit, said: String::from_utf8_lossy(&said).into_owned() });
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Error::system(format!("wait for {what}"))(error)),
        }
    }
}

/// Kills every process of the group `pid` leads; the group may be gone.
pub(super) fn end_group(pid: i32) {
    if let Some(group) = Pid::from_raw(pid).filter(|_| pid > 1) {
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
}

/// Reads what is there; whether there may be more.
fn drain(output: &OwnedFd, said: &mut Vec<u8>) -> bool {
    let mut bytes = [0; 4096];
    loop {
        match rustix::io::read(output, &mut bytes) {
            Ok(0) => return false,
            Ok(read) => {
                let room = SAID_BYTES.saturating_sub(said.len());
                said.extend_from_slice(&bytes[..read.min(room)]);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return error == rustix::io::Errno::AGAIN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_says_is_kept_and_its_end_told() {
        let done =
            run(Path::new("/bin/sh"), &["-c", "echo out; echo err >&2; exit 3"], Duration::from_secs(20));
        let done = done.expect("ran");
        assert_eq!(done.exit, Exit::Code(3));
        assert!(done.said.contains("out") && done.said.contains("err"), "{}", done.said);
        let error = done.succeeded("sh").expect_err("status 3").to_string();
        assert!(error.contains("exit status 3") && error.contains("err"), "{error}");
    }

    #[test]
    fn a_command_that_hangs_is_killed_with_its_children() {
        let script = "sleep 1000 & echo $!; wait";
        let began = std::time::Instant::now();
        let error =
            run(Path::new("/bin/sh"), &["-c", script], Duration::from_millis(300)).expect_err("hangs");
        assert!(error.to_string().contains("did not end within"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_child_that_keeps_the_output_open_does_not_keep_us() {
        let script = "sleep 30 & echo early";
        let began = std::time::Instant::now();
        let done = run(Path::new("/bin/sh"), &["-c", script], Duration::from_secs(20)).expect("ran");
        assert!(done.said.contains("early") && began.elapsed() < Duration::from_secs(15));
    }
}
