//! Taking what there is: memory, processor time, processes.

use guest::probe::{Fact, Facts, MemoryKind};

use super::process::{pids, rename};
use super::{errno, errno_of, facts, last_errno, number};
use crate::program::clock::{now_ns, read_ns};
use crate::program::task::write;

/// Of x86-64.
const PAGE_BYTES: usize = 4096;
/// Memory that one page of the lowest page table maps.
const TABLE_BYTES: usize = 2 << 20;
/// A computing process that nobody has ended does so itself.
const LONGEST_S: u32 = 60;
/// More descriptors than this program ever has.
const MOST_OPEN: libc::c_int = 1024;

/// A child takes memory until it has all or is ended.
pub fn hog(kind: MemoryKind, bytes: u64) -> Facts {
    let Some(progress) = map(PAGE_BYTES, libc::MAP_SHARED) else { return failed() };
    let progress = progress.cast::<u64>();
    // SAFETY: the program has one thread; `progress` is a page that both share.
    unsafe {
        let child = libc::fork();
        if child < 0 {
            return failed();
        }
        if child == 0 {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            let taken = take(kind, bytes as usize, |touched| progress.write_volatile(touched as u64));
            libc::_exit(if taken.is_some() { 0 } else { last_errno() });
        }
        let mut status = 0;
        libc::waitpid(child, &mut status, 0);
        let signal = if libc::WIFSIGNALED(status) { libc::WTERMSIG(status) } else { 0 };
        let errno = if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 0 };
        facts([
            ("touched", number(progress.read_volatile() as i64)),
            ("signal", number(signal)),
            ("errno", number(errno)),
        ])
    }
}

/// Memory of this process, which the caller keeps.
pub fn keep(kind: MemoryKind, bytes: u64) -> Facts {
    match take(kind, bytes as usize, |_| ()) {
        Some(()) => facts([("errno", number(0)), ("touched", number(bytes as i64))]),
        None => failed(),
    }
}

fn take(kind: MemoryKind, bytes: usize, mut tell: impl FnMut(usize)) -> Option<()> {
    // One page in a table's reach takes a page for the table; reading maps the one page of zeros.
    let (length, step, pages) = match kind {
        MemoryKind::PageTables => {
            (bytes.checked_mul(TABLE_BYTES / PAGE_BYTES)?, TABLE_BYTES, libc::MAP_PRIVATE)
        }
        MemoryKind::Anonymous => (bytes, PAGE_BYTES, libc::MAP_PRIVATE),
        MemoryKind::Shared => (bytes, PAGE_BYTES, libc::MAP_SHARED),
    };
    let start = map(length, pages)?;
    for (count, offset) in (0..length).step_by(step).enumerate() {
        // SAFETY: within the mapping.
        unsafe {
            match kind {
                MemoryKind::PageTables => {
                    start.add(offset).read_volatile();
                }
                _ => start.add(offset).write_volatile(1),
            }
        }
        tell((count + 1) * PAGE_BYTES);
    }
    Some(())
}

/// Fresh memory without huge pages, which would take more than is asked for.
fn map(bytes: usize, kind: libc::c_int) -> Option<*mut u8> {
    let flags = libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | kind;
    // SAFETY: a fresh mapping.
    unsafe {
        let start = libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        if start == libc::MAP_FAILED {
            return None;
        }
        // A kernel without huge pages refuses; then there are none.
        libc::madvise(start, bytes, libc::MADV_NOHUGEPAGE);
        Some(start.cast())
    }
}

/// Computes for a while.
pub fn compute(wall_ms: u32) -> Facts {
    let (began, before) = (now_ns(), read_ns(libc::CLOCK_PROCESS_CPUTIME_ID));
    let end = began + u64::from(wall_ms) * 1_000_000;
    let mut now = began;
    while now < end {
        for round in 0..20_000u64 {
            std::hint::black_box(round);
        }
        now = now_ns();
    }
    facts([
        ("wall_ns", number((now - began) as i64)),
        ("cpu_ns", number((read_ns(libc::CLOCK_PROCESS_CPUTIME_ID) - before) as i64)),
    ])
}

/// To the descriptor the guest program speaks over, where it is one.
pub fn shout(text: &str, bytes: u64) -> Facts {
    const WAY_OUT: libc::c_int = 3;
    let mut said = 0;
    let piece = text.repeat((1 << 16) / text.len().max(1) + 1);
    while said < bytes {
        // SAFETY: the buffer is valid for its length.
        let sent = unsafe { libc::send(WAY_OUT, piece.as_ptr().cast(), piece.len(), libc::MSG_NOSIGNAL) };
        if sent < 0 {
            return facts([("errno", number(last_errno())), ("bytes", number(said as i64))]);
        }
        said += sent as u64;
    }
    facts([("errno", number(0)), ("bytes", number(said as i64))])
}

/// A process that computes on; the caller keeps its parent.
pub fn spinner(name: &str, is_orphan: bool) -> Facts {
    // SAFETY: the program has one thread; the children make system calls and compute.
    unsafe {
        let child = libc::fork();
        if child < 0 {
            return failed();
        }
        if child > 0 {
            if is_orphan {
                libc::waitpid(child, std::ptr::null_mut(), 0);
            }
            return facts([("errno", number(0))]);
        }
        if is_orphan {
            libc::setsid();
            if libc::fork() != 0 {
                libc::_exit(0);
            }
        } else {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        }
        stay(name, None);
        loop {
            std::hint::black_box(0);
        }
    }
}

/// A process that makes others, one after the other; the caller keeps its parent.
pub fn forker(name: &str) -> Facts {
    aside(name, None, || {
        || {
            // SAFETY: the program has one thread; the child only ends.
            unsafe {
                match libc::fork() {
                    0 => libc::_exit(0),
                    child => libc::waitpid(child, std::ptr::null_mut(), 0),
                };
            }
        }
    })
}

/// A child called `name` that does what `begin` says again and again, and ends with its parent. Of what it
/// inherits it keeps one descriptor at most.
pub(super) fn aside<W: FnMut()>(name: &str, kept: Option<libc::c_int>, begin: impl FnOnce() -> W) -> Facts {
    // SAFETY: the program has one thread.
    match unsafe { libc::fork() } {
        -1 => failed(),
        0 => {
            // SAFETY: acts on this process alone.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            stay(name, kept);
            let mut what = begin();
            loop {
                what();
            }
        }
        _ => facts([("errno", number(0))]),
    }
}

/// What a process does that stays: what it inherited would tell the outside that its instance still speaks.
pub(super) fn stay(name: &str, kept: Option<libc::c_int>) {
    // Up to what is kept, and from there on.
    let ranges = match kept {
        None => [(0, libc::c_int::MAX); 2],
        Some(kept) => [(0, kept - 1), (kept + 1, libc::c_int::MAX)],
    };
    // SAFETY: act on this process alone.
    unsafe {
        for (first, last) in ranges {
            if libc::syscall(libc::SYS_close_range, first, last, 0) != 0 {
                // A kernel without the call (before Linux 5.9, gVisor): all that may be open.
                (first..=last.min(MOST_OPEN)).for_each(drop_descriptor);
            }
        }
        rename(name);
        libc::alarm(LONGEST_S);
    }
}

fn drop_descriptor(descriptor: libc::c_int) {
    // SAFETY: of this process, which ends without using any.
    unsafe { libc::close(descriptor) };
}

/// As the task that does nothing else, in one go.
pub fn write_disk(bytes: u64, inherited_file: bool) -> Facts {
    let began = now_ns();
    let mut file = match write::open(inherited_file) {
        Ok(file) => file,
        Err(error) => return facts([("errno", errno(&error))]),
    };
    let written = write::pieces(&mut file, bytes, |_| ());
    let wall_ns = (now_ns() - began) as i64;
    match written {
        Ok(written) => {
            facts([("errno", number(0)), ("bytes", number(written as i64)), ("wall_ns", number(wall_ns))])
        }
        Err(error) => facts([("errno", errno(&error))]),
    }
}

/// Children until there are no more, all of which end here.
pub fn fork_bomb(most: u32) -> Facts {
    let mut children = Vec::with_capacity(most as usize);
    let mut end = 0;
    // SAFETY: the program has one thread; the children wait for their end.
    unsafe {
        while children.len() < most as usize {
            match libc::fork() {
                -1 => {
                    end = last_errno();
                    break;
                }
                0 => {
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                    libc::alarm(LONGEST_S);
                    loop {
                        libc::pause();
                    }
                }
                child => children.push(child),
            }
        }
    }
    let count = pids().len() as i64;
    for child in &children {
        // SAFETY: our own children, not yet waited for.
        unsafe {
            libc::kill(*child, libc::SIGKILL);
            libc::waitpid(*child, std::ptr::null_mut(), 0);
        }
    }
    facts([("made", number(children.len() as i64)), ("end", number(end)), ("count", number(count))])
}

/// sched_setaffinity(2) to each processor there may be, and sched_getcpu(3).
pub fn processors() -> Facts {
    let mut ran = Vec::new();
    for processor in 0..libc::CPU_SETSIZE as usize {
        // SAFETY: the set is plain data of its own size.
        unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(processor, &mut set);
            if libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) == 0
                && libc::sched_getcpu() == processor as libc::c_int
            {
                ran.push(processor.to_string());
            }
        }
    }
    facts([("count", number(ran.len() as i64)), ("processors", Fact::List(ran))])
}

fn failed() -> Facts {
    facts([("errno", number(errno_of(-1)))])
}
