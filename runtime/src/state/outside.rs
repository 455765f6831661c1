//! A folder of a run that others may enter, which its private one is not.

use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// In a run's private folder; each holds the path of one.
const NOTES: [&str; 2] = ["outside", "outside-copies"];

/// A folder elsewhere. Dropping it removes it with all it has; a run that is killed leaves this to
/// `bench clean`.
#[derive(Debug)]
pub struct OutsideFolder {
    path: PathBuf,
    note: PathBuf,
}

impl OutsideFolder {
    /// In the host's place for temporary files, one that every user may enter and read: notes it in the
    /// run's folder `state_dir`, and makes it.
    ///
    /// # Errors
    /// What the system said; a run has one.
    pub fn make(state_dir: &Path, run_id: &str) -> io::Result<OutsideFolder> {
        let path = std::env::temp_dir().join(format!("bench-{run_id}"));
        OutsideFolder::noted(path, state_dir.join(NOTES[0]), 0o755)
    }

    /// For copies of an image: below `parent`, with `mode`.
    ///
    /// # Errors
    /// As [`OutsideFolder::make`].
    pub(crate) fn for_copies(
        state_dir: &Path,
        parent: &Path,
        run_id: &str,
        mode: u32,
    ) -> io::Result<OutsideFolder> {
        let path = parent.join(format!("bench-{run_id}-copies"));
        OutsideFolder::noted(path, state_dir.join(NOTES[1]), mode)
    }

    fn noted(path: PathBuf, note: PathBuf, mode: u32) -> io::Result<OutsideFolder> {
        let said = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        // In this order: what is not noted is not found again.
        fs::File::create_new(&note)?.write_all(path.as_os_str().as_bytes())?;
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        if let Err(error) = made {
            let _ = fs::remove_file(&note);
            return Err(said(error));
        }
        // Whatever is masked of what is made.
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(said)?;
        Ok(OutsideFolder { path, note })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for OutsideFolder {
    fn drop(&mut self) {
        if fs::remove_dir_all(&self.path).is_ok() {
            let _ = fs::remove_file(&self.note);
        }
        // Else the note stays, and `bench clean` tries again.
    }
}

/// Removes those of a dead run that are this user's; says each in a sentence.
///
/// # Errors
/// What the system said, with the path.
pub(super) fn remove(run_dir: &Path) -> io::Result<Vec<String>> {
    let mut sentences = Vec::new();
    for note in NOTES {
        let Ok(path) = fs::read(run_dir.join(note)) else { continue };
        let path = PathBuf::from(std::ffi::OsString::from_vec(path));
        let is_ours =
            |found: &fs::Metadata| found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
        if fs::symlink_metadata(&path).as_ref().is_ok_and(is_ours) {
            fs::remove_dir_all(&path)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
            sentences.push(format!("removed the folder {}", path.display()));
        }
    }
    Ok(sentences)
}
