//! Sockets: abstract names, ports, cookies (unix(7), ip(7), socket(7)).

use std::mem::{size_of, zeroed};

use guest::probe::Facts;

use super::{errno_of, facts, last_errno, number};

/// SO_COOKIE (asm-generic/socket.h).
const SO_COOKIE: libc::c_int = 57;

/// Listens on an abstract name; connections wait in its queue.
pub fn abstract_plant(name: &str) -> Facts {
    let made = errno_of(abstract_socket(name, true));
    facts([("errno", number(made)), ("own", number(i64::from(abstract_socket(name, false) >= 0)))])
}

/// Connects to an abstract name, and to one of its own.
pub fn abstract_look(name: &str) -> Facts {
    let found = errno_of(abstract_socket(name, false));
    let own = format!("{name}-own");
    let listening = abstract_socket(&own, true) >= 0;
    let seen = listening && abstract_socket(&own, false) >= 0;
    facts([("errno", number(found)), ("own", number(i64::from(seen)))])
}

/// Listens on a TCP port of the loopback.
pub fn port_plant(port: u16) -> Facts {
    loopback_up();
    let made = errno_of(tcp(port, true).into());
    facts([("errno", number(made)), ("own", number(i64::from(tcp(port, false) >= 0)))])
}

/// Connects to a TCP port of the loopback; then to the same port after listening there itself, which
/// shows that the address is free here (`bind`) and the loopback works (`own`).
pub fn port_look(port: u16) -> Facts {
    loopback_up();
    let found = errno_of(tcp(port, false).into());
    let bound = errno_of(tcp(port, true).into());
    let own = bound == 0 && tcp(port, false) >= 0;
    facts([("errno", number(found)), ("bind", number(bound)), ("own", number(i64::from(own)))])
}

/// Makes sockets and asks each for its cookie, which the kernel counts up when it is first asked.
pub fn cookies(count: u32) -> Facts {
    // Each processor takes a batch of numbers for itself: only on the same one do they follow each other.
    // SAFETY: the set is plain data; acts on this process alone.
    unsafe {
        let mut first: libc::cpu_set_t = zeroed();
        libc::CPU_SET(0, &mut first);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &first);
    }
    let (mut made, mut last) = (0, 0u64);
    for _ in 0..count.max(1) {
        // SAFETY: makes a descriptor, closed below; the cookie is stored in a local of its size.
        unsafe {
            let socket = libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
            let mut cookie = 0u64;
            let mut length = size_of::<u64>() as libc::socklen_t;
            let asked =
                libc::getsockopt(socket, libc::SOL_SOCKET, SO_COOKIE, (&raw mut cookie).cast(), &mut length);
            if asked != 0 {
                let errno = last_errno();
                libc::close(socket);
                return facts([("errno", number(errno)), ("made", number(made))]);
            }
            libc::close(socket);
            (made, last) = (made + 1, cookie);
        }
    }
    facts([("errno", number(0)), ("made", number(made)), ("value", number(last as i64))])
}

/// Opens so many TCP connections over the loopback and keeps them.
pub fn connections(count: u32) -> Facts {
    loopback_up();
    // SAFETY: descriptors are kept on purpose; addresses are local and as long as said.
    unsafe {
        let listener = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        let mut address = loopback(0);
        let length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        let mut got = length;
        if libc::bind(listener, (&raw const address).cast(), length) != 0
            || libc::listen(listener, count as libc::c_int + 1) != 0
            || libc::getsockname(listener, (&raw mut address).cast(), &mut got) != 0
        {
            return facts([("errno", number(last_errno()))]);
        }
        let mut made = 0;
        for _ in 0..count {
            let client = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
            if libc::connect(client, (&raw const address).cast(), length) != 0 {
                return facts([("errno", number(last_errno())), ("made", number(made))]);
            }
            libc::accept4(listener, std::ptr::null_mut(), std::ptr::null_mut(), libc::SOCK_CLOEXEC);
            made += 1;
        }
        facts([("errno", number(0)), ("made", number(made))])
    }
}

/// Listens on or connects to an abstract name; the descriptor stays open.
fn abstract_socket(name: &str, listens: bool) -> i64 {
    // SAFETY: sockaddr_un is plain data; the length covers what was written of it.
    unsafe {
        let socket = libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        let mut address: libc::sockaddr_un = zeroed();
        address.sun_family = libc::AF_UNIX as libc::sa_family_t;
        // The first byte stays NUL (unix(7), abstract).
        for (to, from) in address.sun_path.iter_mut().skip(1).zip(name.bytes()) {
            *to = from as libc::c_char;
        }
        let length = (size_of::<libc::sa_family_t>() + 1 + name.len()) as libc::socklen_t;
        let address = (&raw const address).cast();
        let done = match listens {
            true => libc::bind(socket, address, length) | libc::listen(socket, 16),
            false => libc::connect(socket, address, length),
        };
        if done == 0 { socket.into() } else { done.into() }
    }
}

fn loopback(port: u16) -> libc::sockaddr_in {
    // SAFETY: plain data for which all zeroes is valid.
    let mut address: libc::sockaddr_in = unsafe { zeroed() };
    address.sin_family = libc::AF_INET as libc::sa_family_t;
    address.sin_port = port.to_be();
    address.sin_addr.s_addr = u32::from(std::net::Ipv4Addr::LOCALHOST).to_be();
    address
}

fn tcp(port: u16, listens: bool) -> libc::c_int {
    // SAFETY: the address is local and as long as said; the descriptor stays open.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        let address = loopback(port);
        let length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        let address = (&raw const address).cast();
        let done = match listens {
            true => match libc::bind(socket, address, length) {
                0 => libc::listen(socket, 16),
                refused => refused,
            },
            false => libc::connect(socket, address, length),
        };
        if done == 0 { socket } else { done }
    }
}

/// Brings the loopback up where that is allowed; a machine without a network has not done it.
pub(super) fn loopback_up() {
    // SAFETY: plain data; the request is initialised and lives through the calls.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        let mut request: libc::ifreq = zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        if libc::ioctl(socket, libc::SIOCGIFFLAGS, &mut request) == 0 {
            request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short;
            libc::ioctl(socket, libc::SIOCSIFFLAGS, &mut request);
        }
        libc::close(socket);
    }
}
