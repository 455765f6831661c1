//! Removes a tree of any depth and any modes without following a link out of it.
//!
//! Subfolders are moved up before they are emptied, so that neither the stack nor the number of
//! open files grows with a depth an image chooses.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::name::os;
use super::tree::names;

static MOVED: AtomicU64 = AtomicU64::new(0);

/// Removes `name` in `folder`; its subfolders pass through `folder`. It may be gone already.
///
/// # Errors
/// What the system said.
pub(crate) fn discard(folder: &Path, name: &[u8]) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::open(folder, flags, Mode::empty())?;
    let mut left = vec![name.to_vec()];
    while let Some(name) = left.pop() {
        let kind = match rustix::fs::statat(&folder, os(&name), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => FileType::from_raw_mode(found.st_mode),
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(error.into()),
        };
        if kind != FileType::Directory {
            rustix::fs::unlinkat(&folder, os(&name), AtFlags::empty())?;
            continue;
        }
        rustix::fs::chmodat(&folder, os(&name), Mode::RWXU, AtFlags::empty())?;
        let opened = rustix::fs::openat(&folder, os(&name), flags, Mode::empty())?;
        for child in names(&opened)? {
            let found = rustix::fs::statat(&opened, os(&child), AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(found.st_mode) != FileType::Directory {
                rustix::fs::unlinkat(&opened, os(&child), AtFlags::empty())?;
                continue;
            }
            // Moving a folder rewrites its `..`, for which its owner needs to be able to write.
            rustix::fs::chmodat(&opened, os(&child), Mode::RWXU, AtFlags::empty())?;
            let moved = format!("moved-{}-{}", std::process::id(), MOVED.fetch_add(1, Ordering::Relaxed));
            rustix::fs::renameat(&opened, os(&child), &folder, &moved)?;
            left.push(moved.into_bytes());
        }
        rustix::fs::unlinkat(&folder, os(&name), AtFlags::REMOVEDIR)?;
    }
    Ok(())
}
