//! The processes of a group and of the groups below it: list, kill.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{Version, file, freezer, pids};
use crate::Error;

const PROCS: &str = "cgroup.procs";
/// A threaded group of v2 lists no processes, only threads.
const THREADS: &str = "cgroup.threads";
const V2_KILL: &str = "cgroup.kill";
/// In every group of v2 but its root, and in none of v1.
const V2_MARK: &str = "cgroup.events";

/// How long killed processes may take to leave.
const EMPTY_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks at a v1 group, which tells nobody that it is empty.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// Process ids in the group and below, in this process's PID namespace.
pub(super) fn list(group: &Path) -> Result<Vec<i32>, Error> {
    let mut found = Vec::new();
    for folder in tree(group) {
        let text = match file::read(&folder.join(PROCS)) {
            Err(Error::System { source, .. }) if source.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                file::read(&folder.join(THREADS))?
            }
            // A group that is just going away has no processes.
            Err(Error::System { source, .. }) if source.raw_os_error() == Some(libc::ENODEV) => None,
            other => other?,
        };
        // 0 stands for a process outside of this PID namespace.
        let ids = text.iter().flat_map(|text| text.lines()).filter_map(|line| line.parse().ok());
        found.extend(ids.filter(|pid: &i32| *pid > 0));
    }
    Ok(found)
}

/// The group and all below, the deepest last.
fn tree(group: &Path) -> Vec<PathBuf> {
    let mut folders = vec![group.to_owned()];
    let mut at = 0;
    while let Some(folder) = folders.get(at).cloned() {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders.extend(below.map(|entry| entry.path()));
        at += 1;
    }
    folders
}

/// Sends SIGKILL to every process of the group and below, however fast they multiply.
pub(super) fn kill(group: &Path) -> Result<(), Error> {
    // The kernel does it in one go since 5.14.
    if file::write_if_there(&group.join(V2_KILL), "1")? {
        return Ok(());
    }
    let version = version_of(group);
    let can_freeze = version == Version::V2 || group.join(freezer::V1_STATE).exists();
    // Frozen processes cannot fork, so one look sees all of them. Where they cannot be frozen, they
    // are at least kept from becoming more.
    if can_freeze {
        freezer::freeze(group, version)?;
    } else {
        file::write_if_there(&group.join(pids::MAX), "0")?;
    }
    let members = list(group);
    for pid in members.iter().flatten().filter_map(|pid| Pid::from_raw(*pid)) {
        // One that has ended meanwhile is no failure.
        let _ = kill_process(pid, Signal::KILL);
    }
    if can_freeze {
        // A frozen process of v1 dies when it is thawed.
        freezer::thaw(group, version)?;
    }
    members.map(drop)
}

/// Kills what is in one group folder and below and removes the folders. A folder that is gone is fine.
///
/// # Errors
/// Where processes do not end within the time-out or a folder stays busy.
pub(crate) fn end_folder(path: &Path) -> Result<(), Error> {
    let deadline = Instant::now() + EMPTY_TIMEOUT;
    loop {
        let error = match remove(path) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if error.raw_os_error() != Some(libc::EBUSY) || Instant::now() > deadline {
            let action = format!("remove the cgroup {}", path.display());
            return Err(Error::System { action, source: error });
        }
        kill(path)?;
        if version_of(path) == Version::V2 {
            freezer::wait_for(path, "populated", 0, EMPTY_TIMEOUT)?;
        } else {
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

/// Removes the folder, and those below only where there are some.
fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
            let below = tree(path);
            for folder in below.iter().skip(1).rev() {
                remove_one(folder)?;
            }
            remove_one(path)
        }
        other => other,
    }
}

fn remove_one(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn version_of(group: &Path) -> Version {
    if group.join(V2_MARK).exists() { Version::V2 } else { Version::V1 }
}
