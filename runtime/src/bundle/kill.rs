//! `kill`: a signal to init, or to all processes of a container.

use std::os::fd::{AsRawFd, OwnedFd};

use super::start::read;
use super::state::{Record, Root, Status};
use crate::Error;
use crate::cgroup::{Cgroup, Hierarchies};

/// Sends signal number `signal` to init; with `all`, to every process in the container's cgroup.
///
/// # Errors
/// Where there is no such container, it is neither created nor running, or the kernel refuses. With
/// `all` a container that has stopped is no error: what is left of it gets the signal.
pub fn kill(root: &Root, id: &str, signal: i32, all: bool) -> Result<(), Error> {
    let folder = root.find(id)?;
    let record = read(&folder, id)?;
    if all {
        return kill_all(&record, signal);
    }
    let init = match folder.status(&record) {
        Status::Created | Status::Running => record.init.and_then(|init| init.alive()),
        Status::Creating | Status::Stopped => None,
    };
    // The words are those that engines look for.
    let not_running = || {
        Error::Invalid(format!(
            "cannot send signal {signal} to {id:?}: container not running ({})",
            folder.status(&record)
        ))
    };
    send(&init.ok_or_else(not_running)?, signal).map_err(|error| match error.raw_os_error() {
        Some(libc::ESRCH) => not_running(),
        _ => Error::system(format!("send signal {signal} to container {id:?}"))(error),
    })
}

/// To everything in the cgroup, init last so that it can reap.
fn kill_all(record: &Record, signal: i32) -> Result<(), Error> {
    if let Some(path) = &record.cgroup
        && let Ok(cgroup) = Cgroup::open(&Hierarchies::of_host()?, path)
    {
        if signal == libc::SIGKILL {
            return cgroup.kill();
        }
        let init = record.init.map_or(0, |init| init.pid);
        for pid in cgroup.processes()?.into_iter().filter(|pid| *pid != init) {
            // By a descriptor, and again a member then: the number may have gone to another meanwhile.
            let Some(pidfd) = pidfd(pid) else { continue };
            if cgroup.processes()?.contains(&pid) {
                // One that has ended meanwhile needs no signal.
                let _ = send(&pidfd, signal);
            }
        }
    }
    if let Some(init) = record.init.and_then(|init| init.alive()) {
        let _ = send(&init, signal);
    }
    Ok(())
}

fn pidfd(pid: i32) -> Option<OwnedFd> {
    let pid = rustix::process::Pid::from_raw(pid)?;
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()
}

/// By number, since real-time signals have no names.
pub(super) fn send(pidfd: &OwnedFd, signal: i32) -> std::io::Result<()> {
    // SAFETY: no memory is involved.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, 0, 0) };
    if sent == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
