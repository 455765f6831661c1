//! What of the kernel's files is hidden from the inside, and what can only be read.

use std::path::{Path, PathBuf};

use super::mount::{self, Bind, FileSystem};
use super::place::{Links, Place};
use super::report::{Label, Labels, Report};
use super::setup::{MountAttributes, Reach, Setup};
use super::syscall::{Answer, Errno, raw};
use crate::Error;

/// Masked and read-only paths.
#[derive(Debug)]
pub(super) struct Hidden {
    masked: Vec<(Label, Place)>,
    read_only: Vec<(Label, Place)>,
    /// Covers a file: the host's own /dev/null, never the image's (CVE-2025-31133).
    null: Bind,
    /// Covers a folder.
    nothing: FileSystem,
}

impl Hidden {
    pub(super) fn new(setup: &Setup, labels: &mut Labels) -> Result<Hidden, Error> {
        let mut places = |paths: &[PathBuf], verb: &str| -> Result<Vec<(Label, Place)>, Error> {
            let place = |path: &PathBuf| {
                let label = labels.add(format!("{verb} {} inside", path.display()));
                Ok((label, Place::new(path, Links::Followed)?))
            };
            paths.iter().map(place).collect()
        };
        let quiet = MountAttributes {
            read_only: Some(true),
            nosuid: Some(true),
            nodev: Some(true),
            noexec: Some(true),
            ..MountAttributes::default()
        };
        let options = ["size=0k".to_owned(), "mode=0755".to_owned()];
        Ok(Hidden {
            read_only: places(&setup.read_only, "make read-only")?,
            masked: places(&setup.masked, "mask")?,
            null: Bind::new(Path::new("/dev/null"), Reach::One, MountAttributes::default())?,
            nothing: FileSystem::new("tmpfs", "none", &options, quiet)?,
        })
    }

    /// Hides, below `root`. What the kernel or the image does not have needs no hiding; anything
    /// else that fails, fails.
    ///
    /// # Safety
    /// In the child, before it has left the host's root.
    pub(super) unsafe fn apply(&self, root: usize, report: &Report) -> Answer<()> {
        // SAFETY: passed on; descriptors are this child's.
        unsafe {
            for (label, place) in &self.read_only {
                report.at(*label);
                let Some(target) = present(place.open(root))? else { continue };
                let tree = mount::copy(target, Reach::Tree)?;
                mount::make_read_only(tree, Reach::Tree)?;
                cover(tree, target)?;
            }
            // One file system for all folders: a second is slower to make than to copy the first's mount.
            let mut nothing = None;
            for (label, place) in &self.masked {
                report.at(*label);
                let Some(target) = present(place.open(root))? else { continue };
                match (mount::is_folder(target)?, nothing) {
                    (false, _) => cover(self.null.open()?, target)?,
                    (true, Some(tree)) => cover(mount::copy(tree, Reach::One)?, target)?,
                    (true, None) => {
                        let tree = self.nothing.make()?;
                        mount::attach(tree, target)?;
                        let _ = raw!(SYS_close, target);
                        nothing = Some(tree);
                    }
                }
            }
            if let Some(tree) = nothing {
                let _ = raw!(SYS_close, tree);
            }
        }
        Ok(())
    }
}

fn present(answer: Answer) -> Answer<Option<usize>> {
    match answer {
        Ok(file) => Ok(Some(file)),
        Err(Errno(libc::ENOENT | libc::ENOTDIR)) => Ok(None),
        Err(error) => Err(error),
    }
}

unsafe fn cover(tree: usize, target: usize) -> Answer<()> {
    // SAFETY: as in `apply`.
    unsafe {
        mount::attach(tree, target)?;
        let _ = raw!(SYS_close, tree);
        let _ = raw!(SYS_close, target);
    }
    Ok(())
}
