//! The stamper: one thread, blocked on all descriptors of all instances, that stamps what arrives
//! before anybody else gets to see it.
//!
//! Everything a wake-up of the thread finds has arrived before it woke, so all of it carries the
//! time of the wake-up: the earliest the thread can vouch for. With real-time priority the thread
//! runs as soon as something arrives, however many instances compete for the processors.

mod clock;
mod request;
mod source;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::event::epoll;

pub use request::Question;
pub use source::{OnLine, Source};

use crate::clock::now_ns;
use crate::event::EventSink;
use request::Request;
use source::Reader;

/// The token that wakes the thread to end it.
const END: u64 = 0;
/// Events taken from the kernel at once.
const BATCH: usize = 1024;

/// The stamper thread. Ends when dropped.
pub struct Watch {
    shared: Arc<Shared>,
    end: OwnedFd,
    realtime: Result<(), String>,
    /// The stamper, and who reaps what it has seen end.
    threads: Vec<std::thread::JoinHandle<()>>,
}

struct Shared {
    epoll: OwnedFd,
    watched: Mutex<Watched>,
}

#[derive(Default)]
struct Watched {
    last_token: u64,
    entries: HashMap<u64, Entry>,
}

struct Entry {
    what: What,
    events: EventSink,
}

enum What {
    Reader(Reader),
    Request(Request),
}

/// A process that has ended, and when that was seen.
struct Ended {
    entry: Entry,
    at_ns: u64,
}

/// Whether a descriptor is still of interest.
enum Next {
    Keep,
    /// Keep, and wait for the descriptor to become readable instead of writable.
    AwaitInput,
    /// Watch this one instead.
    Become(Box<Reader>),
    Drop,
}

impl Watch {
    /// Starts the stamper thread, with real-time priority where the system allows.
    ///
    /// # Errors
    /// Where epoll or the thread cannot be made.
    pub fn start() -> io::Result<Watch> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let end = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC)?;
        epoll::add(&epoll, &end, epoll::EventData::new_u64(END), epoll::EventFlags::IN)?;
        let shared = Arc::new(Shared { epoll, watched: Mutex::default() });
        let (report, reported) = channel();
        let (reaper, ended) = channel();
        let stamper = std::thread::Builder::new().name("stamper".into()).spawn({
            let shared = shared.clone();
            move || {
                let _ = report.send(become_realtime());
                shared.run(&reaper);
            }
        })?;
        // It ends with the stamper. Until it was made, nobody can have been watched.
        let reaper = std::thread::Builder::new().name("reaper".into()).spawn(|| reap(ended))?;
        let realtime = reported.recv().unwrap_or_else(|_| Err("the stamper thread ended".into()));
        Ok(Watch { shared, end, realtime, threads: vec![stamper, reaper] })
    }

    /// Reads `source` until it ends and reports to `events`.
    ///
    /// # Errors
    /// Where the descriptor cannot be watched.
    pub fn add(&self, source: Source, events: EventSink) -> io::Result<()> {
        let reader = Reader::new(source)?;
        self.shared.insert(What::Reader(reader), events, epoll::EventFlags::IN)
    }

    /// [`Watch::ask`] over HTTP in this program's own network.
    ///
    /// # Errors
    /// Where the socket cannot be made.
    pub fn request(&self, address: SocketAddr, events: EventSink) -> io::Result<()> {
        self.ask(&Question { address, protocol: guest::Protocol::Http, namespace: None }, events)
    }

    /// Connects to a service, makes one request and reports [`crate::Event::Serving`] when
    /// its answer has begun to arrive, or [`crate::Event::Failed`].
    ///
    /// # Errors
    /// Where the socket cannot be made.
    pub fn ask(&self, question: &Question, events: EventSink) -> io::Result<()> {
        let request = Request::connect(question)?;
        self.shared.insert(What::Request(request), events, epoll::EventFlags::OUT)
    }

    /// Whether the stamper got real-time priority, and what the system said if not.
    ///
    /// # Errors
    /// What the system said.
    pub fn realtime(&self) -> Result<(), String> {
        self.realtime.clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = rustix::io::write(&self.end, &1u64.to_ne_bytes());
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Reaps what has ended, and tells so with the time of the stamper. Not on the stamper's own thread:
/// the kernel then takes the process out of /proc, and waits, busily, for whoever is just doing the same
/// to one of its threads; with real-time priority and that one on the same processor, for a second
/// (sched(7), "Limiting the CPU usage of real-time and deadline processes").
fn reap(ended: Receiver<Ended>) {
    for Ended { mut entry, at_ns } in ended {
        // It has ended: a wait that was interrupted is all there is to repeat.
        while matches!(entry.advance(at_ns, &mut []), Next::Keep) {}
    }
}

impl Shared {
    fn insert(&self, what: What, events: EventSink, flags: epoll::EventFlags) -> io::Result<()> {
        let mut watched = self.lock();
        watched.last_token += 1;
        let token = watched.last_token;
        epoll::add(&self.epoll, what.descriptor(), epoll::EventData::new_u64(token), flags)?;
        watched.entries.insert(token, Entry { what, events });
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn run(&self, reaper: &Sender<Ended>) {
        let mut found = Vec::with_capacity(BATCH);
        let mut bytes = vec![0; source::READ_BYTES];
        loop {
            found.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut found), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                // Only a closed or foreign epoll descriptor gets here: a bug, and nothing to wait for.
                Err(_) => return,
            }
            let at_ns = now_ns();
            let mut tokens: Vec<u64> = found.iter().map(|event| event.data.u64()).collect();
            if tokens.contains(&END) {
                return;
            }
            let mut watched = self.lock();
            // What an instance said before it ended is told before its end.
            tokens.sort_by_key(|token| watched.entries.get(token).is_some_and(Entry::is_exit));
            for token in tokens {
                let Some(entry) = watched.entries.get_mut(&token) else { continue };
                if entry.is_exit() {
                    let _ = epoll::delete(&self.epoll, entry.what.descriptor());
                    if let Some(entry) = watched.entries.remove(&token) {
                        // The reaper lives as long as this thread.
                        let _ = reaper.send(Ended { entry, at_ns });
                    }
                    continue;
                }
                let next = entry.advance(at_ns, &mut bytes);
                let keep = match next {
                    Next::Keep => true,
                    Next::AwaitInput => epoll::modify(
                        &self.epoll,
                        entry.what.descriptor(),
                        epoll::EventData::new_u64(token),
                        epoll::EventFlags::IN,
                    )
                    .is_ok(),
                    Next::Become(reader) => {
                        let _ = epoll::delete(&self.epoll, entry.what.descriptor());
                        entry.what = What::Reader(*reader);
                        let data = epoll::EventData::new_u64(token);
                        // Its bytes are read, and stamped, in the next turn: now they would get a
                        // time that may lie before they were sent.
                        epoll::add(&self.epoll, entry.what.descriptor(), data, epoll::EventFlags::IN).is_ok()
                    }
                    Next::Drop => false,
                };
                if !keep {
                    // Removed by hand: closing alone does not, where a duplicate is open elsewhere (epoll(7)).
                    let _ = epoll::delete(&self.epoll, entry.what.descriptor());
                    watched.entries.remove(&token);
                }
            }
        }
    }
}

impl Entry {
    fn is_exit(&self) -> bool {
        matches!(&self.what, What::Reader(reader) if reader.is_exit())
    }

    fn advance(&mut self, at_ns: u64, bytes: &mut [u8]) -> Next {
        match &mut self.what {
            What::Reader(reader) => reader.advance(at_ns, &self.events, bytes),
            What::Request(request) => request.advance(at_ns, &self.events),
        }
    }
}

impl What {
    fn descriptor(&self) -> std::os::fd::BorrowedFd<'_> {
        match self {
            What::Reader(reader) => reader.as_fd(),
            What::Request(request) => request.as_fd(),
        }
    }
}

/// SCHED_FIFO at the lowest real-time priority, not inherited by children (sched(7)).
fn become_realtime() -> Result<(), String> {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: acts on the calling thread; the parameters live through the call.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &parameters) } {
        0 => Ok(()),
        _ => Err(format!("no real-time priority for the stamper: {}", io::Error::last_os_error())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patience::next;
    use crate::{Event, InstanceName, Stamped};
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    fn sink() -> (EventSink, UnboundedReceiver<Stamped>) {
        let (sender, receiver) = unbounded_channel();
        (EventSink::new(InstanceName { storm: 0, index: 0 }, sender), receiver)
    }

    #[test]
    fn messages_are_stamped_when_they_arrive_and_their_delay_is_known() {
        let watch = Watch::start().expect("starts");
        let (mut inside, outside) = UnixStream::pair().expect("pair");
        let (events, mut received) = sink();
        watch.add(Source::Channel(outside.into()), events).expect("added");
        let before = now_ns();
        let message = guest::Message::Ready { clock_ns: Some(before) };
        inside.write_all(b"noise\n").expect("written");
        inside.write_all(&message.encode()).expect("written");
        assert_eq!(next(&mut received).map(|stamped| stamped.event), Some(Event::Log("noise".into())));
        let ready = next(&mut received).expect("ready");
        assert_eq!(ready.event, Event::Ready);
        assert_eq!(ready.stamping_delay_ns, Some(ready.at_ns - before));
        assert!(ready.at_ns >= before && ready.at_ns <= now_ns());
    }

    #[test]
    fn a_listener_becomes_its_first_connection_and_ends_with_it() {
        let watch = Watch::start().expect("starts");
        let folder = tempfile::tempdir().expect("folder");
        let listener = std::os::unix::net::UnixListener::bind(folder.path().join("a")).expect("bound");
        let (events, mut received) = sink();
        watch.add(Source::Listener(listener.into()), events).expect("added");
        let mut guest = UnixStream::connect(folder.path().join("a")).expect("connected");
        guest.write_all(&guest::Message::Ready { clock_ns: None }.encode()).expect("written");
        assert_eq!(next(&mut received).map(|stamped| stamped.event), Some(Event::Ready));
        drop(guest);
        assert_eq!(next(&mut received), None, "its sink is dropped with it");
        assert!(UnixStream::connect(folder.path().join("a")).is_err(), "nobody listens any more");
    }

    #[test]
    fn the_last_words_come_before_the_end() {
        let watch = Watch::start().expect("starts");
        for _ in 0..20 {
            let (inside, outside) = UnixStream::pair().expect("pair");
            #[expect(clippy::zombie_processes, reason = "the stamper reaps it")]
            let child = std::process::Command::new("/bin/sh")
                .args(["-c", "echo last words; exit 3"])
                .stdout(std::os::fd::OwnedFd::from(inside))
                .spawn()
                .expect("sh");
            let pid = rustix::process::Pid::from_child(&child);
            let pidfd =
                rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).expect("pidfd");
            let (events, mut received) = sink();
            watch.add(Source::Channel(outside.into()), events.clone()).expect("added");
            watch.add(Source::Exit(pidfd), events).expect("added");
            assert_eq!(
                next(&mut received).map(|stamped| stamped.event),
                Some(Event::Log("last words".into()))
            );
            let exit = next(&mut received).map(|stamped| stamped.event);
            assert_eq!(exit, Some(Event::Exited(crate::Exit::Code(3))));
        }
    }

    #[test]
    fn serving_is_the_first_answer_and_a_refusal_is_told() {
        let watch = Watch::start().expect("starts");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("address");
        let server = std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().expect("accepted");
            let mut head = [0; 512];
            let _ = connection.read(&mut head).expect("request");
            connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("answered");
        });
        let (events, mut received) = sink();
        watch.request(address, events.clone()).expect("asked");
        assert_eq!(next(&mut received).map(|stamped| stamped.event), Some(Event::Serving));
        server.join().expect("server");
        watch.request(address, events).expect("asked");
        let refused = next(&mut received).map(|stamped| stamped.event);
        assert!(matches!(&refused, Some(Event::Failed(error)) if error.contains("refused")), "{refused:?}");
    }

    #[test]
    fn a_flood_is_cut_and_said_so() {
        let watch = Watch::start().expect("starts");
        let (mut inside, outside) = UnixStream::pair().expect("pair");
        let (events, mut received) = sink();
        watch.add(Source::Channel(outside.into()), events).expect("added");
        let line = [b'x'; 4095];
        for _ in 0..1000 {
            inside.write_all(&line).expect("written");
            inside.write_all(b"\n").expect("written");
        }
        drop(inside);
        let (mut bytes, mut notes) = (0, 0);
        while let Some(stamped) = next(&mut received) {
            match stamped.event {
                Event::Log(text) if text.starts_with('x') => bytes += text.len(),
                Event::Log(_) => notes += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(bytes <= source::LOG_BYTES, "{bytes}");
        assert_eq!(notes, 1);
    }
}
