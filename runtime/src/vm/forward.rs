//! A port of the host's loopback that leads to a machine in QEMU's user-mode network.
//!
//! QEMU opens the port itself, long after somebody has to say which. Meanwhile it is kept by a socket
//! that is bound to it and never listens: while it lives the kernel gives the port to nobody who asks
//! for any (bind(2) with port 0, connect(2) without bind), and lets QEMU have it all the same, because
//! both ask for SO_REUSEADDR and neither of two such sockets that share an address listens yet
//! (socket(7); `inet_csk_bind_conflict` in net/ipv4/inet_connection_sock.c). libslirp asks for it
//! always (`slirp_socket_set_fast_reuse`).

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt};

use crate::Error;

/// The port, kept until it is dropped.
#[derive(Debug)]
pub(super) struct Forward {
    _socket: OwnedFd,
    pub(super) host_port: u16,
}

impl Forward {
    /// Any free one.
    ///
    /// # Errors
    /// Where there is none.
    pub(super) fn reserve() -> Result<Forward, Error> {
        let reserved = || -> rustix::io::Result<Forward> {
            let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
            sockopt::set_socket_reuseaddr(&socket, true)?;
            bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
            let host_port = SocketAddr::try_from(getsockname(&socket)?)?.port();
            Ok(Forward { _socket: socket, host_port })
        };
        reserved().map_err(Error::system("find a free port of the host's loopback"))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    const ANY: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

    /// In a network with only two ports to give away, one of which is kept.
    #[test]
    fn a_kept_port_is_given_to_nobody_but_whom_it_is_kept_for() {
        if !crate::network::tests::host() {
            return;
        }
        std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "50000 50001").expect("narrowed");
        let kept = Forward::reserve().expect("reserved");
        // Whatever asks for any port gets the other one, and then none.
        let other = TcpListener::bind(ANY).expect("the other is free");
        let other_port = other.local_addr().expect("bound").port();
        assert_ne!(other_port, kept.host_port);
        assert!(TcpListener::bind(ANY).is_err(), "the kept port was given away");
        drop(other);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 40_000)).expect("bound");
        let to = listener.local_addr().expect("bound");
        let from = TcpStream::connect(to).expect("connected");
        assert_eq!(from.local_addr().expect("bound").port(), other_port);
        assert!(TcpStream::connect(to).is_err(), "the kept port was given away");
        // The one it is kept for has it, as QEMU does: with SO_REUSEADDR, which the library sets.
        let machine = TcpListener::bind((Ipv4Addr::LOCALHOST, kept.host_port)).expect("had");
        let address = machine.local_addr().expect("bound");
        drop(kept);
        std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "51000 52000").expect("widened");
        assert!(TcpStream::connect(address).is_ok(), "it listens");
    }
}
