//! File systems filled without being mounted: mke2fs(8) copies a folder in, debugfs(8) adds what the
//! folder has not and must not get.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::tool::{DEBUGFS, MKE2FS, word};
use crate::Error;

/// Features every kernel of the last ten years and every GRUB reads (ext4(5)), whatever the
/// defaults of the tool's own configuration are.
const FEATURES: &str = "none,ext_attr,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,\
                        huge_file,dir_nlink,extra_isize,metadata_csum";
/// Bytes of a block and of an inode.
const BLOCK_BYTES: u64 = 4096;
const INODE_BYTES: u64 = 256;

/// A file system to be made.
pub(super) struct FileSystem<'a> {
    /// The file it is made in, and where in it.
    pub(super) file: &'a Path,
    pub(super) begin_bytes: u64,
    pub(super) bytes: u64,
    pub(super) uuid: &'a str,
    /// With a journal: for a system that writes.
    pub(super) has_journal: bool,
}

impl FileSystem<'_> {
    /// Makes it with the files of `folder`, owners and modes included.
    ///
    /// # Errors
    /// mke2fs's own.
    pub(super) fn fill(&self, folder: &Path) -> Result<(), Error> {
        let features = if self.has_journal { format!("{FEATURES},has_journal") } else { FEATURES.into() };
        // Complete: a lazy table would be written by every clone's kernel, and hash_seed and UUID are
        // all that is random about one.
        let extended = format!(
            "offset={},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0,nodiscard,hash_seed={}",
            self.begin_bytes, self.uuid
        );
        let size = format!("{}k", self.bytes / 1024);
        let (block, inode) = (BLOCK_BYTES.to_string(), INODE_BYTES.to_string());
        let (folder, file) = (word(folder), word(self.file));
        let words = [
            "-q", "-F", "-t", "ext4", "-b", &block, "-I", &inode, "-m", "0", "-O", &features, "-U",
            self.uuid, "-E", &extended, "-d", &folder, &file, &size,
        ];
        MKE2FS.run("fill a file system", &words).map(drop)
    }

    /// Adds files: owned by root, with the modes of their sources.
    ///
    /// # Errors
    /// debugfs's own.
    pub(super) fn add(&self, additions: &[Addition<'_>], scratch: &Path) -> Result<(), Error> {
        let script = scratch.join("additions");
        let text: String = additions.iter().map(Addition::commands).collect();
        std::fs::write(&script, text).map_err(Error::system(format!("write {}", script.display())))?;
        let target = format!("{}?offset={}", word(self.file), self.begin_bytes);
        let doing = "add files to a file system";
        DEBUGFS.run(doing, &["-w", "-f", &word(&script), &target])?;
        // debugfs goes on behind a command that failed and says so on a terminal only: look.
        for addition in additions {
            let path = addition.path();
            let found = DEBUGFS.run(doing, &["-R", &format!("stat {path}"), &target])?;
            if !found.contains("Inode:") {
                return Err(Error::Invalid(format!("cannot {doing}: {path} did not get there")));
            }
        }
        Ok(())
    }
}

/// Something to add. Its folder exists.
pub(super) enum Addition<'a> {
    Folder {
        path: &'a str,
    },
    /// Replaces what is there where `replaces`.
    File {
        folder: &'a str,
        name: &'a str,
        source: &'a Path,
        replaces: bool,
    },
    Link {
        path: &'a str,
        target: &'a str,
    },
}

impl Addition<'_> {
    fn commands(&self) -> String {
        match self {
            Addition::Folder { path } => format!("mkdir {path}\n"),
            Addition::File { folder, name, source, replaces } => {
                let remove = if *replaces { format!("rm {name}\n") } else { String::new() };
                format!("cd {folder}\n{remove}write {} {name}\ncd /\n", source.display())
            }
            Addition::Link { path, target } => format!("symlink {path} {target}\n"),
        }
    }

    fn path(&self) -> String {
        match self {
            Addition::Folder { path } | Addition::Link { path, .. } => (*path).into(),
            Addition::File { folder, name, .. } => format!("{}/{name}", folder.trim_end_matches('/')),
        }
    }
}

/// Bytes a file system needs for the files below `folder`, tables included, with nothing to spare.
///
/// # Errors
/// Where a folder cannot be read.
pub(super) fn needed_bytes(folder: &Path) -> Result<u64, Error> {
    let (mut blocks, mut inodes) = (0u64, 0u64);
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let refused = || Error::system(format!("read the image's {}", next.display()));
        for entry in std::fs::read_dir(&next).map_err(refused())? {
            let entry = entry.map_err(refused())?;
            let found = entry.metadata().map_err(refused())?;
            inodes += 1;
            blocks += found.size().div_ceil(BLOCK_BYTES).max(u64::from(found.is_dir()));
            if found.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    // mke2fs makes an inode for 16 KiB unless told otherwise; the blocks' bitmaps are a fraction.
    let data = blocks * BLOCK_BYTES + inodes * INODE_BYTES;
    Ok(data + data / 32)
}

/// A UUID (RFC 9562, section 5.8) from a digest in hexadecimal digits.
pub(super) fn uuid(hex: &str) -> String {
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or("00000000");
    format!("{}-{}-8{}-8{}-{}", part(0, 8), part(8, 12), part(12, 15), part(15, 18), part(18, 30))
}
