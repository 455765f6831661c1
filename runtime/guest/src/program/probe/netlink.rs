//! netlink(7), as the host's side says it.

use std::mem::size_of;

use guest::probe::Facts;

use super::{errno_of, facts, last_errno, number, text};

/// An answer that is not there yet is waited for, but not for ever.
const PATIENCE_S: libc::time_t = 2;
/// Most that is kept of all answers.
const MOST_BYTES: usize = 32 << 10;
/// Header of a message (struct nlmsghdr): length, type, flags, sequence, port.
const HEADER_BYTES: usize = size_of::<libc::nlmsghdr>();

/// Sends and hears, until the end of a list, an error or a confirmation.
pub fn ask(protocol: i32, messages: &[u8]) -> Facts {
    let mut heard = Vec::new();
    // SAFETY: buffers are valid for their lengths; the descriptor is this function's own.
    let errno = unsafe {
        let socket = libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol);
        if socket < 0 {
            return facts([("errno", number(errno_of(-1)))]);
        }
        let patience = libc::timeval { tv_sec: PATIENCE_S, tv_usec: 0 };
        let length = size_of::<libc::timeval>() as libc::socklen_t;
        libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_RCVTIMEO, (&raw const patience).cast(), length);
        let errno = if libc::send(socket, messages.as_ptr().cast(), messages.len(), 0) < 0 {
            last_errno()
        } else {
            hear(socket, &mut heard)
        };
        libc::close(socket);
        errno
    };
    let signs: Vec<u8> = heard.iter().copied().filter(u8::is_ascii_graphic).collect();
    facts([("errno", number(errno)), ("bytes", number(heard.len() as i64)), ("text", text(&signs))])
}

/// The error number that an answer tells.
fn hear(socket: libc::c_int, heard: &mut Vec<u8>) -> i32 {
    let mut bytes = [0u8; 16 << 10];
    loop {
        // SAFETY: the buffer is valid for its length.
        let length = unsafe { libc::recv(socket, bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        if length < 0 {
            return last_errno();
        }
        let mut left = &bytes[..length as usize];
        while left.len() >= HEADER_BYTES {
            let size = u32::from_ne_bytes([left[0], left[1], left[2], left[3]]) as usize;
            let kind = libc::c_int::from(u16::from_ne_bytes([left[4], left[5]]));
            let flags = libc::c_int::from(u16::from_ne_bytes([left[6], left[7]]));
            let Some(body) = left.get(HEADER_BYTES..size) else { return libc::EBADMSG };
            match kind {
                libc::NLMSG_ERROR | libc::NLMSG_DONE => {
                    let code = body.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
                    return -code;
                }
                _ if heard.len() + body.len() <= MOST_BYTES => heard.extend_from_slice(body),
                _ => {}
            }
            if flags & libc::NLM_F_MULTI == 0 {
                return 0;
            }
            left = left.get(size.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}
