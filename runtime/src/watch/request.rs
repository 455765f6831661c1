//! The first request to a workload, made without blocking the stamper.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use super::Next;
use crate::event::{Event, EventSink};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: instance\r\nconnection: close\r\n\r\n";
/// How an answer of a working service begins.
const GOOD: &[u8] = b"HTTP/1.1 200";

/// One connection with one request.
pub(super) struct Request {
    stream: TcpStream,
    address: SocketAddr,
    sent: bool,
    /// When the first byte of the answer arrived.
    answered_ns: Option<u64>,
    answer: Vec<u8>,
}

impl Request {
    pub(super) fn connect(address: SocketAddr) -> io::Result<Request> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        match connect(&socket, &address) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Request { stream: socket.into(), address, sent: false, answered_ns: None, answer: Vec::new() })
    }

    pub(super) fn advance(&mut self, at_ns: u64, events: &EventSink) -> Next {
        match self.step(at_ns) {
            Ok(Step::Wait) => Next::Keep,
            Ok(Step::Sent) => Next::AwaitInput,
            Ok(Step::Answered(answered_ns)) => {
                events.send(answered_ns, Event::Serving);
                Next::Drop
            }
            Err(error) => {
                events.send(
                    at_ns,
                    Event::Failed(format!("cannot get an answer from {}: {error}", self.address)),
                );
                Next::Drop
            }
        }
    }

    fn step(&mut self, at_ns: u64) -> io::Result<Step> {
        if !self.sent {
            if let Some(error) = self.stream.take_error()? {
                return Err(error);
            }
            // The request is far smaller than any socket buffer: it is taken whole or not at all.
            self.stream.write_all(REQUEST)?;
            self.sent = true;
            return Ok(Step::Sent);
        }
        let mut bytes = [0; 512];
        match self.stream.read(&mut bytes) {
            Ok(0) => return Err(io::Error::other("the connection was closed before an answer")),
            Ok(read) => self.answer.extend_from_slice(&bytes[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Step::Wait),
            Err(error) => return Err(error),
        }
        let answered_ns = *self.answered_ns.get_or_insert(at_ns);
        if self.answer.len() < GOOD.len() {
            return Ok(Step::Wait);
        }
        if !self.answer.starts_with(GOOD) {
            let head = String::from_utf8_lossy(&self.answer[..GOOD.len()]).into_owned();
            return Err(io::Error::other(format!("it answered {head:?}")));
        }
        Ok(Step::Answered(answered_ns))
    }
}

enum Step {
    Wait,
    Sent,
    Answered(u64),
}

impl AsFd for Request {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
