//! Frames of all interfaces that are seen here (packet(7)).

use std::mem::{size_of, size_of_val, zeroed};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use guest::probe::Facts;

use super::net::loopback_up;
use super::peer::Interface;
use super::{facts, last_errno, number};

/// Nobody's (RFC 863, discard).
const PORT: u16 = 9;
/// In a datagram of its own.
const OWN: &[u8] = b"a probe's own";
/// How long it waits for a frame at most.
const PAUSE_US: libc::suseconds_t = 5_000;
/// How often it says something itself.
const OWN_EVERY: Duration = Duration::from_millis(20);
/// How often another is impersonated: more often than that one can speak in between.
const EVERY: Duration = Duration::from_millis(2);
/// For experiments (IEEE 802, ETH_P_802_EX1).
const PROTOCOL: u16 = 0x88b5;
/// The least an Ethernet frame has, without its sum.
const FRAME_BYTES: usize = 60;

/// struct packet_mreq.
#[repr(C)]
struct Membership {
    index: libc::c_int,
    kind: u16,
    address_bytes: u16,
    address: [u8; 8],
}
const MR_PROMISC: u16 = 1;

/// Listens for a while.
pub fn sniff(word: &str, wall_ms: u32) -> Facts {
    listen(word, wall_ms, |_| ())
}

/// The same, under another's hardware address.
pub fn impersonate(hardware: &str, word: &str, wall_ms: u32) -> Facts {
    let bytes: Vec<u8> = hardware.split(':').filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    let (Ok(source), Some(interface)) = (<[u8; 6]>::try_from(bytes), Interface::first()) else {
        return facts([("errno", number(libc::EINVAL))]);
    };
    let mut frame = [0xff; 6].to_vec();
    frame.extend(source);
    frame.extend(PROTOCOL.to_be_bytes());
    frame.resize(FRAME_BYTES, 0);
    let (mut sent, mut last) = (0, None::<Instant>);
    let mut found = listen(word, wall_ms, |socket| {
        if last.is_some_and(|last| last.elapsed() < EVERY) {
            return;
        }
        last = Some(Instant::now());
        // SAFETY: frame and address live through the call and are as long as said.
        let done = unsafe {
            let mut to: libc::sockaddr_ll = zeroed();
            to.sll_family = libc::AF_PACKET as libc::sa_family_t;
            to.sll_ifindex = interface.index();
            to.sll_halen = 6;
            let length = size_of_val(&to) as libc::socklen_t;
            libc::sendto(socket, frame.as_ptr().cast(), frame.len(), 0, (&raw const to).cast(), length)
        };
        sent += i64::from(done > 0);
    });
    found.insert("sent".into(), number(sent));
    found
}

/// Listens for a while, and does `beside` before each frame.
fn listen(word: &str, wall_ms: u32, mut beside: impl FnMut(libc::c_int)) -> Facts {
    loopback_up();
    // SAFETY: makes a descriptor, whose options are read from locals of their size.
    let socket = unsafe {
        let every = i32::from((libc::ETH_P_ALL as u16).to_be());
        let socket = libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, every);
        if socket < 0 {
            return facts([("errno", number(last_errno()))]);
        }
        let pause = libc::timeval { tv_sec: 0, tv_usec: PAUSE_US };
        let length = size_of::<libc::timeval>() as libc::socklen_t;
        libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_RCVTIMEO, (&raw const pause).cast(), length);
        // What is for others too: a machine's device leaves it out unless it is asked for.
        if let Some(interface) = Interface::first() {
            let all =
                Membership { index: interface.index(), kind: MR_PROMISC, address_bytes: 0, address: [0; 8] };
            let length = size_of_val(&all) as libc::socklen_t;
            let join = libc::PACKET_ADD_MEMBERSHIP;
            libc::setsockopt(socket, libc::SOL_PACKET, join, (&raw const all).cast(), length);
        }
        socket
    };
    let until = Instant::now() + Duration::from_millis(wall_ms.into());
    let (mut frames, mut found, mut own) = (0, 0, false);
    let (speaker, mut said) = (UdpSocket::bind(("127.0.0.1", 0)), None::<Instant>);
    let mut frame = vec![0u8; 1 << 16];
    while Instant::now() < until {
        beside(socket);
        // Seldom: what is not read in time is lost, and with it what others say.
        if said.is_none_or(|said| said.elapsed() >= OWN_EVERY) {
            said = Some(Instant::now());
            let _ = speaker.as_ref().map(|speaker| speaker.send_to(OWN, ("127.0.0.1", PORT)));
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
