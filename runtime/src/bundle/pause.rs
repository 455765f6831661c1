//! `pause`, `resume` and `ps`: a container by its cgroup.

use super::start::read;
use super::state::{Root, Status};
use crate::Error;
use crate::cgroup::{Cgroup, Hierarchies};

/// Stops all processes of a container where they are.
///
/// # Errors
/// Where it is neither created nor running, or the host has no freezer.
pub fn pause(root: &Root, id: &str) -> Result<(), Error> {
    group(root, id)?.freeze()
}

/// Lets them go on.
///
/// # Errors
/// As [`pause`].
pub fn resume(root: &Root, id: &str) -> Result<(), Error> {
    group(root, id)?.thaw()
}

/// Process ids in it, as on the host.
///
/// # Errors
/// As [`pause`].
pub fn processes(root: &Root, id: &str) -> Result<Vec<i32>, Error> {
    group(root, id)?.processes()
}

fn group(root: &Root, id: &str) -> Result<Cgroup, Error> {
    let folder = root.find(id)?;
    let record = read(&folder, id)?;
    let status = folder.status(&record);
    if !matches!(status, Status::Created | Status::Running) {
        return Err(Error::Invalid(format!("container {id:?} is {status}, not running")));
    }
    let path = record.cgroup.ok_or_else(|| Error::Invalid(format!("container {id:?} has no cgroup")))?;
    Cgroup::open(&Hierarchies::of_host()?, &path)
}
