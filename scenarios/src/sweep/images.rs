//! An image for each instance, and an empty page cache: the storage storm.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use runtime::image::Image;
use runtime::{Backend, Prepared, RunContext};

use crate::Error;

/// Copies of an image, each with files of its own on disk. Dropping it removes them.
pub(super) struct Copies {
    folder: PathBuf,
    images: Vec<Image>,
}

impl Copies {
    /// Makes `count` copies of `image` in the run's cache, where the image itself is stored too.
    ///
    /// # Errors
    /// What copying said, as for a full disk. What was copied is removed then.
    pub(super) fn make(image: &Image, count: u32, context: &RunContext) -> Result<Copies, Error> {
        let folder = context.cache_dir.join(format!("copies-{}", context.run_id));
        let mut copies = Copies { folder, images: Vec::new() };
        let Some(rootfs) = &image.rootfs else {
            return Err(Error::Plan { key: "images", problem: "this image has no files to copy".into() });
        };
        fs::create_dir_all(&copies.folder).map_err(Error::system("make the folder of copied images"))?;
        for number in 0..count {
            let copy = copies.folder.join(number.to_string());
            copy_tree(rootfs, &copy).map_err(Error::system("copy an image"))?;
            copies.images.push(Image { rootfs: Some(copy), ..image.clone() });
        }
        // Not on disk yet, they could not be dropped from the cache.
        rustix::fs::sync();
        Ok(copies)
    }

    /// `backend` prepared once for each copy.
    ///
    /// # Errors
    /// What the backend said.
    pub(super) fn prepare(
        &self,
        backend: &dyn Backend,
        context: &RunContext,
    ) -> Result<Vec<Arc<dyn Prepared>>, runtime::Error> {
        self.images.iter().map(|image| backend.prepare(context, image)).collect()
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// With owners, modes, times, links and attributes, and without sharing blocks: a copy that shares
/// them would be read once for all.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    let output = Command::new("cp").args(["-a", "--reflink=never", "-T"]).arg(from).arg(to).output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

/// Empties page cache, dentries and inodes (Documentation/admin-guide/sysctl/vm.rst, drop_caches).
/// What is dirty stays, so it is written first.
///
/// # Errors
/// What the system said.
pub(super) fn drop_caches() -> io::Result<()> {
    rustix::fs::sync();
    fs::write("/proc/sys/vm/drop_caches", "3")
}
