//! Files of the kernel's interface: one value, or lines of key and value.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::path::Path;

use crate::Error;

/// Writes an existing file; cgroupfs takes a value in one write(2).
pub(super) fn write(path: &Path, value: &str) -> Result<(), Error> {
    try_write(path, value).map_err(Error::system(format!("write {value:?} to {}", path.display())))
}

pub(super) fn try_write(path: &Path, value: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(value.as_bytes())
}

/// Like [`write`]; `false` where the kernel has no such file.
pub(super) fn write_if_there(path: &Path, value: &str) -> Result<bool, Error> {
    match try_write(path, value) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::system(format!("write {value:?} to {}", path.display()))(error)),
    }
}

/// The text; `None` where the kernel has no such file.
pub(super) fn read(path: &Path) -> Result<Option<String>, Error> {
    let mut text = String::with_capacity(512);
    let read = std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text));
    match read {
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::system(format!("read {}", path.display()))(error)),
    }
}

/// A file of one number; `None` where it is absent or says `max`.
pub(super) fn number(path: &Path) -> Result<Option<u64>, Error> {
    Ok(read(path)?.and_then(|text| text.trim().parse().ok()))
}

/// The value of `key` in a flat keyed file (cgroup-v2.rst, "Format").
pub(super) fn value(text: &str, key: &str) -> Option<u64> {
    text.lines().filter_map(|line| line.split_once(' ')).find(|(name, _)| *name == key)?.1.trim().parse().ok()
}

/// How the kernel is told a limit: `max` on v2, -1 on v1 where there is none.
pub(super) fn limit(bytes: u64, none: &str) -> String {
    if bytes == super::UNLIMITED { none.to_owned() } else { bytes.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyed_files_are_read_by_whole_keys() {
        let text = "oom 1\noom_kill 2\noom_group_kill 3\n";
        assert_eq!(value(text, "oom"), Some(1));
        assert_eq!(value(text, "oom_kill"), Some(2));
        assert_eq!(value(text, "oom_"), None);
    }

    #[test]
    fn a_missing_file_is_not_made() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("memory.max");
        assert!(write(&path, "1").expect_err("refused").to_string().contains("memory.max"));
        assert!(!write_if_there(&path, "1").expect("absent"));
        assert_eq!(read(&path).expect("absent"), None);
        assert!(!path.exists());
    }
}
