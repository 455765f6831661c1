//! The disk all machines of a run begin with.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::build::{RECIPE, build};
use super::cache::{self, Scratch, lock};
use super::format::DiskFormat;
use super::tool::{QEMU_IMG, word};
use super::whole;
use crate::Error;
use crate::image::Image;
use crate::vm::{file, kept};

/// A disk that machines get clones of; never written to.
#[derive(Clone, Debug)]
pub(in crate::vm) struct Master {
    /// Where it was found. It may be gone by now: it is opened by its descriptor.
    pub(in crate::vm) path: PathBuf,
    file: Arc<File>,
    pub(in crate::vm) format: DiskFormat,
    /// Size of the disk as a machine sees it.
    pub(in crate::vm) disk_bytes: u64,
    /// Size of the file.
    pub(in crate::vm) file_bytes: u64,
    /// How long it took to make; none where it was there.
    pub(in crate::vm) made_in: Option<Duration>,
}

impl Master {
    /// The master of `image` in the cache, made where it is missing. Of several programs at once
    /// one makes it and the others wait.
    ///
    /// # Errors
    /// An image that is no operating system, a missing tool, a full disk.
    pub(in crate::vm) fn of_image(image: &Image, cache_dir: &Path) -> Result<Master, Error> {
        let rootfs = image.rootfs.as_ref().ok_or_else(|| Error::Missing {
            what: "the built-in image is no operating system that could boot from a disk".into(),
            fix: Some("give --image one with a kernel and systemd, or --disk".into()),
        })?;
        let folder = cache::folder(cache_dir)?;
        let name = name(&image.digest);
        let path = folder.join(format!("{name}.qcow2"));
        let _lock = lock(&folder.join(format!("{name}.lock")))?;
        if let Ok(master) = Master::open_whole(&path) {
            kept::use_again(&path);
            return Ok(master);
        }
        let began = Instant::now();
        // Whoever has the lock is alone: what lies here was left by one that was killed.
        let scratch = Scratch::new(folder.join(format!("{name}.making")))?;
        let made = scratch.0.join("master");
        build(rootfs, &name, &scratch.0, &made).map_err(kept::perhaps_full(&folder))?;
        let file = File::open(&made).map_err(Error::system(format!("open {}", made.display())))?;
        file.sync_all()
            .and_then(|()| std::fs::write(length_path(&path), file.metadata()?.len().to_string()))
            .and_then(|()| std::fs::rename(&made, &path))
            .map_err(kept::refused(format!("write {}", path.display())))?;
        let made_in = Some(began.elapsed());
        cache::prune(&folder, &path);
        Ok(Master { made_in, ..Master::open_whole(&path)? })
    }

    /// A disk the user brings.
    ///
    /// # Errors
    /// Where it cannot be read or needs another file.
    pub(in crate::vm) fn of_file(path: &Path) -> Result<Master, Error> {
        let refused = || Error::system(format!("read the disk {}", path.display()));
        let mut file = File::open(path).map_err(refused())?;
        let file_bytes = file.metadata().map_err(refused())?.len();
        let mut head = [0u8; 512];
        let read = read_up_to(&mut file, &mut head).map_err(refused())?;
        let format = DiskFormat::of_head(&head[..read]);
        let disk_bytes = if format == DiskFormat::Qcow2 && read >= 32 {
            let number =
                |at: usize| head[at..at + 8].iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
            if number(8) != 0 {
                return Err(Error::Invalid(format!(
                    "{} is itself an overlay of another disk (make it whole: qemu-img convert -O qcow2)",
                    path.display()
                )));
            }
            number(24)
        } else if format == DiskFormat::Raw {
            file_bytes
        } else {
            size_in_machine(path, format)?
        };
        let reaches = match format {
            DiskFormat::Raw => whole::raw_reaches(&file),
            DiskFormat::Qcow2 => whole::qcow2_reaches(&file),
            // Their size was told by qemu-img(1), which reads their tables.
            _ => Ok(0),
        };
        let end_is_missing = |what: String| {
            Error::Invalid(format!(
                "the disk {} is cut off: {what}, and the file ends at {file_bytes} (bring the whole of it)",
                path.display()
            ))
        };
        match reaches {
            Ok(reaches) if reaches > file_bytes || (format == DiskFormat::Qcow2 && reaches == file_bytes) => {
                return Err(end_is_missing(format!("it has something at byte {reaches}")));
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(end_is_missing("its own tables are beyond its end".into()));
            }
            other => other.map_err(refused())?,
        };
        if disk_bytes == 0 {
            return Err(Error::Invalid(format!("the disk {} is empty", path.display())));
        }
        let (path, file) = (path.to_owned(), Arc::new(file));
        Ok(Master { path, file, format, disk_bytes, file_bytes, made_in: None })
    }

    /// Of the cache: also as long as it was when it was made.
    fn open_whole(path: &Path) -> Result<Master, Error> {
        let master = Master::of_file(path)?;
        let length = std::fs::read_to_string(length_path(path)).unwrap_or_default();
        if length != master.file_bytes.to_string() {
            return Err(Error::Invalid(format!("{} is not as it was made", path.display())));
        }
        Ok(master)
    }

    /// Opens it for reading, with a position of its own.
    ///
    /// # Errors
    /// What the system said.
    pub(in crate::vm) fn open(&self) -> Result<File, Error> {
        File::open(file::path_of(self.file.as_fd()))
            .map_err(Error::system(format!("open the disk {}", self.path.display())))
    }
}

/// Bytes of a disk as a machine sees it, by qemu-img(1).
pub(super) fn size_in_machine(path: &Path, format: DiskFormat) -> Result<u64, Error> {
    let words = ["info", "--output=json", "-f", format.name(), &word(path)];
    let text = QEMU_IMG.run("look at the disk", &words)?;
    let said: Option<serde_json::Value> = serde_json::from_str(&text).ok();
    said.as_ref().and_then(|said| said["virtual-size"].as_u64()).ok_or_else(|| {
        Error::Invalid(format!("qemu-img does not tell the size of the disk {}", path.display()))
    })
}

/// Hexadecimal digits of everything the disk is made of.
fn name(image_digest: &str) -> String {
    let mut all = Sha256::new();
    all.update(image_digest.as_bytes());
    all.update([0]);
    all.update(RECIPE.as_bytes());
    all.update(Sha256::digest(crate::guest_program_bytes()));
    format!("{:x}", all.finalize())
}

fn length_path(path: &Path) -> PathBuf {
    path.with_extension("length")
}

fn read_up_to(file: &mut File, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read(&mut bytes[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}
