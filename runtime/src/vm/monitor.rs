//! QMP, QEMU's monitor protocol (docs/interop/qmp-spec.rst): commands out, lines in.
//!
//! The command types are those of the `qapi` crate; lines are decoded here, because an event or
//! value newer than its schema would end its stream for good.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use qapi::{Command, Execute};

use crate::Error;
use crate::event::Event;

/// How long QEMU may take to answer a command.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The sending half.
pub(super) struct Monitor {
    socket: UnixStream,
    answers: Mutex<Receiver<Result<(), String>>>,
    queued: Sender<&'static str>,
    negotiated: bool,
}

/// The receiving half: to be given every line.
pub(super) struct Answers {
    awaited: Sender<Result<(), String>>,
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
    pub(super) fn execute<C: Command>(&mut self, command: C) -> Result<(), Error> {
        if !self.negotiated {
            self.send(qapi::qmp::qmp_capabilities { enable: None })?;
            self.await_answer::<qapi::qmp::qmp_capabilities>()?;
            self.negotiated = true;
        }
        self.send(command)?;
        self.await_answer::<C>()
    }

    /// Leaves a command to be carried out when QEMU gets to it. A refusal becomes
    /// [`Event::Failed`]. To be used before the first [`Monitor::execute`] only: answers come in
    /// the order of the commands.
    #[allow(dead_code, reason = "for machines that begin with an incoming state")]
    pub(super) fn queue<C: Command>(&mut self, command: C) -> Result<(), Error> {
        if !self.negotiated {
            self.negotiated = true;
            self.queue(qapi::qmp::qmp_capabilities { enable: None })?;
        }
        // The receiving half lives as long as QEMU; without it nobody listens at all.
        let _ = self.queued.send(C::NAME);
        self.send(command)
    }

    fn send<C: Command>(&mut self, command: C) -> Result<(), Error> {
        let execute: Execute<C> = command.into();
        let mut line = serde_json::to_vec(&execute).map_err(|error| Error::Invalid(error.to_string()))?;
        line.push(b'\n');
        self.socket.write_all(&line).map_err(Error::system(format!("send {} to QEMU", C::NAME)))
    }

    fn await_answer<C: Command>(&mut self) -> Result<(), Error> {
        let answers = self.answers.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        match answers.recv_timeout(TIMEOUT) {
            Ok(Ok(())) => Ok(()),
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

impl Answers {
    /// Takes a line; answers are passed on to who waits for them, and what the machine tells of
    /// itself becomes an event.
    pub(super) fn take(&mut self, line: &[u8]) -> Option<Event> {
        let value = serde_json::from_slice::<serde_json::Value>(line).ok()?;
        if let Some(name) = value.get("event").and_then(|name| name.as_str()) {
            return Some(told(name, value.get("data")));
        }
        let answer = match (value.get("return"), value.get("error")) {
            (Some(_), _) => Ok(()),
            (None, Some(error)) => {
                let text = error.get("desc").and_then(|text| text.as_str());
                Err(text.map_or_else(|| error.to_string(), str::to_owned))
            }
            // The greeting, or something newer than this program.
            (None, None) => return None,
        };
        match self.queued.try_recv() {
            Ok(name) => answer.err().map(|error| Event::Failed(format!("QEMU refuses {name}: {error}"))),
            Err(_) => {
                // The machine may be gone already.
                let _ = self.awaited.send(answer);
                None
            }
        }
    }
}

/// What an event of the monitor (docs/interop/qmp-spec.rst) means for an instance. One that is not
/// known, or has data that is not, is passed on as it is.
fn told(name: &str, data: Option<&serde_json::Value>) -> Event {
    match name {
        "GUEST_PANICKED" => Event::Failed("the guest's kernel panicked".into()),
        _ => {
            let data = data.map(|data| format!(" {data}")).unwrap_or_default();
            Event::Log(format!("QEMU: event {name}{data}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};

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
        let from_the_future = Event::Log(r#"QEMU: event FROM_THE_FUTURE {"kind":"unheard-of"}"#.into());
        assert_eq!(told, vec![from_the_future; 2]);
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
        assert_eq!(refused, Some(Event::Failed("QEMU refuses stop: not now".into())));
        assert_eq!(answers.take(br#"{"return":{}}"#), None);
        assert!(monitor.await_answer::<qapi::qmp::cont>().is_ok());
    }

    #[test]
    fn a_panic_of_the_guest_is_a_failure() {
        let (ours, _theirs) = UnixStream::pair().expect("pair");
        let (_monitor, mut answers) = Monitor::new(ours);
        let told = answers.take(br#"{"event":"GUEST_PANICKED","data":{"action":"shutdown"}}"#);
        assert!(matches!(told, Some(Event::Failed(_))), "{told:?}");
    }
}
