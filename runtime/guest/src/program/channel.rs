//! The way out: an inherited descriptor, a socket of the host, or an I/O port of the virtual machine.

use std::ffi::c_int;
use std::sync::Mutex;

use guest::Message;

use super::clock::now_ns;
use super::entry::Said;

/// Where messages go.
pub struct Channel {
    way: Way,
    /// Whether the clock is the host's.
    shares_clock: bool,
    // One message at a time, whichever thread sends it.
    turn: Mutex<()>,
}

enum Way {
    Descriptor(c_int),
    Port(u16),
}

impl Channel {
    /// The way over which `ready` was said.
    pub fn adopt(said: Said) -> Channel {
        let (way, shares_clock) = match said {
            Said::Descriptor(fd, shares_clock) => (Way::Descriptor(fd), shares_clock),
            Said::Port(port) => (Way::Port(port), false),
        };
        Channel { way, shares_clock, turn: Mutex::new(()) }
    }

    /// An I/O port, in hexadecimal.
    pub fn at_port(number: &str) -> Option<Channel> {
        let port = u16::from_str_radix(number, 16).ok()?;
        // SAFETY: asks for access to one port; nothing of this process's memory is touched.
        let granted = unsafe { libc::ioperm(port.into(), 1, 1) } == 0;
        granted.then(|| Channel::adopt(Said::Port(port)))
    }

    /// Whether this is the inside of a virtual machine, with a kernel and clock of its own.
    pub fn is_machine(&self) -> bool {
        matches!(self.way, Way::Port(_))
    }

    /// Says `ready`, with the time where the host's clock is shared.
    pub fn ready(&self) {
        let clock_ns = self.shares_clock.then(now_ns);
        self.send(&Message::Ready { clock_ns });
    }

    /// Sends a message. A host that no longer listens is no error: it will end this program.
    pub fn send(&self, message: &Message) {
        let bytes = message.encode();
        let _turn = self.turn.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match self.way {
            Way::Descriptor(fd) => write_all(fd, &bytes),
            Way::Port(port) => bytes.iter().for_each(|byte| out_byte(port, *byte)),
        }
    }
}

fn write_all(fd: c_int, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        // SAFETY: the buffer is valid for its length. MSG_NOSIGNAL: no SIGPIPE when the host is gone.
        let sent = unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
        if sent >= 0 {
            bytes = &bytes[sent as usize..];
            continue;
        }
        match std::io::Error::last_os_error().raw_os_error() {
            Some(libc::EINTR) => {}
            // Not a socket: a pipe or a file.
            Some(libc::ENOTSOCK) => {
                // SAFETY: as above.
                let written = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
                if written <= 0 {
                    return;
                }
                bytes = &bytes[written as usize..];
            }
            _ => return,
        }
    }
}

pub(super) fn out_byte(port: u16, byte: u8) {
    // SAFETY: ioperm(2) granted this port; the instruction touches no memory.
    unsafe {
        std::arch::asm!("out dx, al", in("dx") port, in("al") byte, options(nomem, nostack, preserves_flags))
    };
}
