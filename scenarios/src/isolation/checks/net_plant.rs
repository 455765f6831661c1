//! What the host plants in its network (network_namespaces(7)): sockets, a route, an interface, a parameter.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use nix::libc;

use super::super::check::{Absent, HostPlant, OnHost};
use super::super::nonce::Nonce;
use super::super::world;

/// A parameter that is there in every version and changes nothing else.
pub(super) const PORTS: &str = "/proc/sys/net/ipv4/ip_local_port_range";

fn address(name: &str) -> std::io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(name)
}

pub(super) fn connect(name: &str) -> std::io::Result<UnixStream> {
    UnixStream::connect_addr(&address(name)?)
}

/// The real host's routes and parameters are not to be changed.
pub(in super::super) fn only_in_a_world() -> Result<(), Absent> {
    match world::has_own("net") {
        true => Ok(()),
        false => Err(Absent("this is the real host's network, which is left as it is".into())),
    }
}

/// An abstract socket of the world's host.
pub(super) struct AbstractListener {
    name: String,
    _listener: UnixListener,
}

impl AbstractListener {
    pub(super) fn plant(nonce: &Nonce) -> HostPlant {
        let name = nonce.word();
        let listener = address(&name).and_then(|address| UnixListener::bind_addr(&address));
        let listener = listener.map_err(|error| Absent(format!("an abstract socket: {error}")))?;
        Ok(Box::new(AbstractListener { name, _listener: listener }))
    }
}

impl OnHost for AbstractListener {
    fn witness(&self) -> Result<String, String> {
        connect(&self.name)
            .map(|_| format!("the host connects to @{}", self.name))
            .map_err(|error| error.to_string())
    }

    fn text(&self) -> String {
        format!("@{}", self.name)
    }
}

/// A TCP port of the world's loopback.
pub(super) struct PortListener(std::net::TcpListener);

impl PortListener {
    pub(super) fn plant(_: &Nonce) -> HostPlant {
        raise_loopback().map_err(|error| Absent(format!("the loopback: {error}")))?;
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0));
        Ok(Box::new(PortListener(listener.map_err(|error| Absent(format!("a port: {error}")))?)))
    }
}

impl OnHost for PortListener {
    fn witness(&self) -> Result<String, String> {
        let connected = self.0.local_addr().and_then(std::net::TcpStream::connect);
        connected
            .map(|_| format!("the host connects to port {}", self.number()))
            .map_err(|error| error.to_string())
    }

    fn number(&self) -> i64 {
        self.0.local_addr().map_or(0, |address| address.port().into())
    }
}

/// A world begins with its loopback down (netdevice(7), SIOCSIFFLAGS).
pub(super) fn raise_loopback() -> std::io::Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: ifreq is plain data that lives through the call.
    let done = unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &request)
    };
    if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// A route of the world's host to nowhere (rtnetlink's RTN_UNREACHABLE, RTF_REJECT of SIOCADDRT).
pub(super) struct Route {
    entry: libc::rtentry,
    /// As /proc/net/route has it: the address in hexadecimal, least significant byte first.
    shown: String,
}

impl Route {
    pub(super) fn plant(nonce: &Nonce) -> HostPlant {
        only_in_a_world()?;
        // 198.18.0.0/15 is for benchmarks (RFC 2544): nobody's.
        let octets = [198, 18, nonce.amplitude(1, 255) as u8, 0];
        // SAFETY: plain data.
        let mut entry: libc::rtentry = unsafe { std::mem::zeroed() };
        entry.rt_dst = address_of(octets);
        entry.rt_genmask = address_of([255, 255, 255, 0]);
        entry.rt_flags = RTF_REJECT;
        let route = Route { entry, shown: format!("{:08X}", u32::from_le_bytes(octets)) };
        route.change(libc::SIOCADDRT).map_err(|error| Absent(format!("a route: {error}")))?;
        Ok(Box::new(route))
    }

    fn change(&self, request: libc::c_ulong) -> std::io::Result<()> {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
        // SAFETY: the entry lives through the call.
        let done = unsafe { libc::ioctl(socket.as_raw_fd(), request, &raw const self.entry) };
        if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    }
}

/// linux/route.h.
const RTF_REJECT: libc::c_ushort = 0x0200;

fn address_of(octets: [u8; 4]) -> libc::sockaddr {
    let mut address = libc::sockaddr { sa_family: libc::AF_INET as libc::sa_family_t, sa_data: [0; 14] };
    // The port comes first (ip(7)).
    for (to, from) in address.sa_data[2..].iter_mut().zip(octets) {
        *to = from as libc::c_char;
    }
    address
}

impl OnHost for Route {
    fn witness(&self) -> Result<String, String> {
        let list =
            std::fs::read_to_string("/proc/thread-self/net/route").map_err(|error| error.to_string())?;
        match list.contains(&self.shown) {
            true => Ok(format!("the host has the route to {}", self.shown)),
            false => Err(format!("the host has no route to {}", self.shown)),
        }
    }

    fn text(&self) -> String {
        self.shown.clone()
    }
}

impl Drop for Route {
    fn drop(&mut self) {
        let _ = self.change(libc::SIOCDELRT);
    }
}

/// A network interface of the world's host: a TUN device, which ends with its descriptor
/// (Documentation/networking/tuntap.rst).
pub(super) struct Interface {
    name: String,
    _tun: OwnedFd,
}

impl Interface {
    pub(super) fn plant(nonce: &Nonce) -> HostPlant {
        const TUNSETIFF: libc::Ioctl = 0x4004_54ca;
        let name = nonce.word();
        let tun = std::fs::File::options().read(true).write(true).open("/dev/net/tun");
        let tun: OwnedFd = tun.map_err(|error| Absent(format!("/dev/net/tun: {error}")))?.into();
        // SAFETY: ifreq is plain data that lives through the call.
        let made = unsafe {
            let mut request: libc::ifreq = std::mem::zeroed();
            for (to, from) in request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(name.bytes()) {
                *to = from as libc::c_char;
            }
            request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
            libc::ioctl(tun.as_raw_fd(), TUNSETIFF, &request)
        };
        match made {
            0 => Ok(Box::new(Interface { name, _tun: tun })),
            _ => Err(Absent(format!("an interface: {}", std::io::Error::last_os_error()))),
        }
    }
}

impl OnHost for Interface {
    fn witness(&self) -> Result<String, String> {
        // /proc/net is the main thread's, and the world is this thread's.
        let list = std::fs::read_to_string("/proc/thread-self/net/dev").map_err(|error| error.to_string())?;
        match list.contains(&self.name) {
            true => Ok(format!("the host has the interface {}", self.name)),
            false => Err(format!("the host has no interface {}", self.name)),
        }
    }

    fn text(&self) -> String {
        self.name.clone()
    }
}

/// The world's range of local ports, changed to a random one.
pub(super) struct LocalPorts(String);

impl LocalPorts {
    pub(super) fn plant(nonce: &Nonce) -> HostPlant {
        only_in_a_world()?;
        let value = format!("{}\t61000", nonce.amplitude(31_000, 40_000));
        std::fs::write(PORTS, &value).map_err(|error| Absent(format!("{PORTS}: {error}")))?;
        Ok(Box::new(LocalPorts(value)))
    }
}

impl OnHost for LocalPorts {
    fn witness(&self) -> Result<String, String> {
        match std::fs::read_to_string(PORTS) {
            Ok(text) if text.trim() == self.0 => Ok(format!("{PORTS} of the host is {:?}", self.0)),
            other => Err(format!("{PORTS} of the host is {other:?}")),
        }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}
