//! What the stamper reads, and how it becomes events.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use guest::{Decoded, Decoder, Message};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::Next;
use super::clock::GuestClock;
use crate::Exit;
use crate::event::{Event, EventSink};

/// Most bytes of log that are passed on from one source; the rest is counted and dropped.
pub(super) const LOG_BYTES: usize = 1024 * 1024;
/// SeaBIOS's last words where no disk has a boot loader.
const NOTHING_TO_BOOT: &[u8] = b"No bootable device.";
/// Bytes read at once, and how often at most before other descriptors get their turn.
pub(super) const READ_BYTES: usize = 64 * 1024;
const READS: usize = 16;

/// Called on the stamper thread with a line's time in nanoseconds and the line; must not block.
pub type OnLine = Box<dyn FnMut(u64, &[u8]) + Send>;

/// What is to be read from a descriptor.
pub enum Source {
    /// The guest's protocol. Messages become events, other text becomes [`crate::Event::Log`].
    Channel(OwnedFd),
    /// A listening socket, of which the first connection becomes a [`Source::Channel`]. Whoever gives
    /// up waiting for it connects to it and hangs up.
    Listener(OwnedFd),
    /// A pidfd: readable when the process has ended (pidfd_open(2)). The process is reaped with
    /// waitid(P_PIDFD), and [`crate::Event::Exited`] sent with the time at which the stamper saw it.
    Exit(OwnedFd),
    /// Lines of the firmware's debug port: `marks` pairs a text with the phase that begins with it,
    /// in the order in which they come.
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

pub(super) struct Reader {
    fd: OwnedFd,
    kind: Kind,
}

/// What has been told of one guest.
#[derive(Default)]
struct Told {
    clock: GuestClock,
    logged_bytes: usize,
}

enum Kind {
    Channel(Decoder, Told),
    Listener,
    Exit,
    Firmware { marks: &'static [(&'static str, &'static str)], told: usize, lines: Lines },
    Lines { on_line: OnLine, lines: Lines },
}

impl Reader {
    pub(super) fn new(source: Source) -> io::Result<Reader> {
        let (fd, kind) = match source {
            Source::Channel(fd) => (fd, Kind::Channel(Decoder::default(), Told::default())),
            Source::Listener(fd) => (fd, Kind::Listener),
            Source::Exit(fd) => (fd, Kind::Exit),
            Source::Firmware { fd, marks } => {
                (fd, Kind::Firmware { marks, told: 0, lines: Lines::default() })
            }
            Source::Lines { fd, on_line } => (fd, Kind::Lines { on_line, lines: Lines::default() }),
        };
        if !matches!(kind, Kind::Exit) {
            rustix::io::ioctl_fionbio(&fd, true)?;
        }
        Ok(Reader { fd, kind })
    }

    pub(super) fn is_exit(&self) -> bool {
        matches!(self.kind, Kind::Exit)
    }

    pub(super) fn advance(&mut self, at_ns: u64, events: &EventSink, bytes: &mut [u8]) -> Next {
        if self.is_exit() {
            return self.reap(at_ns, events);
        }
        if matches!(self.kind, Kind::Listener) {
            return self.accept();
        }
        for _ in 0..READS {
            match rustix::io::read(&self.fd, &mut *bytes) {
                Ok(0) => {
                    self.finish(at_ns, events);
                    return Next::Drop;
                }
                Ok(read) => self.take(at_ns, &bytes[..read], events),
                Err(rustix::io::Errno::AGAIN) => return Next::Keep,
                Err(rustix::io::Errno::INTR) => {}
                // A socket whose peer was killed with unread data: its end, like any other.
                Err(_) => {
                    self.finish(at_ns, events);
                    return Next::Drop;
                }
            }
        }
        Next::Keep
    }

    fn accept(&self) -> Next {
        use rustix::net::{SocketFlags, accept_with};
        match accept_with(&self.fd, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(fd) => Next::Become(Box::new(Reader {
                fd,
                kind: Kind::Channel(Decoder::default(), Told::default()),
            })),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Next::Keep,
            Err(_) => Next::Drop,
        }
    }

    fn reap(&self, at_ns: u64, events: &EventSink) -> Next {
        match waitid(WaitId::PidFd(self.fd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(Some(status)) => {
                let exit = match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => Exit::Code(code),
                    (None, Some(signal)) => Exit::Signal(signal),
                    (None, None) => Exit::Code(-1),
                };
                events.send(at_ns, Event::Exited(exit));
                Next::Drop
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => Next::Keep,
            Err(error) => {
                events.send(at_ns, Event::Failed(format!("cannot learn how the instance ended: {error}")));
                Next::Drop
            }
        }
    }

    fn take(&mut self, at_ns: u64, bytes: &[u8], events: &EventSink) {
        match &mut self.kind {
            Kind::Channel(decoder, told) => decoder.feed(bytes, |decoded| told.tell(decoded, at_ns, events)),
            Kind::Firmware { marks, told, lines } => lines.feed(bytes, |line| {
                if line == NOTHING_TO_BOOT {
                    let error = "the firmware found nothing to boot: no bootable device";
                    events.send(at_ns, Event::Failed(error.into()));
                }
                let said = String::from_utf8_lossy(line);
                // In order, and each once: firmware repeats itself.
                while let Some((text, phase)) = marks.get(*told) {
                    if !said.contains(text) {
                        break;
                    }
                    events.send(at_ns, Event::Mark(phase));
                    *told += 1;
                }
                if !said.trim().is_empty() {
                    events.send(at_ns, Event::Firmware(said.trim().to_owned()));
                }
            }),
            Kind::Lines { on_line, lines } => lines.feed(bytes, |line| on_line(at_ns, line)),
            Kind::Exit | Kind::Listener => {}
        }
    }

    fn finish(&mut self, at_ns: u64, events: &EventSink) {
        match &mut self.kind {
            Kind::Channel(decoder, told) => decoder.finish(|decoded| told.tell(decoded, at_ns, events)),
            Kind::Lines { on_line, lines } if !lines.rest.is_empty() => on_line(at_ns, &lines.rest),
            _ => {}
        }
    }
}

impl AsFd for Reader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Told {
    fn tell(&mut self, decoded: Decoded, at_ns: u64, events: &EventSink) {
        let event = match decoded {
            Decoded::Message(Message::Ready { clock_ns }) => {
                // A clock ahead of ours is not ours: such a sender gets no delay, and no belief.
                let delay_ns = clock_ns.and_then(|sent_ns| at_ns.checked_sub(sent_ns));
                return events.send_delayed(at_ns, Event::Ready, delay_ns);
            }
            Decoded::Message(Message::Listening { port }) => Event::Listening(port),
            Decoded::Message(Message::Done { amount }) => Event::Done(amount),
            Decoded::Message(Message::Measured { measure, value }) => match guest::measure(&measure) {
                Some(measure) => Event::Measured(measure, value),
                None => return self.log(format!("measured {measure}: {value}"), at_ns, events),
            },
            Decoded::Message(Message::Parked) => Event::Parked,
            Decoded::Message(Message::Became(became)) => Event::Became(became),
            Decoded::Message(Message::Observation(observation)) => Event::Observed(observation),
            Decoded::Message(Message::Exited { code }) => Event::CommandExited(code),
            Decoded::Message(Message::Failed { error }) => Event::Failed(error),
            Decoded::Message(Message::Clock { clock_ns }) => return self.clock.read(clock_ns, at_ns),
            Decoded::Message(Message::Began { phase, clock_ns }) => {
                match (known(&phase), self.clock.on_host(clock_ns)) {
                    (Some(phase), Some((began_ns, error_ns))) => {
                        events.send(at_ns, Event::Measured("clock_error_ns", error_ns));
                        // It has happened already; a guest that says otherwise is not believed.
                        events.send(began_ns.min(at_ns), Event::Mark(phase));
                    }
                    _ => {
                        self.log(format!("phase {phase} began at {clock_ns} ns of its clock"), at_ns, events)
                    }
                }
                return;
            }
            Decoded::Message(Message::Mark { phase }) => match known(&phase) {
                Some(phase) => Event::Mark(phase),
                // The guest's own phases come after `ready`; they are told, not tiled.
                None => return self.log(format!("phase {phase}"), at_ns, events),
            },
            Decoded::Message(Message::Log { text, .. }) | Decoded::Text(text) => {
                return self.log(text, at_ns, events);
            }
        };
        events.send(at_ns, event);
    }

    fn log(&mut self, text: String, at_ns: u64, events: &EventSink) {
        if self.logged_bytes > LOG_BYTES {
            return;
        }
        self.logged_bytes += text.len() + 1;
        if self.logged_bytes > LOG_BYTES {
            let note = format!("more than {LOG_BYTES} bytes of output: the rest is dropped");
            events.send(at_ns, Event::Log(note));
        } else {
            events.send(at_ns, Event::Log(text));
        }
    }
}

/// The phases of a start that are told from inside a machine.
fn known(phase: &str) -> Option<&'static str> {
    ["loader", "kernel", "initramfs", "systemd", "units"].into_iter().find(|known| *known == phase)
}

/// Splits bytes into lines of bounded length.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    fn feed(&mut self, bytes: &[u8], mut line: impl FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = guest::MAX_LINE_BYTES.saturating_sub(self.rest.len());
            self.rest.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                line(self.rest.trim_ascii_end());
                self.rest.clear();
            }
        }
    }
}
