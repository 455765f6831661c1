//! A blocking netlink socket: send, wait for the kernel's answers.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use super::message::{Reply, Request, attributes, number, replies, text};

/// Room for one datagram; the kernel fills at most 32 KiB of a dump at a time.
const BUFFER_BYTES: usize = 64 * 1024;
/// Where the kernel's own words are in an answer (include/uapi/linux/netlink.h).
const NLMSGERR_ATTR_MSG: u16 = 1;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;

/// A socket of NETLINK_ROUTE in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
}

impl Socket {
    pub(super) fn open() -> io::Result<Socket> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: makes a descriptor; there are no pointers.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a fresh descriptor that nobody else owns.
        let socket = Socket { fd: unsafe { OwnedFd::from_raw_fd(fd) } };
        // Reasons in words beside the number, and without the request repeated behind it.
        for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK] {
            let on: libc::c_int = 1;
            // SAFETY: the option's value lives through the call. Older kernels refuse, and say less.
            unsafe {
                libc::setsockopt(
                    fd,
                    libc::SOL_NETLINK,
                    option,
                    (&raw const on).cast(),
                    size_of::<i32>() as u32,
                )
            };
        }
        Ok(socket)
    }

    /// Carries out every message of the request, in order, and gives the first refusal.
    pub(super) fn execute(&self, request: &Request) -> io::Result<()> {
        self.send(request)?;
        let mut buffer = [0u8; 4096];
        let mut answered = 0;
        let mut outcome = Ok(());
        while answered < request.count {
            let received = self.receive(&mut buffer)?;
            for reply in replies(&buffer[..received]).filter(|reply| reply.kind == libc::NLMSG_ERROR as u16) {
                answered += 1;
                outcome = outcome.and(refusal(&reply));
            }
        }
        outcome
    }

    /// Asks for a dump, and hands each message's body to `each`.
    pub(super) fn dump(&self, request: &Request, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        self.send(request)?;
        let mut buffer = vec![0u8; BUFFER_BYTES];
        loop {
            let received = self.receive(&mut buffer)?;
            for reply in replies(&buffer[..received]) {
                match i32::from(reply.kind) {
                    libc::NLMSG_DONE => return Ok(()),
                    libc::NLMSG_ERROR => refusal(&reply)?,
                    _ => each(reply.body),
                }
            }
        }
    }

    fn send(&self, request: &Request) -> io::Result<()> {
        let sent = rustix::net::send(self.fd.as_fd(), request.bytes(), rustix::net::SendFlags::empty())?;
        if sent == request.bytes().len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // SAFETY: the buffer is valid for its length.
            let received =
                unsafe { libc::recv(self.fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
            if received >= 0 {
                return Ok(received as usize);
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}

/// What an answer says: 0 is consent (struct nlmsgerr).
fn refusal(reply: &Reply<'_>) -> io::Result<()> {
    let Some(code) = number(reply.body, 0).map(|code| code as i32) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    if code == 0 {
        return Ok(());
    }
    let error = io::Error::from_raw_os_error(-code);
    // Behind the error and the request's header come attributes, unless the whole request does.
    let words = (reply.flags & NLM_F_ACK_TLVS != 0 && reply.flags & NLM_F_CAPPED != 0)
        .then(|| reply.body.get(20..))
        .flatten()
        .and_then(|bytes| attributes(bytes).find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG));
    match words {
        Some((_, words)) => Err(io::Error::new(error.kind(), Refusal { error, words: text(words) })),
        None => Err(error),
    }
}

/// A refusal with the kernel's own words.
#[derive(Debug, thiserror::Error)]
#[error("{error}: {words}")]
struct Refusal {
    error: io::Error,
    words: String,
}

/// The number of a refusal, whether or not it came with words.
pub(super) fn errno(error: &io::Error) -> Option<i32> {
    error.raw_os_error().or_else(|| error.get_ref()?.downcast_ref::<Refusal>()?.error.raw_os_error())
}
