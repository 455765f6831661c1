//! What the host plants in what happens to its packets: a table of rules, and packets to be heard.

use std::net::UdpSocket;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::libc;

use super::super::check::{Absent, HostPlant, OnHost};
use super::super::nonce::Nonce;
use super::net_message::{new_table, tables};
use super::net_plant::{only_in_a_world, raise_loopback};

/// Nobody listens there (RFC 863, discard).
const PORT: u16 = 9;
/// How often something is said.
const EVERY: Duration = Duration::from_millis(20);

/// A table of the world's host without a rule: it goes with its socket (nft(8), flags owner).
pub(super) struct Table {
    name: String,
    socket: OwnedFd,
}

impl Table {
    pub(super) fn plant(nonce: &Nonce) -> HostPlant {
        only_in_a_world()?;
        let absent = |error: std::io::Error| Absent(format!("a table of rules: {error}"));
        // SAFETY: makes a descriptor, which is owned from there on.
        let socket = unsafe {
            let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
            let socket = libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_NETFILTER);
            if socket < 0 {
                return Err(absent(std::io::Error::last_os_error()));
            }
            OwnedFd::from_raw_fd(socket)
        };
        let table = Table { name: nonce.word(), socket };
        let answer = table.ask(&new_table(&table.name)).map_err(absent)?;
        // struct nlmsgerr behind the header: a confirmation is an error of number 0.
        let code = answer
            .get(16..20)
            .map_or(i32::MIN, |code| i32::from_ne_bytes([code[0], code[1], code[2], code[3]]));
        match code {
            0 => Ok(Box::new(table)),
            _ => Err(absent(std::io::Error::from_raw_os_error(-code))),
        }
    }

    /// The first of what is answered.
    fn ask(&self, message: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0u8; 16 << 10];
        // SAFETY: buffers are valid for their lengths.
        let length = unsafe {
            let socket = self.socket.as_raw_fd();
            if libc::send(socket, message.as_ptr().cast(), message.len(), 0) < 0 {
                return Err(std::io::Error::last_os_error());
            }
            libc::recv(socket, bytes.as_mut_ptr().cast(), bytes.len(), 0)
        };
        let length = usize::try_from(length).map_err(|_| std::io::Error::last_os_error())?;
        bytes.truncate(length);
        Ok(bytes)
    }
}

impl OnHost for Table {
    fn witness(&self) -> Result<String, String> {
        let listed = self.ask(&tables()).map_err(|error| error.to_string())?;
        // The end of the list comes by itself, and is not to be taken for the next answer.
        // SAFETY: the buffer is valid for its length.
        unsafe {
            let mut end = [0u8; 64];
            libc::recv(self.socket.as_raw_fd(), end.as_mut_ptr().cast(), end.len(), libc::MSG_DONTWAIT);
        }
        match listed.windows(self.name.len()).any(|part| part == self.name.as_bytes()) {
            true => Ok(format!("the host has the table {}", self.name)),
            false => Err(format!("the host has no table {}", self.name)),
        }
    }

    fn text(&self) -> String {
        self.name.clone()
    }
}

/// Datagrams of the world's host to its own loopback, with the nonce in them.
pub(super) struct Speaker {
    goes_on: Option<Sender<()>>,
    speaker: Option<JoinHandle<()>>,
}

impl Speaker {
    pub(super) fn plant(nonce: &Nonce) -> HostPlant {
        let absent = |error: std::io::Error| Absent(format!("datagrams on the loopback: {error}"));
        raise_loopback().map_err(absent)?;
        let socket = UdpSocket::bind(("127.0.0.1", 0)).map_err(absent)?;
        let (goes_on, ended) = channel();
        let word = nonce.word();
        let speak = move || {
            while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                // That nobody listens is told by the next one, and is not meant.
                let _ = socket.send_to(word.as_bytes(), ("127.0.0.1", PORT));
            }
        };
        let speaker = std::thread::Builder::new().name("speak".into()).spawn(speak).map_err(absent)?;
        Ok(Box::new(Speaker { goes_on: Some(goes_on), speaker: Some(speaker) }))
    }
}

impl OnHost for Speaker {
    fn witness(&self) -> Result<String, String> {
        match self.speaker.as_ref().is_some_and(|speaker| !speaker.is_finished()) {
            true => Ok("the host speaks on its loopback".into()),
            false => Err("the host speaks no more".into()),
        }
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.goes_on.take();
        if let Some(speaker) = self.speaker.take() {
            let _ = speaker.join();
        }
    }
}
