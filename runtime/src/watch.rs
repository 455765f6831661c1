//! The stamper: one thread, blocked on all descriptors of all instances, that stamps what arrives
//! before anybody else gets to see it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use crate::event::EventSink;

/// Called on the stamper thread with a line's time in nanoseconds and the line; must not block.
pub type OnLine = Box<dyn FnMut(u64, &[u8]) + Send>;

/// What is to be read from a descriptor.
pub enum Source {
    /// The guest's protocol. Messages become events, other text becomes [`crate::Event::Log`].
    Channel(OwnedFd),
    /// A pidfd: readable when the process has ended (pidfd_open(2)). The process is reaped with
    /// waitid(P_PIDFD) by the stamper, which sends [`crate::Event::Exited`].
    Exit(OwnedFd),
    /// Lines of the firmware's debug port: `marks` pairs a text with the phase that begins with it.
    Firmware {
        /// The descriptor.
        fd: OwnedFd,
        /// Text that begins a phase, and the phase.
        marks: &'static [(&'static str, &'static str)],
    },
    /// Any other lines, as of QEMU's monitor: each is handed on with its time.
    Lines {
        /// The descriptor, read side.
        fd: OwnedFd,
        /// What to do with a line.
        on_line: OnLine,
    },
}

/// The stamper thread.
pub struct Watch {
    _private: (),
}

impl Watch {
    /// Starts the stamper thread, with real-time priority where the system allows.
    ///
    /// # Errors
    /// Where epoll or the thread cannot be made.
    pub fn start() -> io::Result<Watch> {
        Ok(Watch { _private: () })
    }

    /// Reads `source` until it ends and reports to `events`.
    ///
    /// # Errors
    /// Where the descriptor cannot be watched.
    pub fn add(&self, _source: Source, _events: EventSink) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Connects to `address`, makes one HTTP request and reports [`crate::Event::Serving`] when
    /// its answer has begun to arrive, or [`crate::Event::Failed`].
    ///
    /// # Errors
    /// Where the socket cannot be made.
    pub fn request(&self, _address: SocketAddr, _events: EventSink) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Whether the stamper got real-time priority, and what the system said if not.
    pub fn realtime(&self) -> Result<(), String> {
        Err("not started".into())
    }
}
