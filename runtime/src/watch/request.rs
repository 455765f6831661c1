//! The first request to a workload, made without blocking the stamper.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use guest::Protocol;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use super::Next;
use crate::event::{Event, EventSink};

/// Where a service is and how it is asked.
pub struct Question {
    /// Its address.
    pub address: SocketAddr,
    /// What is said.
    pub protocol: Protocol,
    /// The network namespace the address belongs to; `None` = this program's own.
    pub namespace: Option<OwnedFd>,
}

/// One connection with one request.
pub(super) struct Request {
    stream: TcpStream,
    address: SocketAddr,
    question: &'static [u8],
    good: &'static [u8],
    sent: bool,
    /// When the first byte of the answer arrived.
    answered_ns: Option<u64>,
    answer: Vec<u8>,
}

impl Request {
    pub(super) fn connect(question: &Question) -> io::Result<Request> {
        let address = question.address;
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = socket_in(question.namespace.as_ref(), family)?;
        match connect(&socket, &address) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let (question, good) = (question.protocol.question(), question.protocol.good_answer());
        let stream = socket.into();
        Ok(Request { stream, address, question, good, sent: false, answered_ns: None, answer: Vec::new() })
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
            self.stream.write_all(self.question)?;
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
        if self.answer.len() < self.good.len() {
            return Ok(Step::Wait);
        }
        if !self.answer.starts_with(self.good) {
            let head = String::from_utf8_lossy(&self.answer[..self.good.len()]).into_owned();
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

/// A socket of `namespace`. A socket belongs to the namespace its maker was in for good
/// (network_namespaces(7)); the maker is a thread that ends, so nobody has to find the way back.
fn socket_in(namespace: Option<&OwnedFd>, family: AddressFamily) -> io::Result<OwnedFd> {
    let make = move || -> io::Result<OwnedFd> {
        Ok(socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?)
    };
    let Some(namespace) = namespace else { return make() };
    std::thread::scope(|scope| {
        let maker = scope.spawn(move || {
            rustix::thread::move_into_link_name_space(
                namespace.as_fd(),
                Some(rustix::thread::LinkNameSpaceType::Network),
            )?;
            make()
        });
        maker.join().unwrap_or_else(|_| Err(io::Error::other("the thread that makes the socket ended")))
    })
}
