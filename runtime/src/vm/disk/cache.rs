//! The folder of the cache in which disks are kept and made.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::lock::Lock;
use crate::vm::kept::{self, Bounds, Kept};

/// Disks that are kept: each build of the guest program makes another master of a system.
pub(super) const BOUNDS: Bounds = Bounds { count: 8, bytes: 4 << 30 };
/// What the names of disks end with.
const EXTENSIONS: [&str; 2] = ["qcow2", "ext4"];

/// The folder for disks below `cache_dir`, made where it is missing.
pub(super) fn folder(cache_dir: &Path) -> Result<PathBuf, Error> {
    let folder = cache_dir.join("disks");
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(Error::system(format!("make the folder {}", folder.display())))?;
    Ok(folder)
}

/// Waits for the lock of what is made there; held until it is dropped.
pub(super) fn lock(path: &Path) -> Result<Lock, Error> {
    loop {
        let file = File::options().write(true).create(true).truncate(false).open(path);
        let file = file.map_err(Error::system(format!("open {}", path.display())))?;
        let number = file.metadata().map_err(Error::system(format!("look at {}", path.display())))?.ino();
        let lock = Lock::of(file);
        lock.take().map_err(Error::system(format!("lock {}", path.display())))?;
        // Whoever had it may have removed it with what it was the lock of.
        if std::fs::metadata(path).is_ok_and(|found| found.ino() == number) {
            return Ok(lock);
        }
    }
}

/// Removes the disks not used for long, `newest` never. Who has one open keeps what it has: nobody opens
/// a disk by its name but under its lock.
pub(super) fn prune(folder: &Path, newest: &Path) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let disks = entries.filter(|path| {
        path.extension().is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known))
    });
    let disks = disks.map(|path| Kept::of(path.clone(), &path, std::slice::from_ref(&path)));
    kept::prune(disks, newest, &BOUNDS, |path| {
        let lock_path = path.with_extension("lock");
        let held = File::options().write(true).create(true).truncate(false).open(&lock_path).map(Lock::of);
        let is_nobodys = held.as_ref().is_ok_and(|lock| lock.try_take().unwrap_or(false));
        if !is_nobodys || std::fs::remove_file(path).is_err() {
            return false;
        }
        for path in [path.with_extension("length"), lock_path] {
            // Of no size; a disk that is made again writes them anew.
            let _ = std::fs::remove_file(path);
        }
        true
    });
}

/// A folder for what is between, removed with what is in it.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn new(path: PathBuf) -> Result<Scratch, Error> {
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).map_err(Error::system(format!("make the folder {}", path.display())))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is removed by who makes the next one.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
