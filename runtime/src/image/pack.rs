//! Makes a layer of a folder: the same bytes for the same files, in order of their names.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

use super::Error;

/// Writes everything in `folder` to `out`; other file systems mounted in it are left out.
///
/// # Errors
/// What could not be read, or what the system said.
pub(crate) fn pack(folder: &Path, out: impl Write) -> Result<(), Error> {
    let mut packer = Packer { root: folder, builder: Builder::new(out), links: HashMap::new() };
    let found = fs::symlink_metadata(folder).map_err(Error::io("read", folder))?;
    packer.folder(folder, &found, found.dev())?;
    packer.builder.into_inner().and_then(|mut out| out.flush()).map_err(Error::io("write layer of", folder))
}

struct Packer<'a, W: Write> {
    root: &'a Path,
    builder: Builder<W>,
    /// First name of every file with several.
    links: HashMap<(u64, u64), PathBuf>,
}

impl<W: Write> Packer<'_, W> {
    fn folder(&mut self, path: &Path, found: &fs::Metadata, device: u64) -> Result<(), Error> {
        self.entry(path, found)?;
        if found.dev() != device {
            return Ok(());
        }
        let mut children = fs::read_dir(path)
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>())
            .map_err(Error::io("list", path))?;
        children.sort();
        for child in children {
            let found = fs::symlink_metadata(&child).map_err(Error::io("read", &child))?;
            if found.is_dir() {
                self.folder(&child, &found, device)?;
            } else if !found.file_type().is_socket() {
                self.entry(&child, &found)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, found: &fs::Metadata) -> Result<(), Error> {
        let name = match path.strip_prefix(self.root) {
            Ok(below) if !below.as_os_str().is_empty() => below.to_path_buf(),
            _ => PathBuf::from("./"),
        };
        self.append(path, &name, found).map_err(Error::io("pack", path))
    }

    fn append(&mut self, path: &Path, name: &Path, found: &fs::Metadata) -> io::Result<()> {
        let kind = found.file_type();
        let mut header = Header::new_gnu();
        header.set_mode(found.mode() & 0o7777);
        header.set_uid(found.uid().into());
        header.set_gid(found.gid().into());
        header.set_mtime(u64::try_from(found.mtime()).unwrap_or(0));
        header.set_size(0);
        if found.nlink() > 1 && !kind.is_dir() {
            if let Some(first) = self.links.get(&(found.dev(), found.ino())) {
                header.set_entry_type(EntryType::Link);
                let first = first.clone();
                return self.builder.append_link(&mut header, name, first);
            }
            self.links.insert((found.dev(), found.ino()), name.to_path_buf());
        }
        self.extensions(path, found)?;
        if kind.is_file() {
            header.set_entry_type(EntryType::Regular);
            header.set_size(found.len());
            let exact = Exact { inner: File::open(path)?, left_bytes: found.len() };
            return self.builder.append_data(&mut header, name, exact);
        }
        if kind.is_symlink() {
            header.set_entry_type(EntryType::Symlink);
            return self.builder.append_link(&mut header, name, fs::read_link(path)?);
        }
        header.set_entry_type(match () {
            () if kind.is_dir() => EntryType::Directory,
            () if kind.is_fifo() => EntryType::Fifo,
            () if kind.is_char_device() => EntryType::Char,
            () => EntryType::Block,
        });
        if kind.is_char_device() || kind.is_block_device() {
            header.set_device_major(rustix::fs::major(found.rdev()))?;
            header.set_device_minor(rustix::fs::minor(found.rdev()))?;
        }
        self.builder.append_data(&mut header, name, io::empty())
    }

    fn extensions(&mut self, path: &Path, found: &fs::Metadata) -> io::Result<()> {
        let mut records = Vec::new();
        if found.mtime_nsec() != 0 && found.mtime() >= 0 {
            records.push((
                "mtime".to_owned(),
                format!("{}.{:09}", found.mtime(), found.mtime_nsec()).into_bytes(),
            ));
        }
        for (name, value) in attributes(path)? {
            records.push((format!("SCHILY.xattr.{name}"), value));
        }
        if records.is_empty() {
            return Ok(());
        }
        self.builder
            .append_pax_extensions(records.iter().map(|(key, value)| (key.as_str(), value.as_slice())))
    }
}

/// Extended attributes, sorted by name; none where the file system has no such thing.
fn attributes(path: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut list = vec![0; 64 << 10];
    let length = match rustix::fs::llistxattr(path, &mut list) {
        Ok(length) => length,
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut found = Vec::new();
    for name in list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 64 << 10];
        let length = rustix::fs::lgetxattr(path, std::ffi::OsStr::from_bytes(name), &mut value)?;
        value.truncate(length);
        let name = String::from_utf8(name.to_vec()).map_err(io::Error::other)?;
        found.push((name, value));
    }
    found.sort();
    Ok(found)
}

/// A file that must neither shrink nor grow while it is read.
struct Exact<R> {
    inner: R,
    left_bytes: u64,
}

impl<R: Read> Read for Exact<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = buffer.len().min(usize::try_from(self.left_bytes).unwrap_or(usize::MAX));
        let n = self.inner.read(&mut buffer[..want])?;
        if n == 0 && want > 0 {
            return Err(io::Error::other("shrank while it was read"));
        }
        self.left_bytes -= n as u64;
        Ok(n)
    }
}
