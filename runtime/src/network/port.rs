//! One instance's place at its run's bridge.

use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use super::bridge::Bridge;
use super::link::{End, Mac, Namespace, index_of};
use super::message::Request;
use super::range::PREFIX;
use super::socket::Socket;
use crate::Error;

/// What an instance's interface is called inside.
const INSIDE: &str = "eth0";

/// An address, and the right to one port. What is plugged in goes away with the instance: a cable
/// with its network namespace, a tap with its last descriptor.
#[derive(Debug)]
pub struct Port {
    bridge: Arc<Bridge>,
    /// Which of the run's bridges, and its interface.
    at: usize,
    index: u32,
    number: u16,
}

impl Port {
    pub(super) fn new(bridge: Arc<Bridge>, at: usize, index: u32, number: u16) -> Port {
        Port { bridge, at, index, number }
    }

    /// The instance's address.
    pub fn address(&self) -> Ipv4Addr {
        self.bridge.address(self.number)
    }

    /// The address with its prefix, as a guest is told it.
    pub fn address_with_prefix(&self) -> String {
        format!("{}/{PREFIX}", self.address())
    }

    /// The hardware address, as QEMU wants it.
    pub fn mac(&self) -> String {
        self.bridge.far_mac(self.number).map(|byte| format!("{byte:02x}")).join(":")
    }

    /// A cable from the bridge into the network namespace of process `pid`, where it is called eth0
    /// and has the address. Bringing `lo` up there is the instance's own affair.
    ///
    /// # Errors
    /// Where the process is gone or the kernel refuses.
    pub fn plug_into(&self, pid: i32) -> Result<(), Error> {
        let path = format!("/proc/{pid}/ns/net");
        let namespace = File::open(&path).map_err(Error::system(format!("open {path}")))?;
        self.cable(Namespace::Of(pid))?;
        self.configure(namespace.as_fd())
    }

    /// The same for a namespace by descriptor.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn plug_into_namespace(&self, namespace: BorrowedFd<'_>) -> Result<(), Error> {
        self.cable(Namespace::Descriptor(namespace.as_raw_fd()))?;
        self.configure(namespace)
    }

    fn cable(&self, namespace: Namespace) -> Result<(), Error> {
        let named = self.bridge.name('v', self.number);
        let near = End { name: &named, mac: self.bridge.near_mac(self.number) };
        let far = End { name: INSIDE, mac: self.bridge.far_mac(self.number) };
        let mut request = Request::default();
        request.veth(&near, self.index, &far, Some(namespace));
        let socket = Socket::open().map_err(Error::system("open a netlink socket"))?;
        socket.execute(&request).map_err(Error::system(format!("make the interface {named}")))
    }

    fn configure(&self, namespace: BorrowedFd<'_>) -> Result<(), Error> {
        within(namespace, || {
            let index = index_of(INSIDE)?;
            let mut request = Request::default();
            request.quiet(index);
            request.address(index, self.address(), PREFIX);
            request.up(index);
            Socket::open()?.execute(&request)
        })
        .map_err(Error::system(format!("give a container's interface the address {}", self.address())))
    }

    /// A tap at the bridge, for QEMU's `-netdev tap,fd=`.
    ///
    /// # Errors
    /// Where there is no /dev/net/tun or the kernel refuses.
    pub fn tap(&self) -> Result<OwnedFd, Error> {
        let named = self.bridge.name('t', self.number);
        let path = "/dev/net/tun";
        let device = File::options().read(true).write(true).open(path);
        let device = device.map_err(Error::system(format!("open {path} (try: modprobe tun)")))?;
        let refused = |error: io::Error| Error::system(format!("make the interface {named}"))(error);
        set_interface(&device, &named).map_err(refused)?;
        let index = index_of(&named).map_err(refused)?;
        let mut request = Request::default();
        request.quiet(index);
        request.tap_at(index, self.index, self.bridge.near_mac(self.number));
        let socket = Socket::open().map_err(Error::system("open a netlink socket"))?;
        socket.execute(&request).map_err(refused)?;
        Ok(device.into())
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.bridge.give_back(self.at, self.number);
    }
}

impl Request {
    fn tap_at(&mut self, index: u32, bridge: u32, mac: Mac) {
        self.up_at(index, bridge);
        self.attribute(libc::IFLA_ADDRESS, &mac);
    }
}

/// Runs `act` with the calling thread in another network namespace.
pub(super) fn within<T>(namespace: BorrowedFd<'_>, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let own = File::open("/proc/thread-self/ns/net")?;
    set_namespace(namespace)?;
    let done = act();
    // Its own is open and allowed, so this cannot be refused; a thread that stayed would do its
    // further work in a dead instance's namespace.
    if let Err(error) = set_namespace(own.as_fd()) {
        eprintln!("bench: a thread cannot leave an instance's network namespace: {error}");
        std::process::abort();
    }
    done
}

fn set_namespace(namespace: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: changes the namespace of this thread only.
    match unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes a tap that goes away with the descriptor (Documentation/networking/tuntap.rst).
fn set_interface(device: &File, name: &str) -> io::Result<()> {
    // SAFETY: plain data for which all zeroes is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    // With the header by which checksums and segmentation are left to the other side.
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // SAFETY: the request lives through the call.
    match unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw mut request) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
