//! What an ordinary user may do: groups below the one this process is in, where systemd has given
//! that to the user (systemd.io/CGROUP_DELEGATION; cgroup-v2.rst, "Delegation").
//!
//! ```text
//! systemd-run --user --scope -p Delegate=yes bench run …
//! ```

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::file;
use super::hierarchy::{Hierarchies, Mode, controllers};
use crate::Error;

/// Where this process goes, so that the group it was in can have groups below it: on v2 a group
/// has processes or gives controllers to groups below, not both.
const SUPERVISOR: &str = "supervisor";
const HOW: &str = "start it with: systemd-run --user --scope -p Delegate=yes bench …";

/// Why a user has no groups, as a sentence that begins with "not delegated because".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not delegated because {0}")]
pub struct NotDelegated(String);

/// A part of the v2 tree that belongs to this user.
#[derive(Clone, Debug)]
pub struct Delegation {
    hierarchies: Hierarchies,
    base: PathBuf,
}

impl Delegation {
    /// Looks for it on the host whose files are below `root` (`/` but for tests), without changing
    /// anything.
    ///
    /// # Errors
    /// Why there is none.
    pub fn find(root: &Path) -> Result<Delegation, NotDelegated> {
        let because = |reason: String| Err(NotDelegated(reason));
        let mut hierarchies = Hierarchies::of(root)
            .map_err(|error| NotDelegated(format!("the host was not readable: {error}")))?;
        let (Mode::V2, Some(mount)) = (hierarchies.mode(), hierarchies.v2.clone()) else {
            return because(format!(
                "the controllers of this host are not on cgroup v2 (mode: {}), and v1 cannot be given to users",
                hierarchies.mode()
            ));
        };
        let path = root.join("proc/self/cgroup");
        let own = std::fs::read_to_string(&path).unwrap_or_default();
        let Some(own) = own.lines().find_map(|line| line.strip_prefix("0::/")) else {
            return because(format!("{} names no v2 group of this process", path.display()));
        };
        // After an earlier claim this process is below what was given to it.
        let own = own.strip_suffix(SUPERVISOR).map_or(own, |parent| parent.trim_end_matches('/'));
        let base = mount.join(own);
        for name in ["", "cgroup.procs", "cgroup.subtree_control"] {
            let file = base.join(name);
            if let Err(errno) = access(&file, Access::WRITE_OK) {
                return because(format!("{} is not writable ({errno}); {HOW}", file.display()));
            }
        }
        hierarchies.v2_controllers = controllers(&base);
        if hierarchies.v2_controllers.is_empty() {
            return because(format!("{} was given no controllers; {HOW}", base.display()));
        }
        hierarchies.v2 = Some(base.clone());
        Ok(Delegation { hierarchies, base })
    }

    /// The controllers given.
    pub fn controllers(&self) -> &[String] {
        &self.hierarchies.v2_controllers
    }

    /// Moves this process into a group of its own below, after which groups with limits can be made
    /// beside it.
    ///
    /// # Errors
    /// Where other processes are in the group too, or the kernel refuses.
    pub fn claim(self) -> Result<Hierarchies, NotDelegated> {
        let refused = |error: Error| NotDelegated(error.to_string());
        let own = std::process::id();
        let procs = self.base.join("cgroup.procs");
        let members = file::read(&procs).map_err(refused)?.unwrap_or_default();
        let others = members.lines().filter(|line| line.parse() != Ok(own)).count();
        if others > 0 {
            return Err(NotDelegated(format!(
                "{} has {others} other processes, and a group that has processes cannot limit groups below it; {HOW}",
                self.base.display()
            )));
        }
        if !members.is_empty() {
            let supervisor = self.base.join(SUPERVISOR);
            std::fs::create_dir_all(&supervisor)
                .map_err(Error::system(format!("make the cgroup {}", supervisor.display())))
                .and_then(|()| file::write(&supervisor.join("cgroup.procs"), &own.to_string()))
                .map_err(refused)?;
        }
        Ok(self.hierarchies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host with a user's scope, as on a Debian 12 desktop.
    fn host(mountinfo: &str, own: &str, given: &str) -> tempfile::TempDir {
        let host = tempfile::tempdir().expect("folder");
        let scope = host
            .path()
            .join("sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope");
        for folder in [&host.path().join("proc/self"), &scope] {
            std::fs::create_dir_all(folder).expect("made");
        }
        let text = [("proc/self/mountinfo", mountinfo), ("proc/self/cgroup", own)];
        for (path, text) in text {
            std::fs::write(host.path().join(path), text).expect("written");
        }
        for (name, text) in
            [("cgroup.procs", ""), ("cgroup.subtree_control", ""), ("cgroup.controllers", given)]
        {
            std::fs::write(scope.join(name), text).expect("written");
        }
        host
    }

    const V2: &str = "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    const HYBRID: &str = "29 23 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                          31 25 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
    const SCOPE: &str = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope\n";

    #[test]
    fn a_delegated_scope_is_found() {
        let host = host(V2, SCOPE, "cpu memory pids\n");
        let found = Delegation::find(host.path()).expect("delegated");
        assert_eq!(found.controllers(), ["cpu", "memory", "pids"]);
        assert!(found.claim().expect("empty").roots()[0].ends_with("run-r1.scope"));
    }

    #[test]
    fn reasons_are_told() {
        let why = |mountinfo, own, given| {
            Delegation::find(host(mountinfo, own, given).path()).expect_err("refused").to_string()
        };
        assert!(why(HYBRID, SCOPE, "").starts_with("not delegated because the controllers of this host"));
        assert!(why(V2, SCOPE, "").contains("no controllers"));
        assert!(why(V2, "0::/user.slice/elsewhere\n", "cpu\n").contains("not writable"));
        assert!(why(V2, "1:name=systemd:/\n", "cpu\n").contains("no v2 group"));
        let host = host(V2, SCOPE, "cpu\n");
        let procs =
            "sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope/cgroup.procs";
        std::fs::write(host.path().join(procs), "1\n2\n").expect("written");
        let found = Delegation::find(host.path()).expect("delegated");
        assert!(found.claim().expect_err("busy").to_string().contains("2 other processes"));
    }
}
