//! The folder of the cache in which disks are kept and made.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::lock::Lock;

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
    let file = File::options().write(true).create(true).truncate(false).open(path);
    let lock = Lock::of(file.map_err(Error::system(format!("open {}", path.display())))?);
    lock.take().map_err(Error::system(format!("lock {}", path.display())))?;
    Ok(lock)
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
