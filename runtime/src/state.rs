//! What a run owns on this host, and how it is found again after a crash.
//!
//! Every run has a folder `<state root>/<run id>/` (state root: /run/bench for root, else
//! $XDG_RUNTIME_DIR/bench or a private folder in the temporary folder) with a lock file held by the
//! living run. A lock that can be taken belongs to a dead run: `clean` ends and removes what is left.
//! Cgroups and interfaces can be seen where that folder is not: they are their run's as long as a
//! process of it has the lock open, wherever that is.

mod leftover;
mod living;
mod outside;
mod setting;
#[cfg(test)]
mod tests;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::Error;
use crate::cgroup::Hierarchies;
use leftover::Host;
pub use outside::OutsideFolder;
pub use setting::HostSetting;

/// The longest run identifier in bytes.
const RUN_ID_MAX: usize = 24;
/// How often a folder is made again that somebody's `clean` took away before its lock was held.
const TRIES: u32 = 8;

/// The folder of a living run. Dropping it removes the folder and the run's cgroups.
#[derive(Debug)]
pub struct RunState {
    host: Host,
    run_id: String,
    dir: PathBuf,
    /// Closed, and so unlocked, by the kernel however this process ends.
    _lock: File,
}

impl RunState {
    /// Makes the private folder of `run_id` and holds its lock.
    ///
    /// # Errors
    /// Where the folder exists already or the system refuses it, or the state root is somebody else's.
    pub fn create(run_id: &str) -> Result<RunState, Error> {
        RunState::create_on(host()?, run_id)
    }

    fn create_on(host: Host, run_id: &str) -> Result<RunState, Error> {
        let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if run_id.is_empty() || run_id.len() > RUN_ID_MAX || !run_id.bytes().all(is_allowed) {
            return Err(Error::Invalid(format!(
                "the run identifier {run_id:?} is not 1 to {RUN_ID_MAX} of a-z, 0-9 and -"
            )));
        }
        make_private(&host.root)?;
        let dir = host.root.join(run_id);
        for _ in 0..TRIES {
            DirBuilder::new()
                .mode(0o700)
                .create(&dir)
                .map_err(Error::system(format!("make the folder {}", dir.display())))?;
            if let Some(mut lock) = lock_own(&dir)? {
                // For `clean`, which tells by it a living run from one whose children are still dying.
                write!(lock, "{}", std::process::id())
                    .map_err(Error::system(format!("write {}", dir.join("lock").display())))?;
                return Ok(RunState { host, run_id: run_id.to_owned(), dir, _lock: lock });
            }
        }
        Err(Error::Invalid(format!(
            "{} was removed each time it was made: is `bench clean` in a loop?",
            dir.display()
        )))
    }

    /// The folder, mode 0700.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for RunState {
    fn drop(&mut self) {
        // Nobody is left to hear of a failure; `bench clean` finds what remains.
        let _ = self.host.remove_run(&self.run_id);
    }
}

/// Name of the source of mounts that processes of run `run_id` see in a mount namespace of theirs:
/// whoever sees it belongs to the run, and is ended with it.
pub(crate) fn mount_source(run_id: &str) -> String {
    format!("bench:{run_id}")
}

/// What [`clean`] did, in sentences.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Each thing removed.
    pub removed: Vec<String>,
    /// Each run that is seen here by its groups or interfaces only and was left alone, and why.
    pub left: Vec<String>,
}

/// Ends and removes what dead runs of this user have left. Living runs are not touched.
///
/// # Errors
/// The first thing that could not be removed; the others have been tried all the same.
pub fn clean() -> Result<Cleaned, Error> {
    host()?.clean()
}

fn host() -> Result<Host, Error> {
    let hierarchies = Hierarchies::of_host()?.roots().into_iter().map(Path::to_owned).collect();
    let has_interfaces = rustix::process::geteuid().is_root();
    let sees_all_processes = living::is_first_pid_namespace();
    Ok(Host { root: state_root(), hierarchies, has_interfaces, sees_all_processes })
}

fn state_root() -> PathBuf {
    let uid = rustix::process::geteuid();
    if uid.is_root() {
        return "/run/bench".into();
    }
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    match runtime {
        Some(folder) => folder.join("bench"),
        None => std::env::temp_dir().join(format!("bench-{}", uid.as_raw())),
    }
}

/// Makes the state root, or finds it made and ours alone.
fn make_private(root: &Path) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(root) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(Error::system(format!("make the folder {}", root.display()))(error))
        }
        _ => check_private(root),
    }
}

fn check_private(root: &Path) -> Result<(), Error> {
    let found = std::fs::symlink_metadata(root)
        .map_err(Error::system(format!("look at the folder {}", root.display())))?;
    let is_ours = found.uid() == rustix::process::geteuid().as_raw();
    if found.is_dir() && is_ours && found.mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "{} must be a folder of this user with mode 0700, but belongs to user {} with mode {:o} (remove it)",
        root.display(),
        found.uid(),
        found.mode() & 0o7777
    )))
}

/// The lock of a folder just made; `None` where a `clean` saw it unlocked and took it away.
fn lock_own(dir: &Path) -> Result<Option<File>, Error> {
    let Some(lock) = open_lock(dir)? else { return Ok(None) };
    let path = dir.join("lock");
    flock(&lock, FlockOperation::LockExclusive).map_err(Error::system(format!("lock {}", path.display())))?;
    let found = lock.metadata().map_err(Error::system(format!("look at {}", path.display())))?;
    Ok((found.nlink() > 0).then_some(lock))
}

/// The lock file, made where it is missing (close-on-exec, as all files of the standard library);
/// `None` where the folder is gone.
fn open_lock(dir: &Path) -> Result<Option<File>, Error> {
    let path = dir.join("lock");
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&path);
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::system(format!("open {}", path.display()))(error)),
    }
}
