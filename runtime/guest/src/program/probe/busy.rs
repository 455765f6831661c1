//! Small tasks: how long each takes, and a process that does nothing else.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use guest::probe::{Facts, Work};

use super::load::aside;
use super::net::loopback_up;
use super::{errno, facts, number};
use crate::program::clock::now_ns;
use crate::program::task::write;

/// About a millisecond of it: long enough to be interrupted by whoever wants the processor too.
const ROUNDS: u64 = 4_000_000;
/// More than one processor's own caches hold; six of them are more than the shared ones do, and fit a small machine.
const MEMORY_BYTES: usize = 8 << 20;
/// A cache line of x86.
const LINE_BYTES: usize = 64;
/// Of one datagram, and how many make a task.
const DATAGRAM_BYTES: usize = 1400;
const DATAGRAMS: u32 = 100;
/// What O_DIRECT wants in address and length (open(2)).
const BLOCK_BYTES: usize = 4096;
const BULK_BYTES: usize = 256 << 10;
/// A file is written over and over again rather than made large.
const FILE_BYTES: u64 = 16 << 20;

/// The time that tasks take, one after the other, on the wall's clock.
pub fn latency(of: Work, wall_ms: u32, inherited_file: bool) -> Facts {
    let mut task = match task(of, inherited_file) {
        Ok(task) => task,
        Err(error) => return facts([("errno", errno(&error))]),
    };
    let began = now_ns();
    let end = began + u64::from(wall_ms) * 1_000_000;
    let (mut took, mut before) = (Vec::new(), began);
    while before < end {
        if let Err(error) = task() {
            return facts([("errno", errno(&error))]);
        }
        let now = now_ns();
        took.push(now - before);
        before = now;
    }
    took.sort_unstable();
    let at = |share: usize| {
        took.get((took.len() * share / 1000).min(took.len().saturating_sub(1))).map_or(0, |ns| *ns as i64)
    };
    facts([
        ("errno", number(0)),
        ("count", number(took.len() as i64)),
        ("median_ns", number(at(500))),
        ("p90_ns", number(at(900))),
        ("p99_ns", number(at(990))),
        ("most_ns", number(at(1000))),
    ])
}

/// A process that does them until the end; the caller keeps its parent.
pub fn busy(name: &str, with: Work, inherited_file: bool) -> Facts {
    // What it cannot do it is told here, and not there.
    if let Err(error) = task(with, inherited_file).and_then(|mut task| task()) {
        return facts([("errno", errno(&error))]);
    }
    let kept = (with.is_on_storage() && inherited_file).then_some(write::FILE_FD);
    aside(name, kept, || {
        let mut task = task(with, inherited_file);
        move || match &mut task {
            Ok(task) => drop(task()),
            Err(_) => {
                // SAFETY: waits for a signal.
                unsafe { libc::pause() };
            }
        }
    })
}

type Task = Box<dyn FnMut() -> io::Result<()>>;

fn task(work: Work, inherited_file: bool) -> io::Result<Task> {
    Ok(match work {
        Work::Compute => Box::new(|| {
            for round in 0..ROUNDS {
                std::hint::black_box(round);
            }
            Ok(())
        }),
        Work::Memory => {
            let mut memory = vec![1u8; MEMORY_BYTES];
            Box::new(move || {
                for line in memory.chunks_exact_mut(LINE_BYTES) {
                    line[0] = std::hint::black_box(line[0].wrapping_add(1));
                }
                Ok(())
            })
        }
        Work::Loopback => {
            loopback_up();
            let socket = UdpSocket::bind(("127.0.0.1", 0))?;
            let itself = socket.local_addr()?;
            let mut datagram = [0x5a; DATAGRAM_BYTES];
            Box::new(move || {
                for _ in 0..DATAGRAMS {
                    socket.send_to(&datagram, itself)?;
                    socket.recv(&mut datagram)?;
                }
                Ok(())
            })
        }
        Work::Block => {
            let (file, mut block, mut at) = (storage(inherited_file)?, Aligned::new(BLOCK_BYTES), 0);
            Box::new(move || {
                at = (at + BLOCK_BYTES as u64) % FILE_BYTES;
                file.write_all_at(block.bytes(), at)?;
                file.sync_data()?;
                file.read_exact_at(block.bytes(), at)
            })
        }
        Work::Bulk => {
            let (file, mut piece, mut at) = (storage(inherited_file)?, Aligned::new(BULK_BYTES), 0);
            Box::new(move || {
                at = (at + BULK_BYTES as u64) % FILE_BYTES;
                file.write_all_at(piece.bytes(), at)?;
                file.sync_data()
            })
        }
    })
}

/// The file an instance is given, once more and for reading too (proc_pid_fd(5)): the first description stays.
fn storage(inherited_file: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_DIRECT);
    if inherited_file {
        return options.open(format!("/proc/self/fd/{}", write::FILE_FD));
    }
    let past = write::open(false)?;
    options.open(format!("/proc/self/fd/{}", past.as_raw_fd()))
}

/// Bytes at an address that O_DIRECT takes.
struct Aligned {
    bytes: Vec<u8>,
    length: usize,
}

impl Aligned {
    fn new(length: usize) -> Aligned {
        Aligned { bytes: vec![0x5a; length + BLOCK_BYTES], length }
    }

    fn bytes(&mut self) -> &mut [u8] {
        let start = self.bytes.as_ptr().align_offset(BLOCK_BYTES);
        &mut self.bytes[start..start + self.length]
    }
}
