//! Bytes to storage, past the page cache: what is written is charged to who writes it, at once.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::fd::FromRawFd;
use std::os::unix::fs::OpenOptionsExt;

use guest::Message;

use super::tell;
use crate::program::channel::Channel;

/// Where an inherited file is found.
pub const FILE_FD: i32 = 4;
/// Where a machine with a disk of its own writes to.
const PATH: &str = "/var/tmp/bench-written";
/// One write. O_DIRECT wants address and length in whole blocks (open(2)).
const PIECE_BYTES: usize = 256 * 1024;
const BLOCK_BYTES: usize = 4096;
/// The file is written over and over again rather than made large.
const FILE_BYTES: u64 = 64 << 20;

pub(super) fn run(channel: &Channel, bytes: u64, inherited: bool) -> Result<(), String> {
    let mut file =
        open(inherited).map_err(|error| format!("cannot open a file past the page cache: {error}"))?;
    let written = pieces(&mut file, bytes, |written| tell(channel, "written_bytes", written))
        .map_err(|error| format!("cannot write past the page cache: {error}"))?;
    channel.send(&Message::Done { amount: written });
    Ok(())
}

/// What was inherited, or a file without a name where a machine has a disk.
pub fn open(inherited: bool) -> io::Result<File> {
    if inherited {
        // SAFETY: the plan says that descriptor 4 was passed for this purpose; nobody else owns it.
        return Ok(unsafe { File::from_raw_fd(FILE_FD) });
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).custom_flags(libc::O_DIRECT);
    let file = options.open(PATH)?;
    std::fs::remove_file(PATH)?;
    Ok(file)
}

/// Writes `bytes` in whole pieces, tells after each how much that was, and returns it.
pub fn pieces(file: &mut File, bytes: u64, mut tell: impl FnMut(u64)) -> io::Result<u64> {
    let mut buffer = vec![0x5a; PIECE_BYTES + BLOCK_BYTES];
    let start = buffer.as_ptr().align_offset(BLOCK_BYTES);
    let piece = buffer.get_mut(start..start + PIECE_BYTES).ok_or(io::ErrorKind::OutOfMemory)?;
    let mut written = 0;
    while written < bytes {
        if written % FILE_BYTES == 0 {
            file.rewind()?;
        }
        file.write_all(piece)?;
        written += PIECE_BYTES as u64;
        tell(written);
    }
    Ok(written)
}
