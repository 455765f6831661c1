//! The embedded guest program.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, memfd_create, open};

use crate::Error;

/// Lowest number of the program's descriptor.
const ASIDE: i32 = 64;

/// The static ELF program that runs inside every instance.
pub fn guest_program_bytes() -> &'static [u8] {
    include_bytes!(env!("GUEST_PROGRAM"))
}

/// The guest program as a sealed file in memory, made once, for execveat(2). Sealed, so that
/// nothing it is executed as can change what the next instance executes (CVE-2019-5736).
///
/// # Errors
/// Where the system refuses the memory file.
pub fn guest_program() -> Result<BorrowedFd<'static>, Error> {
    static PROGRAM: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(program) = PROGRAM.get() {
        return Ok(program.as_fd());
    }
    let made = seal(guest_program_bytes())
        .map_err(Error::system("make a sealed memory file for the guest program"))?;
    Ok(PROGRAM.get_or_init(|| made).as_fd())
}

/// The same without seals: the control of the check that looks for them.
///
/// # Errors
/// As [`guest_program`].
pub(crate) fn unsealed_guest_program() -> Result<BorrowedFd<'static>, Error> {
    static PROGRAM: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(program) = PROGRAM.get() {
        return Ok(program.as_fd());
    }
    let made = in_memory(guest_program_bytes(), SealFlags::empty())
        .map_err(Error::system("make a memory file for the guest program"))?;
    Ok(PROGRAM.get_or_init(|| made).as_fd())
}

fn seal(bytes: &[u8]) -> std::io::Result<OwnedFd> {
    in_memory(bytes, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)
}

fn in_memory(bytes: &[u8], seals: SealFlags) -> std::io::Result<OwnedFd> {
    let writable = memfd_create("guest", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut writable = File::from(writable);
    writable.write_all(bytes)?;
    fcntl_add_seals(&writable, seals)?;
    // A file open for writing cannot be executed (ETXTBSY), so a second, read-only description is kept.
    let path = format!("/proc/self/fd/{}", writable.as_raw_fd());
    let program = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    // Out of the way of the numbers that children give their own descriptors before they execute it.
    crate::descriptor::copy_above(program, ASIDE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_a_static_elf_and_cannot_be_written() {
        let bytes = guest_program_bytes();
        assert_eq!(&bytes[..4], b"\x7fELF");
        assert!(!bytes.windows(8).any(|window| window == b"/lib64/l"), "names a dynamic loader");
        let program = guest_program().expect("sealed");
        assert!(rustix::io::write(program, b"x").is_err());
        let again = format!("/proc/self/fd/{}", program.as_raw_fd());
        assert!(File::options().write(true).open(again).and_then(|mut file| file.write_all(b"x")).is_err());
    }
}
