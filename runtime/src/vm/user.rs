//! Whom QEMU runs as: never root, where this program is root.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::os::unix::fs::MetadataExt;

use super::options::Accel;
use crate::InstanceName;
use crate::spawn::User;

/// User ids that belong to nobody for longer than a service runs: the range systemd gives to its
/// dynamic users (systemd.io/UIDS-GIDS).
const FIRST: u32 = 61_184;
const COUNT: u32 = 65_519 - FIRST + 1;

/// The user of one machine, another for each of a run as long as there are fewer than the range
/// has; `None` where this program is not root, or the accelerator's device lets only root in.
pub(super) fn unprivileged(accel: Accel, run_id: &str, name: &InstanceName) -> Option<User> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let groups = if accel == Accel::Kvm { groups_of_kvm()? } else { Vec::new() };
    let first = BuildHasherDefault::<DefaultHasher>::default().hash_one((run_id, name.storm)) as u32;
    let id = FIRST + first.wrapping_add(name.index) % COUNT;
    Some(User { uid: id, gid: id, groups })
}

/// The groups a user must be in to open /dev/kvm.
fn groups_of_kvm() -> Option<Vec<u32>> {
    let device = std::fs::metadata("/dev/kvm").ok()?;
    match device.mode() {
        mode if mode & 0o006 == 0o006 => Some(Vec::new()),
        mode if mode & 0o060 == 0o060 && device.gid() != 0 => Some(vec![device.gid()]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_of_a_run_have_users_of_their_own() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can give machines users of their own");
            return;
        }
        let user = |index| unprivileged(Accel::Tcg, "run", &InstanceName { storm: 1, index }).expect("root");
        let ids: std::collections::BTreeSet<u32> = (0..500).map(|index| user(index).uid).collect();
        assert_eq!(ids.len(), 500);
        assert!(ids.iter().all(|id| (FIRST..FIRST + COUNT).contains(id)));
        assert_eq!(user(3), user(3));
    }
}
