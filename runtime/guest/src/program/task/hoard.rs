//! Memory, in a child: who is killed for taking too much must not be who tells of it.

use guest::Message;

use super::pages::{PAGE_BYTES, Pages};
use super::tell;
use crate::program::channel::Channel;

/// Returns when the child has all of it or has ended: nobody else may wait for it meanwhile.
pub(super) fn run(channel: &Channel, bytes: u64) -> Result<(), String> {
    // More than there is may be asked for: who touches it finds out.
    let pages = Pages::with(bytes, libc::MAP_PRIVATE | libc::MAP_NORESERVE)?;
    let progress = Pages::with(PAGE_BYTES, libc::MAP_SHARED)?;
    // There before the child runs: a limit reached by touching it would be blamed on the child.
    progress.put(0, 0);
    let mut pipe = [0; 2];
    // SAFETY: two descriptors are written to the array.
    if unsafe { libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(format!("cannot make a pipe: {}", std::io::Error::last_os_error()));
    }
    // SAFETY: the program has one thread so far; the child only touches memory and makes system calls.
    let child = unsafe { libc::fork() };
    if child < 0 {
        return Err(format!("cannot make a process: {}", std::io::Error::last_os_error()));
    }
    if child == 0 {
        // SAFETY: acts on this process alone.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            libc::close(pipe[0]);
        }
        for page in 0..pages.count() {
            pages.touch(page);
            progress.put(0, (page + 1) * PAGE_BYTES);
        }
        // SAFETY: writes one byte of a constant; waits for signals.
        unsafe {
            libc::write(pipe[1], c"x".as_ptr().cast(), 1);
            loop {
                libc::pause();
            }
        }
    }
    // SAFETY: this process's own descriptor, used no more; its copy is the child's.
    unsafe { libc::close(pipe[1]) };
    let mut byte = 0u8;
    // SAFETY: one byte is read into a local. It comes when the child has all of it, or not at all:
    // then the child has ended and its end of the pipe is closed.
    let got = unsafe { libc::read(pipe[0], (&raw mut byte).cast(), 1) };
    let signal = if got == 1 { 0 } else { signal_of(child)? };
    tell(channel, "hoard_bytes", progress.get(0));
    tell(channel, "hoard_signal", signal);
    channel.send(&Message::Done { amount: progress.get(0) });
    Ok(())
}

/// The signal the child was killed by; 0: it ended by itself.
fn signal_of(child: i32) -> Result<u64, String> {
    let mut status = 0;
    // SAFETY: writes to the local status.
    let waited = unsafe { libc::waitpid(child, &mut status, 0) };
    if waited != child {
        let error = std::io::Error::last_os_error();
        return Err(format!("cannot learn how the child that took memory ended: {error}"));
    }
    Ok(if libc::WIFSIGNALED(status) { libc::WTERMSIG(status) as u64 } else { 0 })
}
