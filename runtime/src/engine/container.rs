//! What containers of all engines have in common.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::cgroup::Hierarchies;
use crate::container::described;
use crate::{Error, Footprint, Limits};

/// Descriptors of a container's processes.
const OPEN_FILES: u64 = 1024;

/// A wait for a container's end that can be called off.
#[derive(Default)]
pub(super) struct Ending(Option<oneshot::Sender<()>>);

impl Ending {
    /// The wait's two sides.
    pub(super) fn new() -> (Ending, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        (Ending(Some(sender)), receiver)
    }

    /// Nobody wants to know any more.
    pub(super) fn call_off(&mut self) {
        self.0.take();
    }
}

/// The host's number of a container's first process.
#[derive(Default)]
pub(super) struct FirstProcess(OnceLock<i32>);

impl FirstProcess {
    /// What the engine says when it is asked first, which is when somebody wants to know: nothing of it is
    /// part of a start. `None` where it has ended by then.
    pub(super) fn get(&self, ask: impl FnOnce() -> Result<i32, Error>) -> Option<i32> {
        match self.0.get() {
            Some(pid) => Some(*pid),
            None => ask().ok().map(|pid| *self.0.get_or_init(|| pid)),
        }
    }
}

/// Refuses what the engines' interfaces have no field for here.
///
/// # Errors
/// A limit beyond memory, processors and processes.
pub(super) fn check_limits(limits: &Limits) -> Result<(), Error> {
    let Limits { memory_bytes, cpus, pids, .. } = limits.clone();
    if (Limits { memory_bytes, cpus, pids, ..Limits::default() }) == *limits {
        return Ok(());
    }
    Err(Error::Invalid(
        "engines are asked for limits of memory, processors and processes only: leave engine out".into(),
    ))
}

/// The guest program as a file of the host, to be shown inside.
///
/// # Errors
/// Where it cannot be written.
pub(super) fn put_program(folder: &Path) -> Result<PathBuf, Error> {
    let path = folder.join("guest");
    fs::write(&path, crate::guest_program_bytes())
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
        .map_err(Error::system(format!("write {}", path.display())))?;
    Ok(path)
}

/// The profile of our own containers as a file, which is how the Container Runtime Interface takes one.
///
/// # Errors
/// Where it cannot be written.
pub(super) fn put_profile(folder: &Path) -> Result<Option<PathBuf>, Error> {
    let Some(profile) = described() else { return Ok(None) };
    let path = folder.join("seccomp.json");
    fs::write(&path, profile.to_string()).map_err(Error::system(format!("write {}", path.display())))?;
    Ok(Some(path))
}

/// Options of Docker and Podman for the privileges of our own containers. Docker takes the profile itself,
/// Podman the name of a file with it, which is written to `folder`.
///
/// # Errors
/// Where it cannot be written.
pub(super) fn security(takes_file: bool, folder: &Path) -> Result<Vec<String>, Error> {
    let profile = match takes_file {
        true => put_profile(folder)?.map(|path| path.display().to_string()),
        false => described().map(|profile| profile.to_string()),
    };
    let profile = profile.map(|profile| format!("seccomp={profile}"));
    Ok(std::iter::once("no-new-privileges".to_owned()).chain(profile).collect())
}

/// Podman's own defaults are refused where the host allows less; the same for both engines.
pub(super) fn ulimits() -> Value {
    let mut limits = vec![json!({ "Name": "nofile", "Soft": OPEN_FILES, "Hard": OPEN_FILES })];
    let most = rustix::process::getrlimit(rustix::process::Resource::Nproc).maximum;
    // Podman lowers its own limit to as many as there can be.
    let numbers = std::fs::read_to_string("/proc/sys/kernel/pid_max").ok();
    let numbers = numbers.and_then(|text| text.trim().parse::<u64>().ok());
    if let Some(processes) = most.into_iter().chain(numbers).min() {
        limits.push(json!({ "Name": "nproc", "Soft": processes, "Hard": processes }));
    }
    limits.into()
}

/// Memory of a container by its first process, with the engine's process that stays with it: its parent.
///
/// # Errors
/// Where nothing of it can be read.
pub(super) fn memory(pid: i32) -> Result<Footprint, Error> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).map_err(Error::system(format!("read {path}")))?;
    // The name, in brackets, may have blanks.
    let parent = text.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<i32>().ok());
    let root = parent.filter(|parent| *parent > 1).unwrap_or(pid);
    crate::footprint::of_tree(root, &[pid])
}

/// That no hierarchy has a group of the container any more.
///
/// # Errors
/// Where one does.
pub(super) fn check_cgroups(id: &str) -> Result<(), Error> {
    let names = [
        format!("docker/{id}"),
        format!("k8s.io/{id}"),
        format!("system.slice/docker-{id}.scope"),
        format!("libpod_parent/libpod-{id}"),
        format!("machine.slice/libpod-{id}.scope"),
    ];
    let left: Vec<String> = Hierarchies::of_host()?
        .roots()
        .into_iter()
        .flat_map(|root| names.iter().map(|name| root.join(name)))
        .filter(|path| path.is_dir())
        .map(|path| path.display().to_string())
        .collect();
    if left.is_empty() {
        return Ok(());
    }
    Err(Error::Invalid(format!("the engine left cgroups behind: {}", left.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_what_the_engine_calls_them() {
        let limits = Limits { memory_bytes: Some(1), ..Limits::default() };
        check_limits(&limits).expect("can be said");
        let strange = Limits { cpu_burst_us: Some(1), ..Limits::default() };
        assert!(check_limits(&strange).is_err());
    }
}
