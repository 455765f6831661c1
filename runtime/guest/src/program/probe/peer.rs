//! What an instance does at a network of its own (netdevice(7), ip(7), raw(7)): it answers, connects where it
//! should not get to, and sends what is not its own.

use std::cell::RefCell;
use std::ffi::{CStr, CString};
use std::io::{self, Read, Write};
use std::mem::{size_of, size_of_val, zeroed};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use guest::probe::Facts;

use super::load::aside;
use super::net::loopback_up;
use super::{errno, errno_of, facts, last_errno, number, text};

/// How long somebody may take to answer who is there.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long it is tried to get where nobody should.
const TRY_MS: libc::suseconds_t = 700;
/// How long a peer says nothing.
const SILENCE: Duration = Duration::from_millis(200);
/// An IPv4 header without options and a UDP header (RFC 791, RFC 768).
const HEADERS_BYTES: usize = 20 + 8;

/// The first interface that has an address and is not the loopback.
pub(super) struct Interface {
    pub(super) name: CString,
    address: Ipv4Addr,
}

impl Interface {
    /// getifaddrs(3).
    pub(super) fn first() -> Option<Interface> {
        let mut found = None;
        // SAFETY: the list is the library's until it is freed; an AF_INET address is a sockaddr_in.
        unsafe {
            let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
            if libc::getifaddrs(&mut list) != 0 {
                return None;
            }
            let mut at = list;
            while let Some(one) = at.as_ref() {
                at = one.ifa_next;
                let is_loopback = one.ifa_flags & libc::IFF_LOOPBACK as libc::c_uint != 0;
                if is_loopback
                    || one.ifa_addr.is_null()
                    || libc::c_int::from((*one.ifa_addr).sa_family) != libc::AF_INET
                {
                    continue;
                }
                let address = one.ifa_addr.cast::<libc::sockaddr_in>().read_unaligned();
                let address = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
                found = Some(Interface { name: CStr::from_ptr(one.ifa_name).to_owned(), address });
                break;
            }
            libc::freeifaddrs(list);
        }
        found
    }

    /// Its number (if_nametoindex(3)).
    pub(super) fn index(&self) -> libc::c_int {
        // SAFETY: the name ends with NUL.
        unsafe { libc::if_nametoindex(self.name.as_ptr()) as libc::c_int }
    }

    /// Its hardware address, as `aa:bb:cc:dd:ee:ff` (netdevice(7), SIOCGIFHWADDR).
    fn hardware(&self) -> Option<String> {
        let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
        // SAFETY: ifreq is plain data that lives through the call, which fills in the address.
        let bytes = unsafe {
            let mut request: libc::ifreq = zeroed();
            for (to, from) in request.ifr_name.iter_mut().zip(self.name.as_bytes()) {
                *to = *from as libc::c_char;
            }
            let socket = std::os::fd::AsRawFd::as_raw_fd(&socket);
            if libc::ioctl(socket, libc::SIOCGIFHWADDR, &mut request) != 0 {
                return None;
            }
            request.ifr_ifru.ifru_hwaddr.sa_data
        };
        Some(bytes[..6].iter().map(|byte| format!("{:02x}", *byte as u8)).collect::<Vec<_>>().join(":"))
    }
}

/// Answers, in two processes that end with this one, which the caller keeps.
pub fn peer(word: &str) -> Facts {
    loopback_up();
    let Some(interface) = Interface::first() else { return facts([("errno", number(libc::ENODEV))]) };
    // What stays closes what it has inherited, so it makes its sockets itself; here it shows whether it can.
    let free = listener(0).and_then(|listener| listener.local_addr()).map(|address| address.port());
    let port = match free.and_then(|port| receiver(port).map(|_| port)) {
        Ok(port) => port,
        Err(error) => return facts([("errno", errno(&error))]),
    };
    aside(word, None, || {
        let listener = listener(port);
        move || match listener.as_ref().map(TcpListener::accept) {
            Ok(Ok((mut stream, _))) => drop(stream.write_all(word.as_bytes())),
            Ok(Err(_)) => {}
            Err(_) => nothing(),
        }
    });
    aside(word, None, || {
        let receiver = receiver(port);
        let last = RefCell::new(None);
        move || match &receiver {
            Ok(socket) => echo(socket, &mut last.borrow_mut()),
            Err(_) => nothing(),
        }
    });
    facts([
        ("errno", number(0)),
        ("port", number(port)),
        ("address", text(interface.address.to_string().as_bytes())),
        ("hardware", text(interface.hardware().unwrap_or_default().as_bytes())),
    ])
}

fn listener(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
}

fn receiver(port: u16) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
    socket.set_read_timeout(Some(SILENCE))?;
    Ok(socket)
}

/// What comes, back; where nothing does, what came last: so a bridge learns again where it is.
fn echo(socket: &UdpSocket, last: &mut Option<(Vec<u8>, SocketAddr)>) {
    let mut bytes = [0; 256];
    if let Ok((length, from)) = socket.recv_from(&mut bytes) {
        *last = Some((bytes[..length].to_vec(), from));
    }
    if let Some((what, to)) = last {
        let _ = socket.send_to(what, *to);
    }
}

/// Who cannot answer does not compute either.
fn nothing() {
    // SAFETY: waits for a signal.
    unsafe { libc::pause() };
}

/// Tries to get to an address that is not of its network.
pub fn reach(to: &str, gateway: &str, peer: &str, word: &str) -> Facts {
    let (Ok(to), Ok(gateway), Ok(peer)) =
        (to.parse::<SocketAddrV4>(), gateway.parse::<Ipv4Addr>(), peer.parse::<SocketAddrV4>())
    else {
        return facts([("errno", number(libc::EINVAL))]);
    };
    let mut found = facts([("own", number(i64::from(answers(peer, word))))]);
    let mut tell = |name: &str, errno: i64| {
        found.insert(name.to_owned(), number(errno));
        errno == 0
    };
    if tell("plain", connect(to, None)) {
        return found;
    }
    let Some(interface) = Interface::first() else { return found };
    if tell("bound", connect(to, Some(&interface.name))) || !tell("route", add_route(*to.ip(), gateway)) {
        return found;
    }
    tell("routed", connect(to, None));
    found
}

fn answers(peer: SocketAddrV4, word: &str) -> bool {
    let heard = TcpStream::connect_timeout(&peer.into(), PATIENCE).and_then(|mut stream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        Ok(said)
    });
    heard.is_ok_and(|said| said == word)
}

/// The error number of connect(2), by the interface alone where one is given (socket(7), SO_BINDTODEVICE).
fn connect(to: SocketAddrV4, device: Option<&CStr>) -> i64 {
    // SAFETY: options and address are local and as long as said; the descriptor is closed here.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        let patience = libc::timeval { tv_sec: TRY_MS / 1000, tv_usec: TRY_MS % 1000 * 1000 };
        let set = |option, value: *const libc::c_void, length: usize| {
            libc::setsockopt(socket, libc::SOL_SOCKET, option, value, length as libc::socklen_t)
        };
        set(libc::SO_SNDTIMEO, (&raw const patience).cast(), size_of_val(&patience));
        let bound = device.map_or(0, |name| {
            set(libc::SO_BINDTODEVICE, name.as_ptr().cast(), name.to_bytes_with_nul().len())
        });
        let address = address_of(to);
        let length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        let done = match bound {
            0 => libc::connect(socket, (&raw const address).cast(), length),
            refused => refused,
        };
        let errno = errno_of(done.into());
        libc::close(socket);
        errno
    }
}

/// The error number of a route to this one address (rtentry of linux/route.h, SIOCADDRT).
fn add_route(to: Ipv4Addr, gateway: Ipv4Addr) -> i64 {
    const RTF_UP: libc::c_ushort = 1;
    const RTF_GATEWAY: libc::c_ushort = 2;
    const RTF_HOST: libc::c_ushort = 4;
    // SAFETY: plain data that lives through the call; the descriptor is closed here.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        let mut entry: libc::rtentry = zeroed();
        let of = |address| {
            std::mem::transmute::<libc::sockaddr_in, libc::sockaddr>(address_of(SocketAddrV4::new(
                address, 0,
            )))
        };
        (entry.rt_dst, entry.rt_gateway) = (of(to), of(gateway));
        entry.rt_flags = RTF_UP | RTF_GATEWAY | RTF_HOST;
        let errno = errno_of(libc::ioctl(socket, libc::SIOCADDRT, &raw const entry).into());
        libc::close(socket);
        errno
    }
}

/// Sends what is its own, and what says that it is another's.
pub fn forge(source: &str, to: &str, word: &str) -> Facts {
    let (Ok(source), Ok(to)) = (source.parse::<Ipv4Addr>(), to.parse::<SocketAddrV4>()) else {
        return facts([("errno", number(libc::EINVAL))]);
    };
    let own = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .and_then(|socket| socket.send_to(format!("{word}-own").as_bytes(), to));
    let forged = format!("{word}-forged");
    facts([
        ("errno", own.map_or_else(|error| errno(&error), |_| number(0))),
        ("bound", number(send_bound(source, to, forged.as_bytes()))),
        ("raw", number(send_raw(source, to, forged.as_bytes()))),
    ])
}

/// From a socket with an address that nobody here has (ip(7), IP_FREEBIND).
fn send_bound(source: Ipv4Addr, to: SocketAddrV4, payload: &[u8]) -> i64 {
    // SAFETY: addresses, option and payload live through the calls; the descriptor is closed here.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        let (on, own, to) = (1i32, address_of(SocketAddrV4::new(source, 0)), address_of(to));
        let length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        libc::setsockopt(socket, libc::IPPROTO_IP, libc::IP_FREEBIND, (&raw const on).cast(), 4);
        let sent = match libc::bind(socket, (&raw const own).cast(), length) {
            0 => send(socket, to, payload),
            refused => refused as isize,
        };
        let errno = errno_of(sent as i64);
        libc::close(socket);
        errno
    }
}

/// With headers written here (raw(7): IPPROTO_RAW; the kernel fills in the sum).
fn send_raw(source: Ipv4Addr, to: SocketAddrV4, payload: &[u8]) -> i64 {
    let length = (HEADERS_BYTES + payload.len()) as u16;
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, libc::IPPROTO_UDP as u8, 0, 0]);
    packet.extend(source.octets());
    packet.extend(to.ip().octets());
    packet.extend(to.port().to_be_bytes());
    packet.extend(to.port().to_be_bytes());
    packet.extend((length - 20).to_be_bytes());
    // No sum: it is optional (RFC 768).
    packet.extend([0, 0]);
    packet.extend(payload);
    // SAFETY: a descriptor that is closed here.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::IPPROTO_RAW);
        if socket < 0 {
            return last_errno().into();
        }
        let errno = errno_of(send(socket, address_of(SocketAddrV4::new(*to.ip(), 0)), &packet) as i64);
        libc::close(socket);
        errno
    }
}

fn send(socket: libc::c_int, to: libc::sockaddr_in, bytes: &[u8]) -> isize {
    let length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    // SAFETY: buffer and address live through the call and are as long as said.
    unsafe { libc::sendto(socket, bytes.as_ptr().cast(), bytes.len(), 0, (&raw const to).cast(), length) }
}

fn address_of(address: SocketAddrV4) -> libc::sockaddr_in {
    // SAFETY: plain data for which all zeroes is valid.
    let mut found: libc::sockaddr_in = unsafe { zeroed() };
    found.sin_family = libc::AF_INET as libc::sa_family_t;
    found.sin_port = address.port().to_be();
    found.sin_addr.s_addr = u32::from(*address.ip()).to_be();
    found
}
