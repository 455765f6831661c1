//! The way into a group that costs least.
//!
//! Moving a process by its number makes the kernel hold back every fork and exit of the host, for
//! which it waits until all processors have passed a quiet point (`cgroup_threadgroup_rwsem` in
//! kernel/cgroup/cgroup.c, a percpu semaphore): 6 to 10 ms on an otherwise idle host with kernel
//! 6.18. It need not for one that is born in its v2 group (clone3(2), CLONE_INTO_CGROUP), nor for a
//! thread that moves itself by writing 0 to `tasks` of v1 (kernel 5.5 and newer): 12 µs each.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use super::{Folder, Version};
use crate::Error;

/// The flag of clone3(2); the C library's constant overflows its type (libc issue 3584).
pub const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// What a child needs to be in its groups, opened by its parent beforehand.
#[derive(Debug)]
pub struct Entrance {
    born_into: Option<OwnedFd>,
    tasks: Vec<OwnedFd>,
}

impl Entrance {
    pub(super) fn open(folders: &[Folder], by_birth: bool) -> Result<Entrance, Error> {
        let mut entrance = Entrance { born_into: None, tasks: Vec::new() };
        for folder in folders {
            let path = &folder.path;
            let refused = Error::system(format!("open the cgroup {}", path.display()));
            match folder.version {
                Version::V2 if by_birth => {
                    let flags = libc::O_PATH | libc::O_DIRECTORY;
                    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
                    entrance.born_into = Some(opened.map_err(refused)?.into());
                }
                version => {
                    // A thread alone cannot change between v2 groups; that way is the slow one.
                    let name = if version == Version::V1 { "tasks" } else { "cgroup.procs" };
                    let opened = File::options().write(true).open(path.join(name));
                    entrance.tasks.push(opened.map_err(refused)?.into());
                }
            }
        }
        Ok(entrance)
    }

    /// The v2 group for `clone_args.cgroup` with [`CLONE_INTO_CGROUP`], where there is one.
    pub fn born_into(&self) -> Option<BorrowedFd<'_>> {
        self.born_into.as_ref().map(AsFd::as_fd)
    }

    /// The files that take who writes `0` to them, for a child that does [`Entrance::enter`] by itself.
    pub fn files(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.tasks.iter().map(AsFd::as_fd)
    }

    /// Moves the calling process into the groups it was not born into: to be called by the child
    /// while it has one thread. System calls only, so safe between clone and exec. `None`:
    /// refused, with the reason in errno.
    #[must_use]
    pub fn enter(&self) -> Option<()> {
        self.tasks.iter().try_for_each(|tasks| {
            // SAFETY: one byte of a constant to an open descriptor.
            let written = unsafe { libc::write(tasks.as_raw_fd(), c"0".as_ptr().cast(), 1) };
            (written == 1).then_some(())
        })
    }
}
