//! Processes.

use guest::Message;

use super::tell;
use crate::program::channel::Channel;

/// Makes processes that wait until there are `most`, or the kernel refuses one more.
pub(super) fn run(channel: &Channel, most: u32) {
    let (mut forked, mut errno) = (0, 0);
    while forked < most {
        // SAFETY: the program has one thread; the child only makes system calls.
        match unsafe { libc::fork() } {
            0 => {
                // SAFETY: acts on this process alone; it ends with its parent.
                unsafe {
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                    loop {
                        libc::pause();
                    }
                }
            }
            -1 => {
                errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
                break;
            }
            _ => forked += 1,
        }
    }
    tell(channel, "fork_errno", errno as u64);
    tell(channel, "forked", forked.into());
    channel.send(&Message::Done { amount: forked.into() });
}
