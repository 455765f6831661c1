//! QMP, QEMU's monitor protocol (docs/interop/qmp-spec.rst): commands out, lines in.
//!
//! The command types are those of the `qapi` crate; lines are decoded here, because an event or
//! value newer than its schema would end its stream for good.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use qapi::{Command, Execute};

use crate::Error;

/// How long QEMU may take to answer a command.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a line of the monitor is.
#[derive(Debug, PartialEq)]
enum Line {
    Answer(Result<(), String>),
    /// Greeting, event, or something newer than this program.
    Other,
}

/// The sending half.
pub(super) struct Monitor {
    socket: UnixStream,
    answers: Mutex<Receiver<Result<(), String>>>,
    negotiated: bool,
}

/// The receiving half: to be given every line.
pub(super) struct Answers(Sender<Result<(), String>>);

impl Monitor {
    pub(super) fn new(socket: UnixStream) -> (Monitor, Answers) {
        let (sender, receiver) = channel();
        (Monitor { socket, answers: Mutex::new(receiver), negotiated: false }, Answers(sender))
    }

    /// Another descriptor of the socket, to read from.
    pub(super) fn socket(&self) -> Result<std::os::fd::OwnedFd, Error> {
        self.socket.try_clone().map(Into::into).map_err(Error::system("duplicate the monitor's socket"))
    }

    /// Carries out a command; capabilities are negotiated before the first.
    pub(super) fn execute<C: Command>(&mut self, command: C) -> Result<(), Error> {
        if !self.negotiated {
            self.send(qapi::qmp::qmp_capabilities { enable: None })?;
            self.negotiated = true;
        }
        self.send(command)
    }

    fn send<C: Command>(&mut self, command: C) -> Result<(), Error> {
        let execute: Execute<C> = command.into();
        let mut line = serde_json::to_vec(&execute).map_err(|error| Error::Invalid(error.to_string()))?;
        line.push(b'\n');
        self.socket.write_all(&line).map_err(Error::system(format!("send {} to QEMU", C::NAME)))?;
        let answers = self.answers.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        match answers.recv_timeout(TIMEOUT) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Error::Invalid(format!("QEMU refuses {}: {error}", C::NAME))),
            Err(_) => Err(Error::Invalid(format!("QEMU did not answer {} within {TIMEOUT:?}", C::NAME))),
        }
    }
}

impl Answers {
    /// Takes a line; answers are passed on, all else is left alone.
    pub(super) fn take(&self, line: &[u8]) {
        if let Line::Answer(answer) = read(line) {
            // The machine may be gone already.
            let _ = self.0.send(answer);
        }
    }
}

fn read(line: &[u8]) -> Line {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(line) else { return Line::Other };
    if value.get("return").is_some() {
        return Line::Answer(Ok(()));
    }
    match value.get("error") {
        Some(error) => {
            let text = error.get("desc").and_then(|text| text.as_str());
            Line::Answer(Err(text.map_or_else(|| error.to_string(), str::to_owned)))
        }
        None => Line::Other,
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
        let (mut monitor, answers) = Monitor::new(ours.try_clone().expect("clone"));
        let reader = std::thread::spawn(move || {
            BufReader::new(ours).lines().map_while(Result::ok).for_each(|line| answers.take(line.as_bytes()));
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
        reader.join().expect("reader");
    }
}
