//! An instance's cgroup and its processes, as the host sees them.

use std::fs;

use runtime::cgroup::{Cgroup, Hierarchies, Statistics};

use super::check::{Absent, Missing, OnHost, Scene};
use super::nonce::Nonce;

/// The group of instance B, `None` where it has none of its own.
///
/// # Errors
/// Where it cannot be looked for.
pub fn of_looker(scene: &Scene<'_>) -> Result<Option<Cgroup>, Missing> {
    let root = scene.looker.ok_or_else(|| Missing("instance B has no process to be looked at".into()))?;
    let hierarchies = Hierarchies::of_host().map_err(|error| Missing(error.to_string()))?;
    // A foreign runtime that stays is outside; what it has started is in the group.
    for pid in family(root) {
        match Cgroup::of_process(&hierarchies, pid) {
            Ok(Some(group)) => return Ok(Some(group)),
            Ok(None) => {}
            Err(error) if pid == root => return Err(Missing(error.to_string())),
            // One that has ended meanwhile.
            Err(_) => {}
        }
    }
    Ok(None)
}

/// A process and all that descend from it, itself first.
pub fn family(root: i32) -> Vec<i32> {
    let mut pids = vec![root];
    let mut at = 0;
    while let Some(pid) = pids.get(at).copied() {
        pids.extend(children(pid));
        at += 1;
    }
    pids
}

/// Of all threads of a process (proc_tid_children(5)).
fn children(pid: i32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// What a group has counted.
///
/// # Errors
/// Where it cannot be read.
pub fn counted(group: &Cgroup) -> Result<Statistics, Missing> {
    group.statistics().map_err(|error| Missing(error.to_string()))
}

/// Processes of this host called `name`, wherever they are.
pub fn called(name: &str) -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_string_lossy().parse::<i32>().ok());
    pids.filter(|pid| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == name)
    })
    .filter(|pid| times(*pid).is_some())
    .collect()
}

/// Processor time of a process and of the children it has waited for, in ms (proc_pid_stat(5), fields
/// 14 to 17); `None` where it is gone, or a zombie.
pub fn times(pid: i32) -> Option<Times> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    if fields.first() == Some(&"Z") {
        return None;
    }
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    // Ticks of 10 ms on x86 (times(2), USER_HZ).
    Some(Times { own_ms: 10 * (ticks(11)? + ticks(12)?), children_ms: 10 * (ticks(13)? + ticks(14)?) })
}

/// See [`times`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Of the process itself, all its threads.
    pub own_ms: u64,
    /// Of its children that have ended.
    pub children_ms: u64,
}

/// A group of the host's, with the nonce for a name, in each hierarchy.
pub struct CanaryGroup {
    name: String,
    folders: Vec<std::path::PathBuf>,
}

impl CanaryGroup {
    /// # Errors
    /// Where none can be made.
    pub fn plant(nonce: &Nonce) -> Result<Box<dyn OnHost>, Absent> {
        let name = format!("bench/{}", nonce.word());
        let hierarchies = Hierarchies::of_host().map_err(|error| Absent(error.to_string()))?;
        let made: Vec<_> = hierarchies.roots().into_iter().map(|root| root.join(&name)).collect();
        let folders: Vec<_> = made.into_iter().filter(|one| fs::create_dir_all(one).is_ok()).collect();
        match folders.is_empty() {
            true => Err(Absent("no cgroup can be made on this host".into())),
            false => Ok(Box::new(CanaryGroup { name, folders })),
        }
    }

    /// The same, where there is a hierarchy of v1.
    ///
    /// # Errors
    /// Where there is none, or as [`CanaryGroup::plant`].
    pub fn plant_in_v1(nonce: &Nonce) -> Result<Box<dyn OnHost>, Absent> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        match mounts.contains(" - cgroup ") {
            true => CanaryGroup::plant(nonce),
            false => Err(Absent("no hierarchy of cgroup v1 is mounted on this host".into())),
        }
    }
}

impl OnHost for CanaryGroup {
    fn witness(&self) -> Result<String, String> {
        match self.folders.iter().find(|folder| !folder.is_dir()) {
            None => Ok(format!("the host has the group {} in {} hierarchies", self.name, self.folders.len())),
            Some(gone) => Err(format!("{} is gone", gone.display())),
        }
    }

    fn text(&self) -> String {
        self.name.clone()
    }
}

impl Drop for CanaryGroup {
    fn drop(&mut self) {
        for folder in &self.folders {
            // The folder of all runs stays, as it does behind every run.
            let _ = fs::remove_dir(folder);
        }
    }
}
