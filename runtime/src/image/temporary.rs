//! What is unfinished has a name nobody looks for, and goes away unless it is given its own.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Error;
use super::discard::discard;

/// Something unfinished.
pub(crate) struct Temporary {
    pub(crate) path: PathBuf,
}

impl Temporary {
    /// Nothing is made yet.
    pub(crate) fn at(path: PathBuf) -> Temporary {
        Temporary { path }
    }

    /// Makes it a file.
    pub(crate) fn create(&self) -> Result<File, Error> {
        let created = OpenOptions::new().create_new(true).read(true).write(true).mode(0o600).open(&self.path);
        created.map_err(Error::io("create", &self.path))
    }

    /// Makes it a folder.
    pub(crate) fn create_folder(&self) -> Result<(), Error> {
        fs::DirBuilder::new().mode(0o700).create(&self.path).map_err(Error::io("make folder", &self.path))
    }

    /// Gives the finished file its name, replacing an equal one.
    pub(crate) fn publish(self, file: &File, path: &Path) -> Result<(), Error> {
        file.sync_data().map_err(Error::io("write", &self.path))?;
        fs::rename(&self.path, path).map_err(Error::io("rename to", path))
    }

    /// Removes it now and says so if that fails.
    pub(crate) fn remove(self) -> Result<(), Error> {
        self.discard().map_err(Error::io("remove", &self.path))
    }

    fn discard(&self) -> io::Result<()> {
        match (self.path.parent(), self.path.file_name()) {
            (Some(folder), Some(name)) => discard(folder, name.as_encoded_bytes()),
            _ => Ok(()),
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Best effort: what stays is swept by the next process that opens the store.
        let _ = self.discard();
    }
}
