//! A file that instances without a disk of their own are given to write to, past the page cache.

use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::Error;

/// Opens a fresh file in `folder` that has no name and goes with its last descriptor
/// (open(2), O_TMPFILE and O_DIRECT).
///
/// # Errors
/// Where the file system of `folder` has neither.
pub(crate) fn open(folder: &Path) -> Result<OwnedFd, Error> {
    std::fs::create_dir_all(folder).map_err(Error::system(format!("make {}", folder.display())))?;
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(libc::O_TMPFILE | libc::O_DIRECT).mode(0o600);
    let file = options.open(folder);
    let file =
        file.map_err(Error::system(format!("open a file past the page cache in {}", folder.display())))?;
    // Nobody finds it by a name; whoever is given it may open it once more, whatever ids are mapped to.
    file.set_permissions(std::fs::Permissions::from_mode(0o666))
        .map_err(Error::system("share a file past the page cache"))?;
    Ok(file.into())
}

/// The whole block device below `folder`, major and minor number: what limits of I/O are for.
///
/// # Errors
/// Where it lies on none, as in memory or across several.
pub fn device(folder: &Path) -> Result<(u32, u32), Error> {
    let found = std::fs::metadata(folder).map_err(Error::system(format!("look at {}", folder.display())))?;
    let (major, minor) = (rustix::fs::major(found.dev()), rustix::fs::minor(found.dev()));
    let entry = format!("/sys/dev/block/{major}:{minor}");
    let none = || Error::Invalid(format!("{} lies on no block device ({major}:{minor})", folder.display()));
    let entry = std::fs::canonicalize(entry).map_err(|_| none())?;
    if !entry.join("partition").exists() {
        return Ok((major, minor));
    }
    let whole = entry.parent().map(|parent| parent.join("dev")).ok_or_else(none)?;
    let text = std::fs::read_to_string(&whole).map_err(Error::system(format!("read {}", whole.display())))?;
    let (major, minor) = text.trim().split_once(':').ok_or_else(none)?;
    major.parse().ok().zip(minor.parse().ok()).ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_memory_lies_on_no_device() {
        let refused = device(Path::new("/proc")).expect_err("no device").to_string();
        assert!(refused.contains("no block device"), "{refused}");
        assert!(device(Path::new("/nowhere")).is_err());
    }
}
