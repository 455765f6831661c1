//! A setting of the host that a run may change, and that is put back whatever becomes of the run.

use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Folder within a run's private one; each file in it holds a path, a line break and the value it had.
pub(super) const FOLDER: &str = "settings";

/// A file of /sys or /proc with a value of ours in it. Dropping it writes the old value back; a run
/// that is killed leaves this to `bench clean`.
#[derive(Debug)]
pub struct HostSetting {
    path: PathBuf,
    before: Vec<u8>,
    note: PathBuf,
}

impl HostSetting {
    /// Remembers the value of `path` in the run's folder `state_dir` and writes `value`.
    ///
    /// # Errors
    /// What the system said, with the path; nothing is changed then.
    pub fn change(state_dir: &Path, path: &Path, value: &str) -> io::Result<HostSetting> {
        let said = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let before = fs::read(path).map_err(said)?;
        let folder = state_dir.join(FOLDER);
        fs::create_dir_all(&folder)?;
        let note = folder.join(crate::clock::now_ns().to_string());
        let mut text = path.as_os_str().as_bytes().to_vec();
        text.push(b'\n');
        text.extend_from_slice(&before);
        let mut file = fs::File::create_new(&note)?;
        file.write_all(&text)?;
        file.sync_all()?;
        let setting = HostSetting { path: path.to_owned(), before, note };
        setting.set(value).map_err(said)?;
        Ok(setting)
    }

    /// Writes another value; the one to be put back stays.
    ///
    /// # Errors
    /// What the system said.
    pub fn set(&self, value: &str) -> io::Result<()> {
        fs::write(&self.path, value)
    }
}

impl Drop for HostSetting {
    fn drop(&mut self) {
        if fs::write(&self.path, &self.before).is_ok() {
            let _ = fs::remove_file(&self.note);
        }
        // Else the note stays, and `bench clean` tries again.
    }
}

/// Puts back what a dead run has changed, the last change first. Says each in a sentence.
///
/// # Errors
/// What the system said, with the path.
pub(super) fn put_back(run_dir: &Path) -> io::Result<Vec<String>> {
    let folder = run_dir.join(FOLDER);
    let Ok(entries) = fs::read_dir(&folder) else { return Ok(Vec::new()) };
    let mut notes: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    notes.sort_by_key(|note| {
        std::cmp::Reverse(note.file_name().and_then(|name| name.to_str()?.parse::<u64>().ok()))
    });
    let mut sentences = Vec::new();
    for note in notes {
        let text = fs::read(&note)?;
        // Without a line break the run was killed before it changed anything.
        if let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let path = PathBuf::from(std::ffi::OsString::from_vec(text[..end].to_vec()));
            fs::write(&path, &text[end + 1..])
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
            sentences.push(format!("put back {}", path.display()));
        }
        fs::remove_file(&note)?;
    }
    Ok(sentences)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_put_back_when_dropped_and_after_a_crash() {
        let dir = tempfile::tempdir().expect("folder");
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        fs::write(&one, "1\n").expect("written");
        fs::write(&two, "2\n").expect("written");
        let read = |path: &Path| fs::read_to_string(path).expect("readable");
        let setting = HostSetting::change(dir.path(), &one, "0").expect("changed");
        setting.set("9").expect("set");
        assert_eq!(read(&one), "9");
        drop(setting);
        assert_eq!(read(&one), "1\n");
        assert!(put_back(dir.path()).expect("nothing").is_empty());

        // Killed: nothing is dropped. The same file was changed twice.
        std::mem::forget(HostSetting::change(dir.path(), &two, "5").expect("changed"));
        std::mem::forget(HostSetting::change(dir.path(), &two, "6").expect("changed"));
        assert_eq!(put_back(dir.path()).expect("put back").len(), 2);
        assert_eq!(read(&two), "2\n");
        assert!(HostSetting::change(dir.path(), &dir.path().join("none"), "1").is_err());
    }
}
