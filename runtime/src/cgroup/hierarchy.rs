//! Which cgroup hierarchies there are, from mountinfo (proc_pid_mountinfo(5)).

use std::path::{Path, PathBuf};

use super::controller::Controller;
use crate::Error;

/// How the host arranges its controllers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One tree for all controllers.
    V2,
    /// One tree per controller.
    V1,
    /// Both kinds are mounted.
    Hybrid,
    /// None is mounted.
    None,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Mode::V2 => "v2",
            Mode::V1 => "v1",
            Mode::Hybrid => "hybrid",
            Mode::None => "none",
        })
    }
}

/// Which interface a group has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// cgroup-v1/*.rst.
    V1,
    /// cgroup-v2.rst.
    V2,
}

/// Where a controller is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Folder below which groups are made: the hierarchy's mount point, or what is delegated.
    pub root: PathBuf,
    /// Its interface.
    pub version: Version,
}

/// All hierarchies of a host.
#[derive(Clone, Debug, Default)]
pub struct Hierarchies {
    v1: Vec<(String, PathBuf)>,
    pub(super) v2: Option<PathBuf>,
    pub(super) v2_controllers: Vec<String>,
}

impl Hierarchies {
    /// Those mounted in this process's mount namespace.
    ///
    /// # Errors
    /// Where mountinfo cannot be read.
    pub fn of_host() -> Result<Hierarchies, Error> {
        Hierarchies::of(Path::new("/"))
    }

    /// Those of a host whose files are below `root`.
    ///
    /// # Errors
    /// Where its mountinfo cannot be read.
    pub fn of(root: &Path) -> Result<Hierarchies, Error> {
        let path = root.join("proc/self/mountinfo");
        let text =
            std::fs::read_to_string(&path).map_err(Error::system(format!("read {}", path.display())))?;
        let mut found = Hierarchies::parse(&text);
        let below = |mount: &Path| root.join(mount.strip_prefix("/").unwrap_or(mount));
        found.v1.iter_mut().for_each(|(_, mount)| *mount = below(mount));
        found.v2 = found.v2.as_deref().map(below);
        if let Some(v2) = &found.v2 {
            found.v2_controllers = controllers(v2);
        }
        Ok(found)
    }

    fn parse(mountinfo: &str) -> Hierarchies {
        let mut found = Hierarchies::default();
        for line in mountinfo.lines() {
            let Some((left, right)) = line.split_once(" - ") else { continue };
            let Some(mount_point) = left.split(' ').nth(4) else { continue };
            let mut right = right.split(' ');
            match (right.next(), right.nth(1)) {
                (Some("cgroup2"), _) if found.v2.is_none() => found.v2 = Some(mount_point.into()),
                (Some("cgroup"), Some(options)) => {
                    let names = options.split(',').map(|name| (name.to_owned(), mount_point.into()));
                    found.v1.extend(names);
                }
                _ => {}
            }
        }
        found
    }

    /// The arrangement.
    pub fn mode(&self) -> Mode {
        let has_v1 = self.v1.iter().any(|(name, _)| ["memory", "cpu", "pids"].contains(&name.as_str()));
        match (has_v1, &self.v2) {
            (true, Some(_)) => Mode::Hybrid,
            (true, None) => Mode::V1,
            (false, Some(_)) => Mode::V2,
            (false, None) => Mode::None,
        }
    }

    /// The tree in which an instance's processes are found again, stopped and killed: v2 wherever it
    /// is mounted, with controllers or without, for it can do all of that by itself and takes a
    /// child at its birth (CLONE_INTO_CGROUP); else the freezer of v1, else what there is.
    pub fn tracking(&self) -> Option<Place> {
        if let Some(root) = &self.v2 {
            return Some(Place { root: root.clone(), version: Version::V2 });
        }
        ["freezer", "pids", "memory", "cpu"].into_iter().find_map(|name| self.v1_place(name))
    }

    /// Where a controller is; v1 first, since one that is bound there is not in the v2 tree.
    pub(super) fn place(&self, controller: &dyn Controller) -> Option<Place> {
        self.v1_place(controller.v1_name()).or_else(|| {
            let root = self.v2.as_ref()?;
            let there =
                controller.v2_name().is_none_or(|name| self.v2_controllers.iter().any(|one| one == name));
            there.then(|| Place { root: root.clone(), version: Version::V2 })
        })
    }

    pub(super) fn v1_place(&self, name: &str) -> Option<Place> {
        let (_, root) = self.v1.iter().find(|(one, _)| one == name)?;
        Some(Place { root: root.clone(), version: Version::V1 })
    }

    /// Every place once.
    pub(super) fn places(&self) -> Vec<Place> {
        let version = |root: &Path| if Some(root) == self.v2.as_deref() { Version::V2 } else { Version::V1 };
        let place = |root: &Path| Place { root: root.to_owned(), version: version(root) };
        self.roots().into_iter().map(place).collect()
    }

    /// Folders below which groups of runs are, for those who look for leftovers: of every hierarchy,
    /// since OCI runtimes make groups in the named ones too.
    pub fn roots(&self) -> Vec<&Path> {
        let mut roots: Vec<&Path> = self.v1.iter().map(|(_, root)| root.as_path()).collect();
        roots.extend(self.v2.as_deref());
        roots.sort();
        roots.dedup();
        roots
    }

    #[cfg(test)]
    pub(super) fn without_v1(mut self, name: &str) -> Hierarchies {
        self.v1.retain(|(one, _)| one != name);
        self
    }

    #[cfg(test)]
    pub(super) fn without_v2(mut self) -> Hierarchies {
        self.v2 = None;
        self
    }
}

/// What a v2 group may use.
pub(super) fn controllers(group: &Path) -> Vec<String> {
    let list = std::fs::read_to_string(group.join("cgroup.controllers")).unwrap_or_default();
    list.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{cpu, devices, memory, pids};
    use super::*;

    // From a Debian 12 host with systemd (pure v2).
    const V2: &str = "29 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n";
    // From a hybrid host: v1 controllers and a v2 tree at unified.
    const HYBRID: &str = "\
30 25 0:26 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
32 25 0:28 / /sys/fs/cgroup/memory rw,relatime shared:9 master:2 - cgroup cgroup rw,memory
40 25 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
33 25 0:29 / /proc rw - proc proc rw
";

    #[test]
    fn modes_and_places() {
        assert_eq!(Hierarchies::parse(V2).mode(), Mode::V2);
        assert_eq!(Hierarchies::parse("").mode(), Mode::None);
        let hybrid = Hierarchies::parse(HYBRID);
        assert_eq!(hybrid.mode(), Mode::Hybrid);
        let place = |root: &str, version| Some(Place { root: root.into(), version });
        assert_eq!(hybrid.place(&cpu::Cpu), place("/sys/fs/cgroup/cpu,cpuacct", Version::V1));
        assert_eq!(hybrid.place(&pids::Pids), None);
        // Every v2 group has it.
        assert_eq!(hybrid.place(&devices::Devices), place("/sys/fs/cgroup/unified", Version::V2));
        assert_eq!(hybrid.tracking(), place("/sys/fs/cgroup/unified", Version::V2));
        assert_eq!(hybrid.clone().without_v2().tracking(), place("/sys/fs/cgroup/memory", Version::V1));
        assert_eq!(hybrid.roots().len(), 4);
    }

    #[test]
    fn a_host_is_read_below_its_root() {
        let host = tempfile::tempdir().expect("folder");
        let cgroup = host.path().join("sys/fs/cgroup");
        for folder in [host.path().join("proc/self"), cgroup.clone()] {
            std::fs::create_dir_all(folder).expect("made");
        }
        std::fs::write(host.path().join("proc/self/mountinfo"), V2).expect("written");
        std::fs::write(cgroup.join("cgroup.controllers"), "cpuset cpu io memory hugetlb pids rdma misc\n")
            .expect("written");
        let found = Hierarchies::of(host.path()).expect("readable");
        assert_eq!(found.place(&memory::Memory).map(|place| place.root), Some(cgroup));
    }
}
