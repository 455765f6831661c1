//! `delete`: what `create` made is taken away (runtime.md, "Lifecycle", steps 12 and 13).

use super::hook::{self, Place};
use super::start::end_init;
use super::state::{Folder, Record, Root, Status};
use crate::Error;
use crate::cgroup::{Cgroup, Hierarchies};

/// Removes a container that has stopped; with `force` one in any status, which is killed first, and
/// one that does not exist is no error.
///
/// # Errors
/// Where there is no such container, it has not stopped, or something of it cannot be removed.
/// Warnings of `poststop` hooks, which change nothing, are returned otherwise.
pub fn delete(root: &Root, id: &str, force: bool) -> Result<Vec<String>, Error> {
    let folder = match root.find(id).and_then(Folder::locked) {
        // A name that cannot be one is an error all the same.
        Err(_) if force && root.list()?.iter().all(|name| name != id) => return Ok(Vec::new()),
        found => found?,
    };
    let Some(record) = folder.read()? else {
        // Ended before it had made anything else.
        folder.remove()?;
        return Ok(Vec::new());
    };
    let status = match folder.status(&record) {
        // Nobody is creating it: this command holds the lock.
        Status::Creating => Status::Stopped,
        status => status,
    };
    if status != Status::Stopped && !force {
        return Err(Error::Invalid(format!(
            "cannot delete container {id:?}: it is {status}, not stopped (see delete --force)"
        )));
    }
    remove(folder, &record)
}

/// Takes away what a failed `create` has made. Its own error is the one to tell.
pub(super) fn undo(folder: Folder, record: &Record) {
    let _ = remove(folder, record);
}

fn remove(folder: Folder, record: &Record) -> Result<Vec<String>, Error> {
    let hierarchies = Hierarchies::of_host()?;
    let mut cgroup = record.cgroup.as_ref().and_then(|path| Cgroup::open(&hierarchies, path).ok());
    if let Some(cgroup) = &cgroup {
        // The freezer of v1 holds back even SIGKILL.
        let _ = cgroup.thaw();
    }
    end_init(record);
    // Processes may be left in it where the container has no PID namespace of its own.
    if let Some(cgroup) = &mut cgroup {
        cgroup.end()?;
    }
    let mut warnings = Vec::new();
    for hook in
        record.config.hooks().as_ref().and_then(|hooks| hooks.poststop().as_ref()).into_iter().flatten()
    {
        let state = record.state(Status::Stopped);
        let one = vec![hook.clone()];
        // "Log a warning, but the remaining hooks and lifecycle continue" (runtime.md).
        let done = hook::run_all(Some(&one), "poststop", &state, Place::Runtime(&record.bundle));
        warnings.extend(done.err().map(|error| error.to_string()));
    }
    folder.remove()?;
    Ok(warnings)
}
