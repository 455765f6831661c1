//! Which cgroup hierarchies this host has, from mountinfo (proc_pid_mountinfo(5)).

use std::path::{Path, PathBuf};

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

/// Where a controller is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Mount point of its hierarchy.
    pub root: PathBuf,
    /// Whether that is the v2 tree.
    pub is_v2: bool,
}

/// All hierarchies of a host.
#[derive(Clone, Debug, Default)]
pub struct Hierarchies {
    v1: Vec<(String, PathBuf)>,
    v2: Option<PathBuf>,
    v2_controllers: Vec<String>,
}

impl Hierarchies {
    /// Those mounted in this process's mount namespace.
    ///
    /// # Errors
    /// Where mountinfo cannot be read.
    pub fn of_host() -> Result<Hierarchies, Error> {
        let path = "/proc/self/mountinfo";
        let text = std::fs::read_to_string(path).map_err(Error::system(format!("read {path}")))?;
        let mut found = Hierarchies::parse(&text);
        if let Some(root) = &found.v2 {
            let list = std::fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
            found.v2_controllers = list.split_whitespace().map(str::to_owned).collect();
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
                    found
                        .v1
                        .extend(options.split(',').map(|name| (name.to_owned(), PathBuf::from(mount_point))));
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

    /// Where `controller` is; v1 first, since a controller bound there is not in the v2 tree.
    pub fn place(&self, controller: &str) -> Option<Place> {
        let v1 = self.v1.iter().find(|(name, _)| name == controller);
        if let Some((_, root)) = v1 {
            return Some(Place { root: root.clone(), is_v2: false });
        }
        let root = self.v2.as_ref().filter(|_| self.v2_controllers.iter().any(|name| name == controller))?;
        Some(Place { root: root.clone(), is_v2: true })
    }

    /// Mount points of all hierarchies, for those who look for leftovers.
    pub fn roots(&self) -> Vec<&Path> {
        let mut roots: Vec<&Path> = self.v1.iter().map(|(_, root)| root.as_path()).collect();
        roots.extend(self.v2.as_deref());
        roots.sort();
        roots.dedup();
        roots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // From a Debian 12 host with systemd (pure v2).
    const V2: &str = "29 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n";
    // From a hybrid host: v1 controllers and a v2 tree at unified.
    const HYBRID: &str = "\
30 25 0:26 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
32 25 0:28 / /sys/fs/cgroup/memory rw,relatime shared:9 master:2 - cgroup cgroup rw,memory
33 25 0:29 / /proc rw - proc proc rw
";

    #[test]
    fn modes_and_places() {
        assert_eq!(Hierarchies::parse(V2).mode(), Mode::V2);
        assert_eq!(Hierarchies::parse("").mode(), Mode::None);
        let hybrid = Hierarchies::parse(HYBRID);
        assert_eq!(hybrid.mode(), Mode::Hybrid);
        let place = hybrid.place("cpu").expect("cpu");
        assert_eq!(place, Place { root: "/sys/fs/cgroup/cpu,cpuacct".into(), is_v2: false });
        assert_eq!(hybrid.place("pids"), None);
        assert_eq!(hybrid.roots().len(), 3);
    }
}
