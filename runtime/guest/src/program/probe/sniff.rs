//! Frames of all interfaces that are seen here (packet(7)).

use std::mem::size_of;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use guest::probe::Facts;

use super::net::loopback_up;
use super::{facts, last_errno, number};

/// Nobody's (RFC 863, discard).
const PORT: u16 = 9;
/// In a datagram of its own.
const OWN: &[u8] = b"a probe's own";
/// How long it waits for a frame at most.
const PAUSE_US: libc::suseconds_t = 100_000;

/// Listens for a while.
pub fn sniff(word: &str, wall_ms: u32) -> Facts {
    loopback_up();
    // SAFETY: makes a descriptor, whose option is read from a local of its size.
    let socket = unsafe {
        let every = i32::from((libc::ETH_P_ALL as u16).to_be());
        let socket = libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, every);
        if socket < 0 {
            return facts([("errno", number(last_errno()))]);
        }
        let pause = libc::timeval { tv_sec: 0, tv_usec: PAUSE_US };
        let length = size_of::<libc::timeval>() as libc::socklen_t;
        libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_RCVTIMEO, (&raw const pause).cast(), length);
        socket
    };
    let until = Instant::now() + Duration::from_millis(wall_ms.into());
    let (mut frames, mut found, mut own) = (0, 0, false);
    let mut frame = vec![0u8; 1 << 16];
    while Instant::now() < until {
        if let Ok(speaker) = UdpSocket::bind(("127.0.0.1", 0)) {
            let _ = speaker.send_to(OWN, ("127.0.0.1", PORT));
        }
        // SAFETY: the buffer is valid for its length.
        let length = unsafe { libc::recv(socket, frame.as_mut_ptr().cast(), frame.len(), 0) };
        let Ok(length) = usize::try_from(length) else { continue };
        let has = |word: &[u8]| frame[..length].windows(word.len()).any(|part| part == word);
        frames += 1;
        found += i64::from(has(word.as_bytes()));
        own |= has(OWN);
    }
    // SAFETY: this function's own.
    unsafe { libc::close(socket) };
    facts([
        ("errno", number(0)),
        ("frames", number(frames)),
        ("found", number(found)),
        ("own", number(i64::from(own))),
    ])
}
