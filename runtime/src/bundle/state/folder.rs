//! The folders of containers, and who may change them.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, fcntl_lock};

use super::{Record, Status};
use crate::Error;

/// How long a command waits for another one on the same container.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest name of a container in bytes.
const ID_MAX: usize = 255;

/// Where containers are kept.
#[derive(Clone, Debug)]
pub struct Root(PathBuf);

impl Root {
    /// The folder given, or else that of this user.
    pub fn new(folder: Option<&Path>) -> Root {
        Root(folder.map_or_else(Root::default_folder, Path::to_owned))
    }

    /// /run/bench-oci for root; else below $XDG_RUNTIME_DIR or the temporary folder.
    fn default_folder() -> PathBuf {
        let uid = rustix::process::geteuid();
        if uid.is_root() {
            return "/run/bench-oci".into();
        }
        let runtime =
            std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
        match runtime {
            Some(folder) => folder.join("bench-oci"),
            None => std::env::temp_dir().join(format!("bench-oci-{}", uid.as_raw())),
        }
    }

    /// Makes the folder of a new container and holds its lock.
    ///
    /// # Errors
    /// Where the name is none or taken, or the system refuses.
    pub fn create(&self, id: &str) -> Result<Folder, Error> {
        check_id(id)?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .map_err(Error::system(format!("make the folder {}", self.0.display())))?;
        let path = self.0.join(id);
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Error::Invalid(format!(
                    "the container {id:?} exists already in {}",
                    self.0.display()
                )));
            }
            made => made.map_err(Error::system(format!("make the folder {}", path.display())))?,
        }
        let folder = Folder { path, lock: None };
        folder.locked()
    }

    /// The folder of a container.
    ///
    /// # Errors
    /// Where the name is none, or there is no such container.
    pub fn find(&self, id: &str) -> Result<Folder, Error> {
        check_id(id)?;
        let path = self.0.join(id);
        match path.symlink_metadata() {
            Ok(found) if found.is_dir() => Ok(Folder { path, lock: None }),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::system(format!("look at {}", path.display()))(error))
            }
            // The words "does not exist" are what engines look for.
            _ => Err(Error::Invalid(format!("container {id:?} does not exist in {}", self.0.display()))),
        }
    }

    /// Names of all containers, in order.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn list(&self) -> Result<Vec<String>, Error> {
        let refused = || Error::system(format!("list the folder {}", self.0.display()));
        let entries = match std::fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(refused())?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(refused())?.file_name();
            names.extend(name.to_str().filter(|name| check_id(name).is_ok()).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }
}

/// The folder of one container.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    lock: Option<File>,
}

impl Folder {
    /// Waits until no other command changes the container, and keeps others from it until dropped.
    ///
    /// # Errors
    /// Where the other does not come to an end, or has removed the container.
    pub fn locked(mut self) -> Result<Folder, Error> {
        let path = self.path.join("lock");
        let gone = || Error::Invalid(format!("container {:?} does not exist any more", self.path.display()));
        let lock = match open_lock(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(gone()),
            lock => lock.map_err(Error::system(format!("open {}", path.display())))?,
        };
        let deadline = Instant::now() + LOCK_TIMEOUT;
        // A lock of the process, not of the open file: init, which is a copy of this program until
        // it executes, must not hold it (fcntl_locking(2)).
        while let Err(errno) = fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive) {
            if !matches!(errno, rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) {
                return Err(Error::system(format!("lock {}", path.display()))(errno));
            }
            if Instant::now() > deadline {
                let busy = "another command is at work on the container: try again";
                return Err(Error::Invalid(format!("{} is locked: {busy}", path.display())));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        // Locked, but was it removed meanwhile?
        if lock.metadata().is_ok_and(|found| found.nlink() == 0) {
            return Err(gone());
        }
        self.lock = Some(lock);
        Ok(self)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the record.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write(&self, record: &Record) -> Result<(), Error> {
        let path = self.path.join("state.json");
        let refused = || Error::system(format!("write {}", path.display()));
        let text = serde_json::to_vec(record).map_err(|error| refused()(io::Error::from(error)))?;
        let new = self.path.join("state.json.new");
        let mut file = private().write(true).create(true).truncate(true).open(&new).map_err(refused())?;
        file.write_all(&text).map_err(refused())?;
        std::fs::rename(&new, &path).map_err(refused())
    }

    /// The record; `None` where `create` was ended before it wrote one.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn read(&self) -> Result<Option<Record>, Error> {
        let path = self.path.join("state.json");
        match std::fs::read(&path) {
            Ok(text) => match serde_json::from_slice(&text) {
                Ok(record) => Ok(Some(record)),
                Err(error) => Err(Error::Invalid(format!("{} is no record: {error}", path.display()))),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::system(format!("read {}", path.display()))(error)),
        }
    }

    /// The status of the container with that record.
    pub fn status(&self, record: &Record) -> Status {
        if !record.is_created {
            return if self.is_changing() { Status::Creating } else { Status::Stopped };
        }
        if record.init.and_then(|init| init.alive()).is_none() {
            return Status::Stopped;
        }
        if self.open_gate().is_ok_and(|gate| gate.is_some()) { Status::Created } else { Status::Running }
    }

    /// Whether a command holds the lock; if it is this one, `true`.
    pub fn is_changing(&self) -> bool {
        self.lock.is_some() || is_held(&self.path.join("lock"))
    }

    /// The pipe at which init is to wait. It is open for writing too, so that there is no end to be read.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn make_gate(&self) -> Result<File, Error> {
        let path = self.path.join("gate");
        let action = format!("make the pipe {}", path.display());
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0)
            .map_err(Error::system(action.as_str()))?;
        private().read(true).write(true).open(&path).map_err(Error::system(action))
    }

    /// The pipe for writing; `None` where nobody waits at it.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn open_gate(&self) -> Result<Option<File>, Error> {
        let path = self.path.join("gate");
        // Without waiting: a pipe that nobody reads is refused then (fifo(7)).
        let opened =
            OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(&path);
        match opened {
            Ok(gate) => Ok(Some(gate)),
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::system(format!("open the pipe {}", path.display()))(error)),
        }
    }

    /// Removes the folder, once nothing else is left of the container.
    ///
    /// # Errors
    /// Where something in it cannot be removed.
    pub fn remove(self) -> Result<(), Error> {
        std::fs::remove_dir_all(&self.path)
            .map_err(Error::system(format!("remove the folder {}", self.path.display())))
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600).custom_flags(libc::O_NOFOLLOW);
    options
}

fn open_lock(path: &Path) -> io::Result<File> {
    private().write(true).create(true).truncate(false).open(path)
}

/// Whether another process holds the lock of the file.
fn is_held(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    // SAFETY: plain data for which all zeroes is valid: the whole file.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_RDLCK as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    // SAFETY: the structure lives through the call, which writes the holder's lock to it.
    let asked = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &mut lock) };
    asked == 0 && lock.l_type != libc::F_UNLCK as libc::c_short
}

/// A name is part of paths: a few harmless characters only.
fn check_id(id: &str) -> Result<(), Error> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
    if id.is_empty() || id.len() > ID_MAX || id == "." || id == ".." || !id.bytes().all(is_allowed) {
        return Err(Error::Invalid(format!(
            "the container name {id:?} is not 1 to {ID_MAX} of letters, digits and _ + - ."
        )));
    }
    Ok(())
}
