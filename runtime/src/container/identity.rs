//! Who the child is: the maps of its user namespace, written by the parent, and its own ids.

use std::process::Command;

use super::report::{Label, Labels, Report};
use super::setup::{IdMaps, IdRange, MapWriter, Namespace, Setup};
use super::syscall::{Answer, Errno, raw};
use crate::Error;

/// Maps to be written for each child.
#[derive(Debug)]
pub(super) struct Maps {
    uids: String,
    gids: String,
    deny_setgroups: bool,
    writer: MapWriter,
}

impl Maps {
    pub(super) fn new(maps: &IdMaps) -> Result<Maps, Error> {
        for (what, ranges) in [("user", &maps.uids), ("group", &maps.gids)] {
            if ranges.is_empty() {
                return Err(Error::Invalid(format!("the {what} id map is empty")));
            }
        }
        Ok(Maps {
            uids: lines(&maps.uids),
            gids: lines(&maps.gids),
            deny_setgroups: maps.deny_setgroups(),
            writer: maps.writer,
        })
    }

    /// Writes them. Concerns the parent: it has the rights.
    ///
    /// # Errors
    /// What the kernel, or newuidmap(1), said.
    pub(super) fn write(&self, pid: i32) -> Result<(), Error> {
        if self.deny_setgroups && self.writer != MapWriter::NewIdMap {
            // Without this a user may not map a group (user_namespaces(7)).
            write(pid, "setgroups", "deny")?;
        }
        for (file, program, text) in
            [("uid_map", "newuidmap", &self.uids), ("gid_map", "newgidmap", &self.gids)]
        {
            match self.writer {
                MapWriter::Own | MapWriter::ForUser => write(pid, file, text)?,
                MapWriter::NewIdMap => {
                    let output = Command::new(program)
                        .arg(pid.to_string())
                        .args(text.split_whitespace())
                        .output()
                        .map_err(Error::system(format!("run {program}")))?;
                    if !output.status.success() {
                        let said = String::from_utf8_lossy(&output.stderr);
                        return Err(Error::Invalid(format!("{program}: {}", said.trim())));
                    }
                }
            }
        }
        Ok(())
    }
}

impl IdMaps {
    /// Whether groups cannot be set inside: so where a user maps a group without help.
    pub(super) fn deny_setgroups(&self) -> bool {
        match self.writer {
            MapWriter::Own => !rustix::process::geteuid().is_root(),
            MapWriter::NewIdMap => false,
            MapWriter::ForUser => matches!(self.gids[..], [IdRange { count: 1, .. }]),
        }
    }
}

fn lines(ranges: &[IdRange]) -> String {
    ranges.iter().map(|range| format!("{} {} {}\n", range.inside, range.outside, range.count)).collect()
}

fn write(pid: i32, file: &str, text: &str) -> Result<(), Error> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::write(&path, text).map_err(Error::system(format!("write {text:?} to {path}")))
}

/// The child's own ids.
#[derive(Debug)]
pub(super) struct Identity {
    label: Label,
    own_users: bool,
    may_set_groups: bool,
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

impl Identity {
    pub(super) fn new(setup: &Setup, labels: &mut Labels) -> Result<Identity, Error> {
        let process = &setup.process;
        let denied = setup.id_maps.as_ref().is_some_and(IdMaps::deny_setgroups);
        if denied && !process.groups.is_empty() {
            return Err(Error::Invalid(
                "supplementary groups cannot be set by a user without newgidmap(1)".into(),
            ));
        }
        if let Some(maps) = &setup.id_maps {
            let ids = [("user", process.uid, &maps.uids), ("group", process.gid, &maps.gids)];
            for (what, id, ranges) in ids {
                let is_mapped = |range: &IdRange| id >= range.inside && id - range.inside < range.count;
                if !ranges.iter().any(is_mapped) {
                    return Err(Error::Invalid(format!(
                        "{what} id {id} is not mapped in its user namespace"
                    )));
                }
            }
        }
        Ok(Identity {
            label: labels.add(format!("become user {} and group {} inside", process.uid, process.gid)),
            own_users: setup.namespaces.user != Namespace::Host,
            may_set_groups: !denied,
            uid: process.uid,
            gid: process.gid,
            groups: process.groups.clone(),
        })
    }

    /// Becomes root inside, who sets up everything else. The root of the host stays who it is.
    ///
    /// # Safety
    /// In the child, once its maps are written.
    pub(super) unsafe fn become_root(&self) -> Answer<()> {
        if !self.own_users {
            return Ok(());
        }
        // SAFETY: no memory is involved.
        unsafe {
            if self.may_set_groups {
                raw!(SYS_setgroups, 0, 0)?;
            }
            match raw!(SYS_setresgid, 0, 0, 0).and_then(|_| raw!(SYS_setresuid, 0, 0, 0)) {
                // Root is not mapped: the one who is has all capabilities here until it executes.
                Ok(_) | Err(Errno(libc::EINVAL)) => Ok(()),
                Err(error) => Err(error),
            }
        }
    }

    /// Becomes who the program is to be, with all capabilities kept for the steps that follow.
    ///
    /// # Safety
    /// In the child.
    pub(super) unsafe fn become_user(&self, report: &Report) -> Answer<()> {
        report.at(self.label);
        // SAFETY: the list lives through the call.
        unsafe {
            raw!(SYS_prctl, libc::PR_SET_KEEPCAPS, 1, 0, 0, 0)?;
            if self.may_set_groups {
                raw!(SYS_setgroups, self.groups.len(), self.groups.as_ptr())?;
            }
            raw!(SYS_setresgid, self.gid, self.gid, self.gid)?;
            raw!(SYS_setresuid, self.uid, self.uid, self.uid)?;
            raw!(SYS_prctl, libc::PR_SET_KEEPCAPS, 0, 0, 0, 0).map(drop)
        }
    }
}
