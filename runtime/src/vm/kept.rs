//! What is kept in the cache for the next run: those not used for long go first.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::Error;
use crate::image::is_full;

/// What helps where there is no room.
const HELP: &str = "make room there, or keep the cache on another disk: XDG_CACHE_HOME";
/// Less than this is no room for a disk.
const ROOM_BYTES: u64 = 1 << 20;
/// A file's blocks are counted in these (stat(2)), whatever the file system's own are.
const BLOCK_BYTES: u64 = 512;

/// What may be kept of one kind.
pub(super) struct Bounds {
    pub(super) count: usize,
    /// Bytes occupied on the disk.
    pub(super) bytes: u64,
}

/// One that is kept.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kept {
    used: SystemTime,
    bytes: u64,
    path: PathBuf,
}

impl Kept {
    /// The one at `path`, which consists of `files` and was last used when `sign` was last written to
    /// ([`use_again`]); one without a sign was never used.
    pub(super) fn of(path: PathBuf, sign: &Path, files: &[PathBuf]) -> Kept {
        let used = std::fs::metadata(sign).and_then(|found| found.modified());
        let occupied =
            |file: &PathBuf| std::fs::metadata(file).map_or(0, |found| found.blocks() * BLOCK_BYTES);
        Kept { used: used.unwrap_or(SystemTime::UNIX_EPOCH), bytes: files.iter().map(occupied).sum(), path }
    }
}

/// For `map_err`: the system refused `action` on what is kept; where there is no room, with what helps.
pub(super) fn refused<E: Into<io::Error>>(action: impl Into<String>) -> impl FnOnce(E) -> Error {
    let action = action.into();
    move |error| {
        let error = error.into();
        let source =
            if is_full(&error) { io::Error::new(error.kind(), format!("{error} ({HELP})")) } else { error };
        Error::System { action, source }
    }
}

/// For `map_err` behind a tool that wrote to `folder`: they do not always say that there was no room.
pub(super) fn perhaps_full(folder: &Path) -> impl FnOnce(Error) -> Error {
    move |error| match (&error, rustix::fs::statvfs(folder)) {
        (Error::Invalid(what), Ok(found)) if found.f_bavail * found.f_frsize < ROOM_BYTES => {
            Error::Invalid(format!("{what}; no room is left in {} ({HELP})", folder.display()))
        }
        _ => error,
    }
}

/// A sign that something is in use, for those that look for what is not.
pub(super) fn use_again(sign: &Path) {
    // Without it the thing goes sooner than it should, and is made again.
    let _ = File::options().append(true).open(sign).and_then(|file| file.set_modified(SystemTime::now()));
}

/// Removes the least recently used beyond `bounds`, `newest` never. `remove` says whether one is gone:
/// what cannot be removed now is tried again next time.
pub(super) fn prune(
    kept: impl Iterator<Item = Kept>,
    newest: &Path,
    bounds: &Bounds,
    remove: impl Fn(&Path) -> bool,
) {
    let mut kept: Vec<Kept> = kept.collect();
    kept.sort();
    let mut bytes: u64 = kept.iter().map(|one| one.bytes).sum();
    let mut count = kept.len();
    for one in kept.iter().filter(|one| one.path != newest) {
        if count <= bounds.count && bytes <= bounds.bytes {
            return;
        }
        if remove(&one.path) {
            count -= 1;
            bytes = bytes.saturating_sub(one.bytes);
        }
    }
}
