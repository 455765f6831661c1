//! QMP, QEMU's monitor protocol (docs/interop/qmp-spec.rst): commands out, lines in.
//!
//! The command types are those of the `qapi` crate; lines are decoded here, because an event or
//! value newer than its schema would end its stream for good.

use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use qapi::{Command, Execute};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::Value;

use crate::Error;

/// How long QEMU may take to answer a command.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a command returned, or the reason for which it was refused.
type Answer = Result<Value, String>;

/// What the monitor says unasked.
#[derive(Debug, PartialEq)]
pub(super) enum Told {
    /// An event (docs/interop/qmp-spec.rst), known to this program or not, with its data.
    Event(String, Option<Value>),
    /// A queued command was refused.
    Refused(String),
}

/// The sending half.
pub(super) struct Monitor {
    socket: UnixStream,
    answers: Mutex<Receiver<Answer>>,
    queued: Sender<&'static str>,
    negotiated: bool,
}

/// The receiving half: to be given every line.
pub(super) struct Answers {
    awaited: Sender<Answer>,
    /// Commands that nobody waits for, in their order.
    queued: Receiver<&'static str>,
}

impl Monitor {
    pub(super) fn new(socket: UnixStream) -> (Monitor, Answers) {
        let (awaited, answers) = channel();
        let (queue, queued) = channel();
        let monitor = Monitor { socket, answers: Mutex::new(answers), queued: queue, negotiated: false };
        (monitor, Answers { awaited, queued })
    }

    /// Another descriptor of the socket, to read from.
    pub(super) fn socket(&self) -> Result<std::os::fd::OwnedFd, Error> {
        self.socket.try_clone().map(Into::into).map_err(Error::system("duplicate the monitor's socket"))
    }

    /// Carries out a command; capabilities are negotiated before the first.
    ///
    /// # Errors
    /// QEMU's own, or that it does not answer.
    pub(super) fn execute<C: Command>(&mut self, command: C) -> Result<Value, Error> {
        self.negotiate()?;
        self.send(command)?;
        self.await_answer::<C>()
    }

    /// Gives QEMU a descriptor under a name (getfd).
    ///
    /// # Errors
    /// As [`Monitor::execute`].
    pub(super) fn give(&mut self, name: &str, fd: BorrowedFd<'_>) -> Result<(), Error> {
        let command: Execute<_> = qapi::qmp::getfd { fdname: name.into() }.into();
        let line = encode(&command)?;
        let fds = [fd];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        // A line is far smaller than the socket's buffer: it is taken whole.
        sendmsg(&self.socket, &[IoSlice::new(&line)], &mut ancillary, SendFlags::NOSIGNAL)
            .map_err(Error::system("send a descriptor to QEMU"))?;
        self.await_answer::<qapi::qmp::getfd>().map(drop)
    }

    /// Leaves the negotiation to be carried out, if nothing has yet: before it QEMU tells no events.
    pub(super) fn negotiate(&mut self) -> Result<(), Error> {
        if self.negotiated {
            return Ok(());
        }
        self.negotiated = true;
        self.queue(qapi::qmp::qmp_capabilities { enable: None })
    }

    /// Leaves a command to be carried out when QEMU gets to it. A refusal becomes
    /// [`Told::Refused`]. To be used before the first [`Monitor::execute`] only: answers come in
    /// the order of the commands.
    pub(super) fn queue<C: Command>(&mut self, command: C) -> Result<(), Error> {
        self.negotiate()?;
        // The receiving half lives as long as QEMU; without it nobody listens at all.
        let _ = self.queued.send(C::NAME);
        self.send(command)
    }

    fn send<C: Command>(&mut self, command: C) -> Result<(), Error> {
        let line = encode::<C>(&command.into())?;
        self.socket.write_all(&line).map_err(Error::system(format!("send {} to QEMU", C::NAME)))
    }

    fn await_answer<C: Command>(&mut self) -> Result<Value, Error> {
        let answers = self.answers.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        match answers.recv_timeout(TIMEOUT) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(Error::Invalid(format!("QEMU refuses {}: {error}", C::NAME))),
            Err(RecvTimeoutError::Timeout) => {
                Err(Error::Invalid(format!("QEMU did not answer {} within {TIMEOUT:?}", C::NAME)))
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(Error::Invalid(format!("QEMU ended before it answered {}", C::NAME)))
            }
        }
    }
}

fn encode<C: Command>(command: &Execute<C>) -> Result<Vec<u8>, Error> {
    let mut line = serde_json::to_vec(command).map_err(|error| Error::Invalid(error.to_string()))?;
    line.push(b'\n');
    Ok(line)
}

impl Answers {
    /// Takes a line; answers are passed on to who waits for them.
    pub(super) fn take(&mut self, line: &[u8]) -> Option<Told> {
        let mut value = serde_json::from_slice::<Value>(line).ok()?;
        if let Some(name) = value.get("event").and_then(|name| name.as_str()) {
            return Some(Told::Event(name.to_owned(), value.get("data").cloned()));
        }
        let answer = match (value.get_mut("return").map(Value::take), value.get("error")) {
            (Some(returned), _) => Ok(returned),
            (None, Some(error)) => {
                let text = error.get("desc").and_then(|text| text.as_str());
                Err(text.map_or_else(|| error.to_string(), str::to_owned))
            }
            // The greeting, or something newer than this program.
            (None, None) => return None,
        };
        match self.queued.try_recv() {
            Ok(name) => answer.err().map(|error| Told::Refused(format!("QEMU refuses {name}: {error}"))),
            Err(_) => {
                // The machine may be gone already.
                let _ = self.awaited.send(answer);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::os::fd::AsFd;

    /// A QEMU from the future: events that no schema knows, between and before the answers.
    #[test]
    fn unknown_events_do_not_disturb_the_answers() {
        let (ours, theirs) = UnixStream::pair().expect("pair");
        let (mut monitor, mut answers) = Monitor::new(ours.try_clone().expect("clone"));
        let reader = std::thread::spawn(move || {
            let lines = BufReader::new(ours).lines().map_while(Result::ok);
            lines.filter_map(|line| answers.take(line.as_bytes())).collect::<Vec<_>>()
        });
        let server = std::thread::spawn(move || {
            let mut out = theirs.try_clone().expect("clone");
            let mut lines = BufReader::new(theirs).lines();
            writeln!(out, r#"{{"QMP":{{"version":{{}},"capabilities":["oob","teleport"]}}}}"#)
                .expect("greeting");
            for answer in [r#"{"return":{}}"#, r#"{"error":{"class":"GenericError","desc":"no such thing"}}"#]
            {
                let command = lines.next().expect("a command").expect("readable");
                assert!(command.contains(r#""execute":"#), "{command}");
                writeln!(out, r#"{{"event":"FROM_THE_FUTURE","data":{{"kind":"unheard-of"}}}}"#)
                    .expect("event");
                writeln!(out, "not json").expect("garbage");
                writeln!(out, "{answer}").expect("answer");
            }
        });
        let error = monitor.execute(qapi::qmp::stop {}).expect_err("refused").to_string();
        assert!(error.contains("no such thing"), "{error}");
        server.join().expect("server");
        drop(monitor);
        let told = reader.join().expect("reader");
        assert_eq!(told.len(), 2);
        for told in told {
            let data = serde_json::json!({ "kind": "unheard-of" });
            assert_eq!(told, Told::Event("FROM_THE_FUTURE".into(), Some(data)));
        }
    }

    #[test]
    fn a_queued_command_that_is_refused_is_a_failure_and_takes_no_answer_of_another() {
        let (ours, theirs) = UnixStream::pair().expect("pair");
        let (mut monitor, mut answers) = Monitor::new(ours);
        monitor.queue(qapi::qmp::stop {}).expect("queued");
        let mut lines = BufReader::new(theirs).lines().map_while(Result::ok);
        assert!(lines.next().is_some_and(|line| line.contains("qmp_capabilities")));
        assert!(lines.next().is_some_and(|line| line.contains("stop")));
        assert_eq!(answers.take(br#"{"return":{}}"#), None);
        let refused = answers.take(br#"{"error":{"class":"GenericError","desc":"not now"}}"#);
        assert_eq!(refused, Some(Told::Refused("QEMU refuses stop: not now".into())));
        assert_eq!(answers.take(br#"{"return":{}}"#), None);
        assert!(monitor.await_answer::<qapi::qmp::cont>().is_ok());
    }

    #[test]
    fn a_descriptor_arrives_with_its_command() {
        let (ours, theirs) = UnixStream::pair().expect("pair");
        let (mut monitor, mut answers) = Monitor::new(ours);
        monitor.negotiated = true;
        let file = tempfile::tempfile().expect("file");
        for line in [&br#"{"return":{}}"#[..], br#"{"error":{"class":"GenericError","desc":"no"}}"#] {
            assert_eq!(answers.take(line), None);
        }
        monitor.give("state", file.as_fd()).expect("taken");
        assert!(monitor.give("state", file.as_fd()).is_err());
        let mut bytes = [0; 256];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = rustix::net::RecvAncillaryBuffer::new(&mut space);
        let mut buffers = [std::io::IoSliceMut::new(&mut bytes)];
        let flags = rustix::net::RecvFlags::CMSG_CLOEXEC;
        let received = rustix::net::recvmsg(&theirs, &mut buffers, &mut ancillary, flags).expect("received");
        assert!(bytes[..received.bytes].starts_with(br#"{"execute":"getfd""#));
        assert_eq!(ancillary.drain().count(), 1);
    }
}
