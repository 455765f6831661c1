//! Where runtimes work: a mount namespace of the run's own, in which the folder of all runs' folders
//! is covered by an empty file system for bundles, root file systems and the runtimes' state.
//!
//! Runtimes see the host as it is except for that; the host sees none of it, and all of it is gone
//! with the last process inside, however that ends. The folders in it can be searched by everybody,
//! which a container's mapped root needs and the run's own folder does not allow.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};

use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};

use crate::Error;
use crate::state;

/// What crun takes for a v2 tree with controllers of its own, next to v1.
const HYBRID_CONTROLLERS: &str = "/sys/fs/cgroup/unified/cgroup.controllers";

type Errand = Box<dyn FnOnce() + Send>;

/// The namespace, and a thread in it for what must be done there. Gone when dropped.
pub(super) struct Stage {
    /// Where the file system is, for those inside.
    place: PathBuf,
    namespace: OwnedFd,
    folder: OwnedFd,
    errands: Sender<Errand>,
}

impl Stage {
    /// Makes the namespace of run `run`, with the file system on `place`. Where `hide_v2_controllers`, those inside find no
    /// controllers in the v2 tree of a hybrid host: crun gives up where it sees some.
    ///
    /// # Errors
    /// What the system refused.
    pub(super) fn new(run: &str, place: &Path, hide_v2_controllers: bool) -> Result<Stage, Error> {
        let (errands, received) = channel::<Errand>();
        let (tell, told) = channel();
        let source = state::mount_source(run);
        let own_place = place.to_owned();
        std::thread::Builder::new()
            .name("stage".into())
            .spawn(move || {
                let made = enter(&source, &own_place, hide_v2_controllers);
                let is_made = made.is_ok();
                let _ = tell.send(made);
                if is_made {
                    received.into_iter().for_each(|errand| errand());
                }
            })
            .map_err(Error::system("start a thread"))?;
        let gone = || Error::Invalid("the thread that makes a mount namespace ended".into());
        let (namespace, folder) = told.recv().map_err(|_| gone())??;
        Ok(Stage { place: place.to_owned(), namespace, folder, errands })
    }

    /// The namespace, for setns(2).
    pub(super) fn namespace(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }

    /// `below` the file system's root, as this process reaches it.
    pub(super) fn outside(&self, below: impl AsRef<Path>) -> PathBuf {
        Path::new("/proc/self/fd").join(self.folder.as_raw_fd().to_string()).join(below)
    }

    /// `below` the file system's root, as those inside name it.
    pub(super) fn inside(&self, below: impl AsRef<Path>) -> PathBuf {
        self.place.join(below)
    }

    /// Does something inside, on the thread that is there.
    ///
    /// # Errors
    /// What it answers.
    pub(super) fn act<T: Send + 'static>(
        &self,
        errand: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (tell, told) = channel();
        let _ = self.errands.send(Box::new(move || {
            let _ = tell.send(errand());
        }));
        told.recv().map_err(|_| Error::Invalid("the thread in the mount namespace ended".into()))?
    }

    /// Makes the folder `below`, which everybody may search, with its parents.
    ///
    /// # Errors
    /// What the system said.
    pub(super) fn make(&self, below: &str) -> Result<PathBuf, Error> {
        let path = self.outside(below);
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&path)
            .map_err(Error::system(format!("make the folder {}", self.inside(below).display())))?;
        Ok(path)
    }
}

/// On a thread of its own, which never leaves the namespace.
fn enter(source: &str, place: &Path, hide_v2_controllers: bool) -> Result<(OwnedFd, OwnedFd), Error> {
    // SAFETY: from here on this thread shares working directory, root and mounts with no other;
    // nothing of this process's memory is touched.
    if unsafe { libc::unshare(libc::CLONE_FS | libc::CLONE_NEWNS) } != 0 {
        return Err(Error::system("make a mount namespace")(io::Error::last_os_error()));
    }
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(Error::system("make the mounts of a namespace private"))?;
    // Without nosuid and the like, which would be locked in a container's user namespace: runsc then
    // cannot make a root file system read-only (mount_namespaces(7)).
    mount(source, place, "tmpfs", MountFlags::empty(), Some(c"mode=0755"))
        .map_err(Error::system(format!("mount a tmpfs on {}", place.display())))?;
    if hide_v2_controllers {
        mount_bind("/dev/null", HYBRID_CONTROLLERS)
            .map_err(Error::system(format!("cover {HYBRID_CONTROLLERS} for crun")))?;
    }
    let path = "/proc/thread-self/ns/mnt";
    let namespace = File::open(path).map_err(Error::system(format!("open {path}")))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(place, flags, Mode::empty())
        .map_err(Error::system(format!("open {}", place.display())))?;
    Ok((namespace.into(), folder))
}

/// Whether this host mixes both kinds of cgroups and still has controllers in the v2 tree.
pub(super) fn is_hybrid_with_v2_controllers() -> bool {
    std::fs::read_to_string(HYBRID_CONTROLLERS).is_ok_and(|list| !list.trim().is_empty())
}
