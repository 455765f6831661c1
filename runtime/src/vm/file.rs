//! Files a machine is given by descriptor.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, memfd_create, open};

use crate::Error;

/// Opens `path` for a machine of any user: the file itself where everybody may read it, else a
/// sealed copy in memory (a path through a descriptor asks for the right to the file, not to the
/// folders in front of it: proc_pid_fd(5)).
///
/// # Errors
/// Where the file cannot be read.
pub(super) fn open_for_machine(path: &Path) -> Result<OwnedFd, Error> {
    let opened = || -> io::Result<OwnedFd> {
        let mut file = File::open(path)?;
        if file.metadata()?.mode() & 0o004 != 0 {
            return Ok(file.into());
        }
        sealed_copy(&mut file)
    };
    opened().map_err(Error::system(format!("open {}", path.display())))
}

fn sealed_copy(file: &mut File) -> io::Result<OwnedFd> {
    let mut copy = memory("file")?;
    io::copy(file, &mut copy)?;
    seal(copy)
}

/// `bytes` as a file in memory that nobody can change.
pub(super) fn sealed(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut memory = memory(name)?;
    memory.write_all(bytes)?;
    seal(memory)
}

/// A file in memory that can be sealed.
pub(super) fn memory(name: &str) -> io::Result<File> {
    Ok(memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?.into())
}

/// Nobody can change what is in the memory file from here on, whoever opens it, and for reading
/// and writing at that. The descriptor that comes back can only read.
pub(super) fn seal(memory: File) -> io::Result<OwnedFd> {
    fcntl_add_seals(&memory, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(open(path_of(memory.as_fd()), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

/// The path of an open file, for this program only.
pub(super) fn path_of(fd: BorrowedFd<'_>) -> PathBuf {
    format!("/proc/self/fd/{}", fd.as_raw_fd()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_others_may_not_read_is_given_as_a_copy_that_nobody_can_change() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("vmlinuz");
        std::fs::write(&path, "secret kernel").expect("written");
        for mode in [0o600, 0o644] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("mode");
            let fd = open_for_machine(&path).expect("opened");
            let again = format!("/proc/self/fd/{}", fd.as_raw_fd());
            assert_eq!(std::fs::metadata(&again).expect("there").mode() & 0o004, 0o004);
            let mut text = String::new();
            File::open(&again).expect("opened").read_to_string(&mut text).expect("read");
            assert_eq!(text, "secret kernel");
            if mode == 0o600 {
                let mut writable = File::options().write(true).open(&again).expect("opened");
                assert!(writable.write_all(b"x").is_err());
            }
        }
        assert!(open_for_machine(&folder.path().join("absent")).is_err());
    }
}
