//! Control groups: one per instance, below one per run, on v1, v2 or both.
//!
//! A [`Cgroup`] is a folder in every hierarchy it needs: one in which its processes are found again
//! ([`Hierarchies::tracking`]), and those of the controllers its [`Limits`] ask for.
//!
//! Sources: the kernel's Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/*.rst.

mod controller;
mod cpu;
mod cpuset;
mod delegation;
mod devices;
mod entrance;
mod file;
mod freezer;
mod hierarchy;
mod hugetlb;
mod io;
mod limits;
mod members;
mod memory;
mod of_process;
mod pids;
mod statistics;
#[cfg(test)]
mod tests;
mod tree;
mod weight;

use std::path::{Path, PathBuf};

pub use delegation::{Delegation, NotDelegated};
pub use devices::{DeviceAccess, DeviceKind, DeviceRule};
pub use entrance::{CLONE_INTO_CGROUP, Entrance};
pub use hierarchy::{Hierarchies, Mode, Place, Version};
pub use limits::{HugetlbLimit, IoLimit, Limits, UNLIMITED};
pub use statistics::{
    CpuStatistics, HugetlbStatistics, IoStatistics, MemoryStatistics, PidsStatistics, Statistics,
};
pub use weight::{CpuWeight, IoWeight};

pub(crate) use members::end_folder;

use crate::Error;
use controller::Controller;

/// Folder of all runs below each hierarchy's root.
pub(crate) const TOP: &str = "bench";

/// The group of one instance. Dropping one that was created kills what is inside and removes it.
#[derive(Debug)]
pub struct Cgroup {
    /// The first is the one in which processes are tracked.
    folders: Vec<Folder>,
    owned: bool,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    version: Version,
    controllers: Vec<&'static dyn Controller>,
}

impl Cgroup {
    /// Makes `bench/<run>/<name>` with `limits`.
    ///
    /// # Errors
    /// As [`Cgroup::create_at`].
    pub fn create(
        hierarchies: &Hierarchies,
        run: &str,
        name: &str,
        limits: &Limits,
    ) -> Result<Cgroup, Error> {
        Cgroup::create_at(hierarchies, &Path::new(TOP).join(run).join(name), limits)
    }

    /// Makes the group `path`, relative to the root of each hierarchy that is needed.
    ///
    /// # Errors
    /// Where a folder exists or cannot be made, a limit is refused, or its controller is missing;
    /// nothing is left of the group then.
    pub fn create_at(hierarchies: &Hierarchies, path: &Path, limits: &Limits) -> Result<Cgroup, Error> {
        tree::check(path)?;
        let mut cgroup = Cgroup { folders: Vec::new(), owned: true };
        let tracking = hierarchies.tracking().ok_or_else(|| Error::Missing {
            what: "no cgroup hierarchy is mounted".into(),
            fix: Some("mount -t cgroup2 none /sys/fs/cgroup".into()),
        })?;
        cgroup.folders.push(Folder::at(&tracking, path));
        for controller in controller::ALL.into_iter().filter(|controller| controller.wanted(limits)) {
            let place = hierarchies.place(controller).ok_or_else(|| missing(controller))?;
            cgroup.folder(&place, path).controllers.push(controller);
        }
        // The time used is counted by v2 wherever it is; without it by a controller of its own.
        if tracking.version == Version::V1
            && limits.cpus.is_some()
            && let Some(place) = hierarchies.v1_place("cpuacct")
        {
            cgroup.folder(&place, path);
        }
        let unified = tree::unified(hierarchies, limits)?;
        let folders = std::mem::take(&mut cgroup.folders);
        for folder in folders {
            tree::make(hierarchies, &folder, path, &unified)?;
            cgroup.folders.push(folder);
        }
        cgroup.limit(limits)?;
        Ok(cgroup)
    }

    /// The group `path` that exists already; it is left alone when this value is dropped.
    ///
    /// # Errors
    /// Where there is none.
    pub fn open(hierarchies: &Hierarchies, path: &Path) -> Result<Cgroup, Error> {
        tree::check(path)?;
        let mut cgroup = Cgroup { folders: Vec::new(), owned: false };
        let tracking = hierarchies.tracking().filter(|place| place.root.join(path).is_dir());
        let tracking = tracking
            .ok_or_else(|| Error::Invalid(format!("there is no cgroup {} on this host", path.display())))?;
        cgroup.folders.push(Folder::at(&tracking, path));
        for place in hierarchies.places().iter().filter(|place| place.root.join(path).is_dir()) {
            cgroup.folder(place, path);
        }
        for controller in controller::ALL {
            if let Some(place) = hierarchies.place(controller)
                && let Some(folder) = cgroup.folders.iter_mut().find(|one| one.path == place.root.join(path))
            {
                folder.controllers.push(controller);
            }
        }
        Ok(cgroup)
    }

    /// Makes the group `path`, which this is, in the remaining hierarchies too: who looks from inside
    /// or by the process finds it in each of them then, as engines expect.
    ///
    /// # Errors
    /// Where a folder cannot be made.
    pub fn spread(&mut self, hierarchies: &Hierarchies, path: &Path) -> Result<(), Error> {
        for place in hierarchies.places() {
            let full = place.root.join(path);
            if self.folders.iter().all(|folder| folder.path != full) {
                let folder = Folder::at(&place, path);
                tree::make(hierarchies, &folder, path, &[])?;
                self.folders.push(folder);
            }
        }
        Ok(())
    }

    /// Leaves the group and its processes behind when this value is dropped.
    pub fn keep(&mut self) {
        self.owned = false;
    }

    fn folder(&mut self, place: &Place, path: &Path) -> &mut Folder {
        let full = place.root.join(path);
        let at = self.folders.iter().position(|folder| folder.path == full).unwrap_or_else(|| {
            self.folders.push(Folder::at(place, path));
            self.folders.len() - 1
        });
        &mut self.folders[at]
    }

    /// Sets limits of a group that lives; what `limits` do not name stays as it is.
    ///
    /// # Errors
    /// Where a limit is refused, or needs a controller the group was made without.
    pub fn limit(&self, limits: &Limits) -> Result<(), Error> {
        for controller in controller::ALL.into_iter().filter(|controller| controller.wanted(limits)) {
            let serves =
                |folder: &&Folder| folder.controllers.iter().any(|one| one.v1_name() == controller.v1_name());
            let folder = self.folders.iter().find(serves).ok_or_else(|| missing(controller))?;
            controller.apply(&folder.path, folder.version, limits)?;
        }
        for (name, value) in &limits.unified {
            let folder = self.folders.iter().find(|folder| folder.version == Version::V2);
            let folder = folder.ok_or_else(|| Error::Invalid(format!("{name} needs cgroup v2")))?;
            file::write(&folder.path.join(name), value)?;
        }
        Ok(())
    }

    /// Opens the way in for a child that is about to be made with clone3(2): see [`Entrance`].
    ///
    /// # Errors
    /// Where the group is gone or this process has no descriptors left.
    pub fn entrance(&self) -> Result<Entrance, Error> {
        Entrance::open(&self.folders, true)
    }

    /// The same for a child that is not made with CLONE_INTO_CGROUP and has to move on v2 too.
    ///
    /// # Errors
    /// As [`Cgroup::entrance`].
    pub fn entrance_by_moving(&self) -> Result<Entrance, Error> {
        Entrance::open(&self.folders, false)
    }

    /// Moves a process in that exists already. Slow: see [`Entrance`].
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn add(&self, pid: i32) -> Result<(), Error> {
        let pid = pid.to_string();
        self.folders.iter().try_for_each(|folder| file::write(&folder.path.join("cgroup.procs"), &pid))
    }

    /// The folder in which its processes are tracked.
    pub fn path(&self) -> Option<&Path> {
        self.folders.first().map(|folder| folder.path.as_path())
    }

    /// Processes inside, those of groups below included.
    ///
    /// # Errors
    /// Where the kernel's files cannot be read.
    pub fn processes(&self) -> Result<Vec<i32>, Error> {
        self.path().map_or(Ok(Vec::new()), members::list)
    }

    /// Stops every process inside and below; returns when all stand still.
    ///
    /// # Errors
    /// Where they do not within ten seconds, or the host has neither v2 nor the freezer of v1.
    pub fn freeze(&self) -> Result<(), Error> {
        let folder = self.freezable()?;
        freezer::freeze(&folder.path, folder.version)
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// As [`Cgroup::freeze`].
    pub fn thaw(&self) -> Result<(), Error> {
        let folder = self.freezable()?;
        freezer::thaw(&folder.path, folder.version)
    }

    fn freezable(&self) -> Result<&Folder, Error> {
        let can =
            |folder: &&Folder| folder.version == Version::V2 || folder.path.join(freezer::V1_STATE).exists();
        self.folders.first().filter(can).ok_or_else(|| Error::Missing {
            what: "this host has neither cgroup v2 nor the freezer of v1, so a group cannot be frozen".into(),
            fix: None,
        })
    }

    /// Sends SIGKILL to every process inside and below, however fast they multiply. They may take
    /// a moment to go: [`Cgroup::end`] waits.
    ///
    /// # Errors
    /// Where the kernel's files refuse.
    pub fn kill(&self) -> Result<(), Error> {
        self.path().map_or(Ok(()), members::kill)
    }

    /// What the memory controller charges, kernel memory included; `None` where it is not used.
    pub fn memory_bytes(&self) -> Option<u64> {
        let has = |folder: &&Folder| folder.controllers.iter().any(|one| one.v1_name() == "memory");
        let folder = self.folders.iter().find(has)?;
        memory::usage_bytes(&folder.path, folder.version)
    }

    /// What has been counted so far by the controllers the group has.
    ///
    /// # Errors
    /// Where the kernel's files cannot be read.
    pub fn statistics(&self) -> Result<Statistics, Error> {
        let mut statistics = Statistics::default();
        // Every v2 group counts time, with the cpu controller or without.
        if let Some(folder) = self.folders.first().filter(|folder| folder.version == Version::V2) {
            cpu::Cpu.read(&folder.path, folder.version, &mut statistics)?;
        }
        for folder in &self.folders {
            for controller in &folder.controllers {
                controller.read(&folder.path, folder.version, &mut statistics)?;
            }
            if let Some(counted) = statistics.cpu.as_mut().filter(|_| folder.version == Version::V1) {
                cpu::read_account(&folder.path, counted)?;
            }
        }
        Ok(statistics)
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
        if self.owned {
            // Nobody is left to hear of a failure; `bench clean` finds what remains.
            let _ = self.end();
        }
    }
}

impl Folder {
    fn at(place: &Place, path: &Path) -> Folder {
        Folder { path: place.root.join(path), version: place.version, controllers: Vec::new() }
    }
}

fn missing(controller: &dyn Controller) -> Error {
    Error::Missing {
        what: format!("there is no cgroup controller {:?} for this limit", controller.v1_name()),
        fix: Some("ask for no such limit, or enable the controller in the kernel".into()),
    }
}
