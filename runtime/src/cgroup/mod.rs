//! Control groups: one per instance, below one per run, on v1, v2 or both.
//!
//! Sources: the kernel's Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/*.rst.

mod hierarchy;
mod limit;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

pub use hierarchy::{Hierarchies, Mode};

use crate::{Error, Limits};

/// Folder of all runs below each hierarchy's root.
pub(crate) const TOP: &str = "bench";
/// How long killed processes may take to leave.
const EMPTY_TIMEOUT: Duration = Duration::from_secs(10);

/// The cgroup of one instance: one folder on v2, one per needed controller on v1.
#[derive(Debug)]
pub struct Cgroup {
    folders: Vec<Folder>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    is_v2: bool,
    has_memory: bool,
}

impl Cgroup {
    /// Makes `bench/<run>/<name>` with `limits` in the hierarchies that are needed: one to find the
    /// processes again (v2, or pids on v1) and those of the limits.
    ///
    /// # Errors
    /// Where a folder cannot be made or a limit is refused, or its controller is missing; nothing is left then.
    pub fn create(
        hierarchies: &Hierarchies,
        run: &str,
        name: &str,
        limits: &Limits,
    ) -> Result<Cgroup, Error> {
        let mut cgroup = Cgroup { folders: Vec::new() };
        for need in limit::needs(limits) {
            let place = hierarchies.place(need.controller()).ok_or_else(|| Error::Missing {
                what: format!("this host has no cgroup controller {:?}", need.controller()),
                fix: Some("ask for no such limit, or enable the controller in the kernel".into()),
            })?;
            let parent = place.root.join(TOP).join(run);
            let path = parent.join(name);
            if !cgroup.folders.iter().any(|folder| folder.path == path) {
                make(&place.root, &parent, place.is_v2)?;
                create_dir(&path)?;
                cgroup.folders.push(Folder { path: path.clone(), is_v2: place.is_v2, has_memory: false });
            }
            if let Some(folder) = cgroup.folders.iter_mut().find(|folder| folder.path == path) {
                folder.has_memory |= place.is_v2 || need.controller() == "memory";
            }
            need.apply(&path, place.is_v2)?;
        }
        Ok(cgroup)
    }

    /// Moves a process in.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn add(&self, pid: i32) -> Result<(), Error> {
        self.folders.iter().try_for_each(|folder| write(&folder.path.join("cgroup.procs"), &pid.to_string()))
    }

    /// What the memory controller charges, kernel memory included; `None` where it is not used.
    pub fn memory_bytes(&self) -> Option<u64> {
        let folder = self.folders.iter().find(|folder| folder.has_memory)?;
        let file = if folder.is_v2 { "memory.current" } else { "memory.usage_in_bytes" };
        fs::read_to_string(folder.path.join(file)).ok()?.trim().parse().ok()
    }

    /// Kills every process inside and removes the folders.
    ///
    /// # Errors
    /// Where a folder cannot be removed.
    pub fn end(&mut self) -> Result<(), Error> {
        for folder in &self.folders {
            end_folder(&folder.path)?;
        }
        self.folders.clear();
        Ok(())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Nobody is left to hear of a failure; `bench clean` finds what remains.
        let _ = self.end();
    }
}

/// Makes the run's folder, on v2 with the controllers enabled on the way down.
fn make(root: &Path, parent: &Path, is_v2: bool) -> Result<(), Error> {
    // One launcher at a time: another must not find the folder before its controllers are enabled.
    static MAKING: Mutex<()> = Mutex::new(());
    let _turn = MAKING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if parent.is_dir() {
        return Ok(());
    }
    let top = root.join(TOP);
    create_dir_all(&top)?;
    if is_v2 {
        limit::enable_controllers(root)?;
        limit::enable_controllers(&top)?;
    }
    create_dir_all(parent)?;
    if is_v2 { limit::enable_controllers(parent) } else { Ok(()) }
}

fn create_dir(path: &Path) -> Result<(), Error> {
    fs::create_dir(path).map_err(Error::system(format!("make the cgroup {}", path.display())))
}

fn create_dir_all(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(Error::system(format!("make the cgroup {}", path.display())))
}

fn write(path: &Path, value: &str) -> Result<(), Error> {
    fs::write(path, value).map_err(Error::system(format!("write {value:?} to {}", path.display())))
}

/// Kills what is in one cgroup folder and below and removes the folders. A folder that is gone is fine.
///
/// # Errors
/// Where processes do not end within the time-out or a folder stays busy.
pub(crate) fn end_folder(path: &Path) -> Result<(), Error> {
    let Ok(entries) = fs::read_dir(path) else { return Ok(()) };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        end_folder(&entry.path())?;
    }
    let deadline = Instant::now() + EMPTY_TIMEOUT;
    loop {
        let error = match fs::remove_dir(path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => error,
        };
        if error.raw_os_error() != Some(libc::EBUSY) || Instant::now() > deadline {
            return Err(Error::System {
                action: format!("remove the cgroup {}", path.display()),
                source: error,
            });
        }
        kill_members(path);
        // Outside every measured region: a killed process leaves its cgroup when the kernel has torn it down.
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn kill_members(path: &Path) {
    if fs::write(path.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    let members = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    for pid in members.lines().filter_map(|line| line.parse().ok()).filter_map(rustix::process::Pid::from_raw)
    {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_limited_and_leaves_nothing() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: making cgroups needs root");
            return;
        }
        let hierarchies = Hierarchies::of_host().expect("readable");
        let limits = Limits { memory_bytes: Some(64 << 20), cpus: Some(0.5), pids: Some(10) };
        let run = format!("test-{}", std::process::id());
        let mut cgroup = Cgroup::create(&hierarchies, &run, "a", &limits).expect("made");
        let mut child = std::process::Command::new("/bin/sleep").arg("100").spawn().expect("sleep");
        cgroup.add(child.id() as i32).expect("moved");
        assert!(cgroup.memory_bytes().is_some());
        let paths: Vec<_> = cgroup.folders.iter().map(|folder| folder.path.clone()).collect();
        cgroup.end().expect("ended");
        assert!(!child.wait().expect("ended").success());
        assert!(paths.iter().all(|path| !path.exists()));
        for path in paths {
            end_folder(path.parent().expect("run folder")).expect("removed");
        }
    }
}
