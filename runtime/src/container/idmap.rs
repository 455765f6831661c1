//! A folder of the host shown with other owners (mount_setattr(2), MOUNT_ATTR_IDMAP).
//!
//! Files of an image belong to root and the like on the host's disk. Seen from a user namespace those
//! ids do not exist, and everything would belong to nobody. Through an id-mapped mount the file that
//! is root's on disk is that of root inside, and the disk stays as it is, shared by all instances.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags, move_mount, open_tree, unmount};

use super::identity::Maps;
use super::mount::no_attributes;
use super::setup::IdMaps;
use super::syscall::{Errno, raw};
use crate::Error;

/// An id-mapped mount of a folder, gone when dropped.
pub(super) struct Mapped {
    path: PathBuf,
}

impl Mapped {
    /// Mounts `folder` below `state`, with the ids inside of `maps`.
    ///
    /// # Errors
    /// Where kernel (before 5.12, 5.19 below an overlay) or file system cannot do it.
    pub(super) fn mount(folder: &Path, state: &Path, maps: &IdMaps) -> Result<Mapped, Error> {
        let users = user_namespace(maps)?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let tree = open_tree(rustix::fs::CWD, folder, flags)
            .map_err(Error::system(format!("copy the mount of {}", folder.display())))?;
        let attributes = libc::mount_attr {
            attr_set: libc::MOUNT_ATTR_IDMAP | libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NODEV,
            userns_fd: users.as_raw_fd() as u64,
            ..no_attributes()
        };
        // SAFETY: a constant path, attributes and descriptors that live through the call.
        unsafe {
            super::mount::set_attributes(tree.as_raw_fd() as usize, &attributes, super::setup::Reach::One)
        }
        .map_err(|Errno(errno)| {
            let source = std::io::Error::from_raw_os_error(errno);
            Error::System { action: format!("map the ids of {}", folder.display()), source }
        })?;
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = state.join(format!("lower-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).map_err(Error::system(format!("make {}", path.display())))?;
        let mapped = Mapped { path };
        move_mount(&tree, "", rustix::fs::CWD, &mapped.path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .map_err(Error::system(format!("mount on {}", mapped.path.display())))?;
        Ok(mapped)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // `bench clean` finds what remains.
        let _ = unmount(&self.path, UnmountFlags::DETACH);
        let _ = std::fs::remove_dir(&self.path);
    }
}

/// Whether the calling thread may make a user namespace.
///
/// # Errors
/// What the system said.
pub(super) fn is_allowed() -> Result<(), Error> {
    Held::new().map(drop)
}

/// A user namespace with these maps and nobody in it.
pub(super) fn user_namespace(maps: &IdMaps) -> Result<OwnedFd, Error> {
    let held = Held::new()?;
    Maps::new(maps)?.write(held.pid)?;
    let path = format!("/proc/{}/ns/user", held.pid);
    File::open(&path).map(OwnedFd::from).map_err(Error::system(format!("open {path}")))
}

/// A process in a new user namespace, for as long as it takes to open that.
struct Held {
    pid: i32,
    pidfd: OwnedFd,
}

impl Held {
    fn new() -> Result<Held, Error> {
        let (mut pidfd, own) = (-1, std::process::id() as usize);
        let flags = libc::CLONE_NEWUSER | libc::CLONE_PIDFD | libc::SIGCHLD;
        // SAFETY: without CLONE_VM a fork; the child makes system calls only.
        let pid = match unsafe { raw!(SYS_clone, flags, 0, &raw mut pidfd, 0, 0) } {
            // SAFETY: the child; ended below, or by the parent's death.
            Ok(0) => unsafe {
                let _ = raw!(SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
                // A parent that has died before sends nothing any more; this process is another's then.
                while raw!(SYS_getppid) == Ok(own) {
                    let _ = raw!(SYS_ppoll, 0, 0, 0, 0, 0);
                }
                loop {
                    let _ = raw!(SYS_exit_group, 0);
                }
            },
            Ok(pid) => pid as i32,
            Err(Errno(errno)) => {
                let source = std::io::Error::from_raw_os_error(errno);
                return Err(Error::System { action: "make a user namespace".into(), source });
            }
        };
        // SAFETY: CLONE_PIDFD has stored a fresh descriptor that nobody else owns.
        Ok(Held { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, rustix::process::Signal::KILL);
        let id = rustix::process::WaitId::PidFd(std::os::fd::AsFd::as_fd(&self.pidfd));
        let _ = rustix::process::waitid(id, rustix::process::WaitIdOptions::EXITED);
    }
}
