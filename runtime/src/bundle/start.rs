//! `start`: the program (runtime.md, "Lifecycle", steps 7 to 10).

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::exec;
use super::hook::{self, Place};
use super::state::{Folder, Record, Root, Status};
use crate::Error;

/// How long init may take from the word to the program: it has two or three system calls to make.
const EXEC_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a killed init may take to go.
pub(super) const END_TIMEOUT: Duration = Duration::from_secs(20);

/// Lets the init of a created container execute its program.
///
/// # Errors
/// Where there is no such container, it is not in the status `created`, or a hook fails; the
/// container has been stopped in the last case.
pub fn start(root: &Root, id: &str) -> Result<(), Error> {
    let folder = root.find(id)?.locked()?;
    let record = read(&folder, id)?;
    let gate = match folder.status(&record) {
        Status::Created => folder.open_gate()?,
        _ => None,
    };
    let gate = gate.ok_or_else(|| {
        let status = folder.status(&record);
        Error::Invalid(format!("cannot start container {id:?}: it is {status}, not created"))
    })?;
    start_container_hooks(&record).inspect_err(|_| end_init(&record))?;
    open(gate)?;
    let Some(hooks) = record.config.hooks() else { return Ok(()) };
    // Others may look at and end the container meanwhile.
    drop(folder);
    let state = record.state(Status::Running);
    let place = Place::Runtime(&record.bundle);
    hook::run_all(hooks.poststart().as_ref(), "poststart", &state, place).inspect_err(|_| end_init(&record))
}

/// The record of a container that has one.
pub(super) fn read(folder: &Folder, id: &str) -> Result<Record, Error> {
    let record = folder.read()?;
    record
        .ok_or_else(|| Error::Invalid(format!("container {id:?} was never created: its `create` was ended")))
}

/// In the container, as its program will be there.
fn start_container_hooks(record: &Record) -> Result<(), Error> {
    let hooks = record.config.hooks().as_ref().and_then(|hooks| hooks.start_container().as_ref());
    let mut state = record.state(Status::Created);
    if exec::has_own_pids(record) {
        state.pid = 1;
    }
    for (index, hook) in hooks.into_iter().flatten().enumerate() {
        exec::run_hook(record, hook, &format!("hooks.startContainer[{index}]"), &state)?;
    }
    Ok(())
}

/// Says the word, and waits until init has executed the program or ended: either way it has let go
/// of the pipe.
fn open(mut gate: File) -> Result<(), Error> {
    gate.write_all(b"g").map_err(Error::system("let the container's init begin"))?;
    let deadline_ns = crate::clock::now_ns() + EXEC_TIMEOUT.as_nanos() as u64;
    loop {
        let left_ns = deadline_ns.saturating_sub(crate::clock::now_ns());
        if left_ns == 0 {
            return Err(Error::Invalid(format!(
                "the container's init has not begun within {EXEC_TIMEOUT:?}"
            )));
        }
        let left =
            Timespec { tv_sec: (left_ns / 1_000_000_000) as i64, tv_nsec: (left_ns % 1_000_000_000) as i64 };
        let gate = gate.as_fd();
        let mut polled = [PollFd::new(&gate, PollFlags::ERR)];
        match poll(&mut polled, Some(&left)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(Error::system("wait for the container's program")(error)),
        }
    }
}

/// The kernel ends all processes of its own PID namespace with it.
pub(super) fn end_init(record: &Record) {
    if let Some(pidfd) = record.init.and_then(|init| init.alive()) {
        // It is still there for `delete`, whatever comes of this.
        let _ = crate::pidfd::end(pidfd.as_fd(), "a container's init", END_TIMEOUT);
    }
}
