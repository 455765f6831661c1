//! /proc/locks: whose locks it lists. Those of a process are left out where that process cannot be named; those
//! of an open file have no process, and are listed to everybody (fcntl(2), "Open file description locks";
//! locks_show in the kernel's fs/locks.c).

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::libc;
use runtime::container::Mechanism;

use super::super::check::{Absent, Check, Expect, Finding, HostPlant, OnHost, Twin};
use super::super::judge;
use super::super::nonce::Nonce;

const LOCKS: &str = "/proc/locks";

const fn listed(
    id: &'static str,
    question: &'static str,
    on_host: fn(&Nonce) -> HostPlant,
    twin: Twin,
) -> Check {
    Check {
        id,
        claim: "ns-unaware",
        question,
        source: "proc_locks(5); fcntl(2)",
        on_host: Some(on_host),
        look: Some(|scene| vec![judge::host_line(scene, LOCKS, "")]),
        judge: |scene| {
            let (seen, wanted) = (scene.look(0)?, scene.host()?.text());
            Ok(match seen.number("errno")? as i32 {
                0 if seen.number("found")? > 0 => Finding::Open(format!("{wanted} is listed")),
                0 => Finding::Apart(format!("{} locks, not the host's", seen.number("lines")?)),
                libc::EACCES | libc::EPERM => Finding::Apart(judge::name(seen.number("errno")?)),
                libc::ENOENT if !scene.kind.shares_kernel() => {
                    Finding::Absent(format!("the kernel inside has no {LOCKS}"))
                }
                errno => Finding::Wrong(judge::name(errno.into())),
            })
        },
        twin,
        ..Check::NOTHING
    }
}

pub(super) const ALL: &[Check] = &[
    listed(
        "leak-locks",
        "does /proc/locks list a lock of a process of the host?",
        |nonce| Locked::plant(nonce, libc::F_SETLK),
        Twin::Without(&[Mechanism::PidNamespace]),
    ),
    Check {
        expect: |kind| Expect::of_kernel(kind, "it has no process, so no PID namespace hides it"),
        ..listed(
            "leak-locks-open-file",
            "does /proc/locks list a lock of an open file of the host?",
            |nonce| Locked::plant(nonce, libc::F_OFD_SETLK),
            Twin::Process,
        )
    },
];

/// A file of the host with a lock on it.
struct Locked {
    path: PathBuf,
    _file: File,
    /// As the kernel lists it: device and inode.
    listed: String,
}

impl Locked {
    fn plant(nonce: &Nonce, command: libc::c_int) -> HostPlant {
        let path = nonce.path();
        let absent = |error: std::io::Error| Absent(format!("{}: {error}", path.display()));
        let file = File::options().read(true).write(true).create_new(true).open(&path).map_err(absent)?;
        let found = file.metadata().map_err(absent)?;
        let (major, minor) = (libc::major(found.dev()), libc::minor(found.dev()));
        let listed = format!("{major:02x}:{minor:02x}:{} ", found.ino());
        let locked = Locked { path: path.clone(), _file: file, listed };
        // SAFETY: plain data that lives through the call; the whole file.
        let done = unsafe {
            let mut lock: libc::flock = std::mem::zeroed();
            lock.l_type = libc::F_WRLCK as libc::c_short;
            libc::fcntl(locked._file.as_raw_fd(), command, &lock)
        };
        match done {
            0 => Ok(Box::new(locked)),
            _ => Err(absent(std::io::Error::last_os_error())),
        }
    }
}

impl OnHost for Locked {
    fn witness(&self) -> Result<String, String> {
        let list = std::fs::read_to_string(LOCKS).map_err(|error| format!("{LOCKS} of the host: {error}"))?;
        match list.contains(&self.listed) {
            true => Ok(format!("the host's {LOCKS} lists {}", self.listed.trim_end())),
            false => Err(format!("the host's {LOCKS} does not list {}", self.listed)),
        }
    }

    fn text(&self) -> String {
        self.listed.clone()
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
