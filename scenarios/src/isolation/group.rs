//! An instance's cgroup and its processes, as the host sees them.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runtime::cgroup::{Cgroup, Hierarchies, Statistics};

use super::check::{Absent, Missing, OnHost, Scene};
use super::kind::Kind;
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

/// Memory of all processes of a group, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resident {
    /// That no other process has.
    pub private_bytes: u64,
    /// With what they share.
    pub all_bytes: u64,
}

/// As the kernel sums it up for each (proc_pid_smaps_rollup(5)); one that has ended meanwhile has none.
///
/// # Errors
/// Where the group's processes cannot be listed.
pub fn resident(group: &Cgroup) -> Result<Resident, Missing> {
    let pids = group.processes().map_err(|error| Missing(error.to_string()))?;
    let rollups = pids.iter().filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok());
    Ok(rollups.map(|text| resident_in(&text)).fold(Resident::default(), |sum, one| Resident {
        private_bytes: sum.private_bytes + one.private_bytes,
        all_bytes: sum.all_bytes + one.all_bytes,
    }))
}

fn resident_in(rollup: &str) -> Resident {
    let bytes = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) << 10
    };
    Resident { private_bytes: bytes("Private_Clean:") + bytes("Private_Dirty:"), all_bytes: bytes("Rss:") }
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

/// Ends the processes called `name` where a bare process has left them behind: nobody else does.
pub fn end_called(kind: Kind, name: &str) {
    if kind == Kind::Process {
        for pid in called(name) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
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

/// Processor time of those who compute inside, called `name` and seen by the host; of the machine they are
/// in, or of all a kernel of its own is made of (gVisor), where it does not see them. With that of their
/// children that have ended.
///
/// # Errors
/// Where the host finds none of them.
pub fn used_ms(kind: Kind, root: Option<i32>, name: &str) -> Result<u64, Missing> {
    let found = match kind {
        Kind::Machine => root.into_iter().collect(),
        Kind::Sandbox => root.map(family).unwrap_or_default(),
        _ => called(name),
    };
    let times: Vec<Times> = found.iter().filter_map(|pid| times(*pid)).collect();
    match times.is_empty() {
        true => Err(Missing("the host does not find those who compute".into())),
        false => Ok(times.iter().map(|times| times.own_ms + times.children_ms).sum()),
    }
}

/// What processes called `name` have written to storage (proc_pid_io(5), write_bytes).
///
/// # Errors
/// Where the host finds none of them, or may not look.
pub fn written_bytes(name: &str) -> Result<u64, Missing> {
    let bytes = |pid: &i32| {
        let path = format!("/proc/{pid}/io");
        let text = fs::read_to_string(&path).map_err(|error| Missing(format!("{path}: {error}")))?;
        let field = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
        field
            .and_then(|bytes| bytes.parse::<u64>().ok())
            .ok_or_else(|| Missing(format!("{path} has no write_bytes")))
    };
    match called(name).as_slice() {
        [] => Err(Missing("the host does not find those who write".into())),
        pids => pids.iter().map(bytes).sum::<Result<u64, Missing>>(),
    }
}

/// Processor time of all threads of the host's kernel, in ms: children of process 2 (kthreadd), which has no
/// other. What they do on somebody's behalf nobody is charged with (cgroup-v2.rst has no way to).
pub fn kernel_threads_ms() -> u64 {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_string_lossy().parse::<i32>().ok());
    pids.filter_map(|pid| {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let is_kernels = text.rsplit_once(") ")?.1.split(' ').nth(1) == Some("2");
        is_kernels.then(|| times(pid))?
    })
    .map(|times| times.own_ms)
    .sum()
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
        let name = nonce.group();
        let hierarchies = Hierarchies::of_host().map_err(|error| Absent(error.to_string()))?;
        // Below the run's own group, which this may be the first to make: in v1's cpuset one without processors
        // would be left to all its instances (cpuset(7)).
        let wants_processors = |root: &&std::path::Path| {
            root.join("cpuset.cpus").exists() && !root.join("cgroup.controllers").exists()
        };
        let roots = hierarchies.roots().into_iter().filter(|root| !wants_processors(root));
        let made: Vec<_> = roots.map(|root| root.join(&name)).collect();
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
            // The run's own group is ended with the run.
            let _ = fs::remove_dir(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_kernels_sums() {
        let rollup = "55d0-7ff rollup\nRss: 904 kB\nPss: 150 kB\nPrivate_Clean: 8 kB\nPrivate_Dirty: 92 kB\n";
        assert_eq!(resident_in(rollup), Resident { private_bytes: 100 << 10, all_bytes: 904 << 10 });
        assert_eq!(resident_in(""), Resident::default());
    }
}
