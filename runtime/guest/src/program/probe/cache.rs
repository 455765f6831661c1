//! What of a file is in the page cache (mincore(2)).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;

use guest::probe::Facts;

use super::{errno, facts, number};
use crate::program::task::write;

/// Of x86-64.
const PAGE_BYTES: usize = 4096;
static PIECE: [u8; 1 << 16] = [0x5a; 1 << 16];

/// Writes through it, and counts.
pub fn write(bytes: u64, inherited_file: bool) -> Facts {
    match through(bytes, inherited_file) {
        Ok(resident) => facts([
            ("errno", number(0)),
            ("bytes", number(bytes as i64)),
            ("resident", number(resident as i64)),
        ]),
        Err(error) => facts([("errno", errno(&error))]),
    }
}

fn through(bytes: u64, inherited_file: bool) -> io::Result<usize> {
    let past = write::open(inherited_file)?;
    // The same file once more, but not past the cache (proc_pid_fd(5)).
    let path = format!("/proc/self/fd/{}", past.as_raw_fd());
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut written = 0;
    while written < bytes {
        file.write_all(&PIECE)?;
        written += PIECE.len() as u64;
    }
    resident(&file, written as usize)
}

fn resident(file: &File, length: usize) -> io::Result<usize> {
    let mut pages = vec![0u8; length.div_ceil(PAGE_BYTES)];
    // SAFETY: a fresh mapping of a file that long, and a byte for each of its pages.
    let counted = unsafe {
        let start =
            libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0);
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        libc::mincore(start, length, pages.as_mut_ptr())
    };
    match counted {
        0 => Ok(pages.iter().filter(|page| **page & 1 == 1).count() * PAGE_BYTES),
        _ => Err(io::Error::last_os_error()),
    }
}
