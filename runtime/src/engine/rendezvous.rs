//! Where a container of an engine meets its host: a folder with a socket, shown inside.
//!
//! An engine passes no descriptors, so the guest connects to a listening socket as its first act and
//! says `ready` on the connection: what is stamped is the arrival of the same message as everywhere.

use std::fs::{self, DirBuilder, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::event::EventSink;
use crate::watch::{Source, Watch};

/// Where the folder is inside.
pub(super) const INSIDE: &str = "/.bench/run";
/// The socket in it.
const SOCKET: &str = "s";

/// What the guest is told: the way out.
pub(super) fn word() -> String {
    format!("unix:{INSIDE}/{SOCKET}")
}

/// A folder with a socket that is listened on. Both go when this is dropped.
pub(super) struct Rendezvous {
    folder: PathBuf,
}

impl Rendezvous {
    /// Makes the folder `below`/`name` and listens in it; the guest's messages become events.
    ///
    /// # Errors
    /// What the system refused.
    pub(super) fn open(
        below: &Path,
        name: &str,
        watch: &Watch,
        events: EventSink,
    ) -> Result<Rendezvous, Error> {
        let folder = below.join(name);
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&folder)
            .map_err(Error::system(format!("make the folder {}", folder.display())))?;
        let path = folder.join(SOCKET);
        let listener = UnixListener::bind(&path)
            // An engine that maps ids lets nobody else in; the folders above keep the host's users out.
            .and_then(|listener| fs::set_permissions(&path, Permissions::from_mode(0o666)).map(|()| listener))
            .map_err(Error::system(format!("listen on {}", path.display())))?;
        let open = Rendezvous { folder };
        watch
            .add(Source::Listener(OwnedFd::from(listener)), events)
            .map_err(Error::system("watch a socket"))?;
        Ok(open)
    }

    /// The folder on the host.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Rendezvous {
    fn drop(&mut self) {
        // So that the stamper stops waiting for a guest that never came: it takes this one for it.
        drop(UnixStream::connect(self.folder.join(SOCKET)));
        let _ = fs::remove_dir_all(&self.folder);
    }
}
