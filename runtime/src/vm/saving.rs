//! Saving a machine: QEMU's migration into a file.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use qapi::qmp;
use rustix::fs::{Mode, OFlags};

use super::file;
use super::monitor::Monitor;
use crate::clock::now_ns;
use crate::{Error, Saved};

/// How long QEMU may take to write its state.
const SAVE_TIMEOUT: Duration = Duration::from_secs(30);

/// Saves a machine with its memory.
///
/// # Errors
/// What QEMU or the system says.
pub(super) fn whole(monitor: &mut Monitor) -> Result<Saved, Error> {
    let failed = "make a memory file for a machine's state";
    let state = file::memory("saved-machine").map_err(Error::system(failed))?;
    save(monitor, state.as_fd())?;
    let bytes = state.metadata().map_err(Error::system("look at a machine's state"))?.len();
    Ok(Saved { state: file::seal(state).map_err(Error::system("seal a machine's state"))?, bytes })
}

/// The state with a position of its own: QEMU reads on from where the last one stopped.
pub(super) fn reopen(state: BorrowedFd<'_>) -> Result<OwnedFd, Error> {
    rustix::fs::open(file::path_of(state), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(Error::system("open a machine's state"))
}

/// Writes all of a machine that its monitor's capabilities do not leave out to `state`.
///
/// # Errors
/// What QEMU says.
pub(super) fn save(monitor: &mut Monitor, state: BorrowedFd<'_>) -> Result<(), Error> {
    // Not stopped before: QEMU stops the machine itself before it writes the devices' state, and
    // notes that it ran, so that copies run as soon as they are loaded and nobody has to tell them.
    monitor.give("state", state)?;
    let migrate: qmp::migrate = serde_json::from_value(serde_json::json!({ "uri": "fd:state" }))
        .map_err(|error| Error::Invalid(error.to_string()))?;
    monitor.execute(migrate)?;
    let deadline_ns = now_ns() + SAVE_TIMEOUT.as_nanos() as u64;
    loop {
        let answer = monitor.execute(qmp::query_migrate {})?;
        match answer.get("status").and_then(|status| status.as_str()) {
            Some("completed") => return Ok(()),
            Some("failed" | "cancelled") => {
                let why =
                    answer.get("error-desc").and_then(|text| text.as_str()).unwrap_or("without a reason");
                return Err(Error::Invalid(format!("QEMU could not save the machine: {why}")));
            }
            _ if now_ns() > deadline_ns => {
                return Err(Error::Invalid(format!(
                    "QEMU has not saved the machine within {SAVE_TIMEOUT:?}"
                )));
            }
            _ => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}
