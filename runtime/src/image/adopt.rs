//! Begins a tree with everything another has: files by hard link, folders made anew.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};

use super::attribute;
use super::name::{self, os};
use super::refusal::Refusal;
use super::tree::{Tree, names};

const READ: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Fills the empty `tree` from `base`, which nobody changes meanwhile; gives the bytes its files
/// have on disk.
///
/// # Errors
/// What the system said.
pub(crate) fn adopt(tree: &mut Tree, base: &Path) -> Result<u64, Refusal> {
    let base =
        rustix::fs::open(base, READ, Mode::empty()).map_err(Refusal::system("open the layers below"))?;
    let mut used_bytes = 0;
    let mut left = vec![Vec::new()];
    while let Some(path) = left.pop() {
        let (from, to) = (below(&base, &path)?, tree.folder_at(&path)?);
        let found = rustix::fs::fstat(&from).map_err(Refusal::system("look at a folder below"))?;
        attribute::copy_folder(&from, &to, &found, tree.is_privileged())?;
        #[allow(clippy::unnecessary_cast, reason = "the types differ between architectures")]
        tree.remember(&path, found.st_mode & 0o7777, (found.st_mtime as i64, found.st_mtime_nsec as u32))?;
        for child in names(&from).map_err(Refusal::system("list a folder below"))? {
            let found = rustix::fs::statat(&from, os(&child), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(Refusal::system("look at a file below"))?;
            if is_folder(&found) {
                rustix::fs::mkdirat(&to, os(&child), Mode::RWXU).map_err(Refusal::system("make folder"))?;
                let mut path = path.clone();
                path.push(child);
                left.push(path);
            } else {
                rustix::fs::linkat(&from, os(&child), &to, os(&child), AtFlags::empty())
                    .map_err(Refusal::system("link to a file below"))?;
                used_bytes += u64::try_from(found.st_blocks).unwrap_or_default() * 512;
            }
        }
    }
    Ok(used_bytes)
}

fn below(base: &OwnedFd, path: &[Vec<u8>]) -> Result<OwnedFd, Refusal> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    rustix::fs::openat2(base, os(&name::join(path)), READ, Mode::empty(), resolve)
        .map_err(Refusal::system("open a folder below"))
}

fn is_folder(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::Directory
}
