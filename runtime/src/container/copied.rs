//! The files of containers where the kernel mounts no overlay for them: a copy of the image for each.
//!
//! A copy is made by this program, as whom it runs: for an ordinary user all files become that user's, who is
//! root inside; where root makes it for a user, owners are those of the image as the ids are mapped. Times,
//! modes and hard links are the image's. Devices, sockets and extended attributes are left out.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, mknodat, utimensat};

use super::Compiled;
use super::behalf::User;
use super::setup::{IdMaps, IdRange, Root, RootSource, Setup};
use crate::state::OutsideFolder;
use crate::{Error, InstanceName, RunContext};

/// Where root makes them for a user, who may not search root's own folders (hier(7)).
const FOR_USERS: &str = "/var/tmp";

/// Copies of one image for the containers of a run.
pub(super) struct Copies {
    folder: OutsideFolder,
    image: PathBuf,
    setup: Setup,
    /// Root's: whom a copy is given to, and by which map its files.
    given: Option<(User, IdMaps)>,
    why: String,
}

impl Copies {
    /// Of `image`, for containers like `setup`; `why` there is no overlay.
    ///
    /// # Errors
    /// Where there is no place for them.
    pub(super) fn new(
        context: &RunContext,
        image: &Path,
        setup: Setup,
        user: Option<User>,
        why: String,
    ) -> Result<Copies, Error> {
        let (parent, mode) = match user {
            // Others may pass, and what is below is the user's alone.
            Some(_) => (Path::new(FOR_USERS), 0o711),
            None => (context.cache_dir.as_path(), 0o700),
        };
        let folder = fs::create_dir_all(parent)
            .and_then(|()| OutsideFolder::for_copies(&context.state_dir, parent, &context.run_id, mode));
        let folder = folder.map_err(Error::system(format!(
            "make a folder for copies of the image in {}",
            parent.display()
        )))?;
        let given = user.zip(setup.id_maps.clone());
        Ok(Copies { folder, image: image.to_owned(), setup, given, why })
    }

    /// In a sentence.
    pub(super) fn describe(&self) -> String {
        format!("copy of the image for each instance: {}", self.why)
    }

    /// Whose the files are, in a sentence.
    pub(super) fn owners(&self) -> &'static str {
        match self.given {
            Some(_) => "those of the image, as the ids are mapped",
            None => "root's inside, all of them: a user can give files to nobody else",
        }
    }

    /// The files of one container, and what it is with them.
    ///
    /// # Errors
    /// What the system said, as where there is no room; nothing is left then.
    pub(super) fn of_instance(&self, name: &InstanceName) -> Result<(Copied, Compiled), Error> {
        let copied = Copied(self.folder.path().join(name.to_string()));
        let root = copied.0.join("rootfs");
        let refused =
            || Error::system(format!("copy the image {} to {}", self.image.display(), root.display()));
        DirBuilder::new().mode(0o700).create(&copied.0).map_err(refused())?;
        let mut copying = Copying { maps: self.given.as_ref().map(|(_, maps)| maps), links: HashMap::new() };
        let whole = fs::symlink_metadata(&self.image)
            .and_then(|found| copying.copy(&self.image, &root, &found))
            .and_then(|()| match &self.given {
                // Last: until here nobody but root gets below it.
                Some((user, _)) => lchown(&copied.0, Some(user.uid), Some(user.gid)),
                None => Ok(()),
            });
        whole.map_err(refused())?;
        let source = RootSource::Folder(root);
        let root = Root { source, read_only: false, ..self.setup.root.clone() };
        let compiled = Compiled::new(&Setup { root, ..self.setup.clone() })?;
        Ok((copied, compiled))
    }
}

/// The files of one container. Dropping it removes them.
#[derive(Debug)]
pub(super) struct Copied(PathBuf);

impl Copied {
    /// Removes them.
    ///
    /// # Errors
    /// What the system said.
    pub(super) fn remove(self) -> Result<(), Error> {
        self.gone()
    }

    fn gone(&self) -> Result<(), Error> {
        // By descriptors below the first, so that no link of the container's leads elsewhere.
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::system(format!("remove the folder {}", self.0.display()))(error))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        // What stays goes with the folder of all copies.
        let _ = self.gone();
    }
}

struct Copying<'a> {
    /// Of owners; none where all is this program's user's.
    maps: Option<&'a IdMaps>,
    /// Files with several names, where the first of them is.
    links: HashMap<(u64, u64), PathBuf>,
}

impl Copying<'_> {
    fn copy(&mut self, from: &Path, to: &Path, found: &Metadata) -> io::Result<()> {
        let kind = found.file_type();
        if kind.is_dir() {
            DirBuilder::new().mode(0o700).create(to)?;
            for entry in fs::read_dir(from)? {
                let entry = entry?;
                self.copy(&entry.path(), &to.join(entry.file_name()), &entry.metadata()?)?;
            }
        } else if kind.is_symlink() {
            symlink(fs::read_link(from)?, to)?;
        } else if let Some(first) = self.links.get(&(found.dev(), found.ino())) {
            return fs::hard_link(first, to);
        } else if kind.is_file() {
            fs::copy(from, to)?;
            if found.nlink() > 1 {
                self.links.insert((found.dev(), found.ino()), to.to_owned());
            }
        } else if kind.is_fifo() {
            mknodat(CWD, to, FileType::Fifo, Mode::RWXU, 0)?;
        } else {
            return Ok(());
        }
        if let Some(maps) = self.maps {
            lchown(to, outside(&maps.uids, found.uid()), outside(&maps.gids, found.gid()))?;
        }
        if !kind.is_symlink() {
            // Behind the owner, whose change takes set-user-ID away (chown(2)).
            fs::set_permissions(to, Permissions::from_mode(found.mode() & 0o7777))?;
        }
        let time = |seconds, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
        let times = Timestamps {
            last_access: time(found.atime(), found.atime_nsec()),
            last_modification: time(found.mtime(), found.mtime_nsec()),
        };
        Ok(utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

/// The id outside that is `inside` in a container; none, and nobody's inside, where it is not mapped.
fn outside(ranges: &[IdRange], inside: u32) -> Option<u32> {
    let range = ranges.iter().find(|range| inside >= range.inside && inside - range.inside < range.count)?;
    Some(range.outside + (inside - range.inside))
}

/// Whether the system said that it does not mount such an overlay here, and not that something is missing or
/// full: before Linux 5.11 not in a user namespace (EPERM), where a module of security forbids it (EACCES),
/// without overlayfs (ENODEV), on file systems it does not take (EINVAL, EOPNOTSUPP).
pub(super) fn is_refusal(error: &io::Error) -> bool {
    let refusals = [libc::EPERM, libc::EACCES, libc::ENODEV, libc::EINVAL, libc::EOPNOTSUPP];
    error.raw_os_error().is_some_and(|errno| refusals.contains(&errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_outside_and_others_nobodys() {
        let ranges = [
            IdRange { inside: 0, outside: 1000, count: 1 },
            IdRange { inside: 1, outside: 100_000, count: 10 },
        ];
        assert_eq!(
            [0, 1, 10, 11].map(|id| outside(&ranges, id)),
            [Some(1000), Some(100_000), Some(100_009), None]
        );
    }

    #[test]
    fn a_copy_has_what_the_image_has() {
        let folder = tempfile::tempdir().expect("folder");
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("deep/er")).expect("made");
        fs::write(from.join("deep/file"), "text").expect("written");
        fs::set_permissions(from.join("deep/file"), Permissions::from_mode(0o4751)).expect("mode");
        fs::hard_link(from.join("deep/file"), from.join("again")).expect("linked");
        symlink("/nowhere", from.join("deep/er/link")).expect("linked");
        mknodat(CWD, from.join("pipe"), FileType::Fifo, Mode::RUSR, 0).expect("made");
        fs::set_permissions(from.join("deep"), Permissions::from_mode(0o1555)).expect("mode");
        let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        fs::File::open(from.join("deep")).and_then(|file| file.set_modified(long_ago)).expect("set");

        let found = fs::symlink_metadata(&from).expect("there");
        Copying { maps: None, links: HashMap::new() }.copy(&from, &to, &found).expect("copied");
        assert_eq!(fs::read_to_string(to.join("deep/file")).expect("read"), "text");
        let look = |name: &str| fs::symlink_metadata(to.join(name)).expect("there");
        assert_eq!((look("deep/file").mode() & 0o7777, look("deep").mode() & 0o7777), (0o4751, 0o1555));
        assert_eq!(look("deep/file").ino(), look("again").ino());
        assert_ne!(look("again").ino(), fs::metadata(from.join("again")).expect("there").ino());
        assert_eq!(look("deep").modified().expect("known"), long_ago);
        assert_eq!(fs::read_link(to.join("deep/er/link")).expect("a link"), Path::new("/nowhere"));
        assert!(look("pipe").file_type().is_fifo());
        fs::set_permissions(from.join("deep"), Permissions::from_mode(0o755)).expect("mode");
        fs::set_permissions(to.join("deep"), Permissions::from_mode(0o755)).expect("mode");
    }
}
