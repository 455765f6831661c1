//! What a machine gets of its master: an overlay of its own over the shared disk, or the whole
//! disk once more.
//!
//! Both are files without a name: they end with the last process that has them open, whatever
//! ends it, so that not even a harness that was killed leaves one behind.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::SeekFrom;

use super::master::Master;
use super::qcow2;
use crate::Error;
use crate::vm::kept;
use crate::vm::options::CloneKind;

/// Bytes copied at once.
const PIECE_BYTES: usize = 1 << 20;
/// A file's blocks are counted in these (stat(2)), whatever the file system's own are.
const BLOCK_BYTES: u64 = 512;

/// The disk of one machine.
pub(in crate::vm) struct Cloned {
    file: File,
    /// The master below it; none where it is complete in itself.
    pub(in crate::vm) below: Option<File>,
    /// Bytes written to make it.
    pub(in crate::vm) made_bytes: u64,
}

impl Cloned {
    pub(in crate::vm) fn file(&self) -> &File {
        &self.file
    }

    /// Bytes it occupies on the host by now.
    pub(in crate::vm) fn occupied_bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.blocks() * BLOCK_BYTES)
    }
}

/// Makes the disk of one machine in `folder`.
///
/// # Errors
/// What the system said, as for a full disk.
pub(in crate::vm) fn clone(master: &Master, kind: CloneKind, folder: &Path) -> Result<Cloned, Error> {
    let refused = || {
        let what = match kind {
            CloneKind::Linked => "make an overlay over",
            CloneKind::Copy => "copy",
        };
        kept::refused(format!("{what} the master disk in {}", folder.display()))
    };
    let file = nameless(folder).map_err(refused())?;
    match kind {
        CloneKind::Linked => {
            let bytes = qcow2::overlay(master.disk_bytes, "master", master.format.name());
            file.write_all_at(&bytes, 0).map_err(refused())?;
            let below = Some(master.open()?);
            Ok(Cloned { file, below, made_bytes: bytes.len() as u64 })
        }
        CloneKind::Copy => {
            let made_bytes = copy(&master.open()?, &file).map_err(refused())?;
            Ok(Cloned { file, below: None, made_bytes })
        }
    }
}

/// A file that has lost its name already.
pub(in crate::vm) fn nameless(folder: &Path) -> io::Result<File> {
    std::fs::create_dir_all(folder)?;
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!("{}-{}-{number}", std::process::id(), crate::clock::now_ns()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// Copies what is not a hole, byte for byte through this program: sharing blocks with the master
/// (FICLONE) would make an overlay of the copy again. Returns the bytes copied.
fn copy(from: &File, to: &File) -> io::Result<u64> {
    let length = from.metadata()?.len();
    to.set_len(length)?;
    let mut piece = vec![0u8; PIECE_BYTES];
    let (mut at, mut copied) = (0, 0);
    while at < length {
        let begin = match rustix::fs::seek(from, SeekFrom::Data(at)) {
            Ok(begin) => begin,
            // Nothing but a hole from here on (lseek(2)).
            Err(rustix::io::Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = rustix::fs::seek(from, SeekFrom::Hole(begin))?;
        at = begin;
        while at < end {
            let wanted = PIECE_BYTES.min((end - at) as usize);
            let read = from.read_at(&mut piece[..wanted], at)?;
            if read == 0 {
                return Err(io::Error::other("the master has become shorter meanwhile"));
            }
            to.write_all_at(&piece[..read], at)?;
            at += read as u64;
            copied += read as u64;
        }
    }
    Ok(copied)
}
