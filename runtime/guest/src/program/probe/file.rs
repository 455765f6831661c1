//! Files and folders.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use guest::probe::{Fact, Facts, MAX_TEXT_BYTES};

use super::{errno, errno_of, facts, number, text};

/// Most names of a folder.
const MOST_NAMES: usize = 512;

/// Up to `most` bytes, without waiting for any.
pub fn read(path: &str, most: u32) -> Facts {
    let read = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).and_then(|file| {
        let mut bytes = Vec::new();
        file.take(u64::from(most).min(MAX_TEXT_BYTES as u64)).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    match read {
        Ok(bytes) => {
            facts([("errno", number(0)), ("bytes", number(bytes.len() as i64)), ("text", text(&bytes))])
        }
        Err(error) => facts([("errno", errno(&error))]),
    }
}

/// Lines with a word.
pub fn find_line(path: &str, word: &str, own: &str) -> Facts {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let mut reader = match file {
        Ok(file) => BufReader::new(file),
        Err(error) => return facts([("errno", errno(&error))]),
    };
    let (mut lines, mut found, mut has_own) = (0, 0, false);
    let (mut line, mut first) = (Vec::new(), Vec::new());
    let has = |line: &[u8], word: &str| {
        !word.is_empty() && line.windows(word.len()).any(|part| part == word.as_bytes())
    };
    loop {
        line.clear();
        match reader.read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) => lines += 1,
            Err(error) => return facts([("errno", errno(&error)), ("lines", number(lines))]),
        }
        has_own |= has(&line, own);
        if has(&line, word) {
            found += 1;
            if found == 1 {
                first.clone_from(&line);
            }
        }
    }
    let mut seen = facts([
        ("errno", number(0)),
        ("lines", number(lines)),
        ("found", number(found)),
        ("line", text(&first)),
    ]);
    if !own.is_empty() {
        seen.insert("own".into(), number(i64::from(has_own)));
    }
    seen
}

/// Opens for writing, writes nothing where the text is empty.
pub fn write(path: &str, text: &str) -> Facts {
    if std::fs::metadata(path).is_ok_and(|found| found.is_dir()) {
        // A folder is not opened for writing.
        let errno = number(writable(path));
        return facts([("open", errno.clone()), ("errno", errno)]);
    }
    match OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Err(error) => facts([("open", errno(&error)), ("errno", errno(&error))]),
        Ok(_) if text.is_empty() => facts([("open", number(0)), ("errno", number(0))]),
        Ok(mut file) => {
            let written = file.write_all(text.as_bytes());
            let written = written.map_or_else(|error| errno(&error), |()| number(0));
            facts([("open", number(0)), ("errno", written)])
        }
    }
}

/// access(2), which says EROFS where the mount is read-only, and does not mind that a file is being executed.
pub fn access(path: &str) -> Facts {
    facts([("errno", number(writable(path)))])
}

fn writable(path: &str) -> i64 {
    let path = std::ffi::CString::new(path).unwrap_or_default();
    // SAFETY: the path ends with NUL and lives through the call.
    errno_of(unsafe { libc::access(path.as_ptr(), libc::W_OK) }.into())
}

/// Names, sorted.
pub fn list(path: &str) -> Facts {
    match std::fs::read_dir(path) {
        Err(error) => facts([("errno", errno(&error))]),
        Ok(entries) => {
            let mut names: Vec<String> =
                entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
            names.sort();
            let count = names.len() as i64;
            names.truncate(MOST_NAMES);
            facts([("errno", number(0)), ("count", number(count)), ("names", Fact::List(names))])
        }
    }
}

/// What lstat(2) and readlink(2) say.
pub fn stat(path: &str) -> Facts {
    match std::fs::symlink_metadata(path) {
        Err(error) => facts([("errno", errno(&error))]),
        Ok(found) => {
            let mut seen = facts([
                ("errno", number(0)),
                ("inode", number(found.ino() as i64)),
                ("device", number(found.dev() as i64)),
                ("mode", number(i64::from(found.mode()))),
                ("uid", number(i64::from(found.uid()))),
                ("gid", number(i64::from(found.gid()))),
                ("bytes", number(found.size() as i64)),
            ]);
            if let Ok(link) = std::fs::read_link(path) {
                seen.insert("link".into(), text(link.to_string_lossy().as_bytes()));
            }
            seen
        }
    }
}

/// Makes a file: who owns it is for the host to see.
pub fn create(path: &str) -> Facts {
    match std::fs::write(path, "x") {
        Ok(()) => facts([("errno", number(0))]),
        Err(error) => facts([("errno", errno(&error))]),
    }
}
