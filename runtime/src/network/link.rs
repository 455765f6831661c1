//! Interfaces: made, found, removed (rtnetlink(7), RTM_NEWLINK and its neighbours;
//! include/uapi/linux/if_link.h).

use std::io;
use std::net::Ipv4Addr;

use super::message::{Request, attributes, number, text};
use super::socket::Socket;

// Attributes that the C library's bindings lack.
const IFLA_BR_FORWARD_DELAY: u16 = 1;
const IFLA_BR_STP_STATE: u16 = 5;
const IFLA_BR_MCAST_SNOOPING: u16 = 23;
const IFLA_NUM_TX_QUEUES: u16 = 31;
const IFLA_NUM_RX_QUEUES: u16 = 32;
const IFLA_PROP_LIST: u16 = 52;
const IFLA_ALT_IFNAME: u16 = 53;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const IN6_ADDR_GEN_MODE_NONE: u8 = 1;
const IFLA_INET_CONF: u16 = 1;
const IPV4_DEVCONF_ARP_IGNORE: u16 = 19;
const VETH_INFO_PEER: u16 = 1;
const RTM_NEWLINKPROP: u16 = 108;
const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;
const IFLA_EXT_MASK: u16 = 29;

const ACK: u16 = libc::NLM_F_ACK as u16;
const NEW: u16 = (libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;

/// A hardware address.
pub(super) type Mac = [u8; 6];

/// The fixed part of messages about interfaces (struct ifinfomsg).
fn fixed(index: u32, up: bool) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    if up {
        let flag = (libc::IFF_UP as u32).to_ne_bytes();
        bytes[8..12].copy_from_slice(&flag);
        bytes[12..16].copy_from_slice(&flag);
    }
    bytes
}

/// An end of a pair of virtual cables.
pub(super) struct End<'a> {
    pub(super) name: &'a str,
    pub(super) mac: Mac,
}

/// A network namespace, as the process that is in it or by descriptor.
#[derive(Clone, Copy, Debug)]
pub(super) enum Namespace {
    Of(i32),
    Descriptor(i32),
}

impl Request {
    /// A bridge that learns and forwards, and does nothing else by itself.
    pub(super) fn bridge(&mut self, name: &str, mac: Mac) {
        self.message(libc::RTM_NEWLINK, NEW, &fixed(0, false)).string(libc::IFLA_IFNAME, name);
        // Given, or it would change with the ports, and with it what neighbours have learned.
        self.attribute(libc::IFLA_ADDRESS, &mac);
        self.nested(libc::IFLA_LINKINFO, |info| {
            info.string(libc::IFLA_INFO_KIND, "bridge").nested(libc::IFLA_INFO_DATA, |data| {
                data.number(IFLA_BR_STP_STATE, 0).number(IFLA_BR_FORWARD_DELAY, 0);
                data.attribute(IFLA_BR_MCAST_SNOOPING, &[0]);
            });
        });
    }

    /// A pair of virtual cable ends: `near` up at the bridge, `far` in the namespace, down.
    pub(super) fn veth(&mut self, near: &End<'_>, bridge: u32, far: &End<'_>, namespace: Option<Namespace>) {
        // One queue each: by default there are as many as processors, each with its memory.
        let queues = |request: &mut Request| {
            request.number(IFLA_NUM_TX_QUEUES, 1).number(IFLA_NUM_RX_QUEUES, 1);
        };
        self.message(libc::RTM_NEWLINK, NEW, &fixed(0, true)).string(libc::IFLA_IFNAME, near.name);
        self.attribute(libc::IFLA_ADDRESS, &near.mac).number(libc::IFLA_MASTER, bridge);
        queues(self);
        self.nested(libc::IFLA_LINKINFO, |info| {
            info.string(libc::IFLA_INFO_KIND, "veth").nested(libc::IFLA_INFO_DATA, |data| {
                data.nested(VETH_INFO_PEER, |peer| {
                    peer.raw(&fixed(0, false)).string(libc::IFLA_IFNAME, far.name);
                    peer.attribute(libc::IFLA_ADDRESS, &far.mac);
                    queues(peer);
                    if let Some(namespace) = namespace {
                        let (kind, number) = match namespace {
                            Namespace::Of(pid) => (libc::IFLA_NET_NS_PID, pid),
                            Namespace::Descriptor(fd) => (libc::IFLA_NET_NS_FD, fd),
                        };
                        peer.number(kind, number as u32);
                    }
                });
            });
        });
    }

    /// No address of IPv6 by itself, and none of the messages that go with it.
    pub(super) fn quiet(&mut self, index: u32) {
        self.message(libc::RTM_SETLINK, ACK, &fixed(index, false)).nested(libc::IFLA_AF_SPEC, |spec| {
            spec.nested(libc::AF_INET6 as u16, |inet6| {
                inet6.attribute(IFLA_INET6_ADDR_GEN_MODE, &[IN6_ADDR_GEN_MODE_NONE]);
            });
        });
    }

    /// No answer there for addresses that the host has elsewhere (ip-sysctl.rst, arp_ignore): who is at a bridge
    /// and binds a socket to its interface would reach the host at all of them, without any privilege.
    pub(super) fn answer_for_own_addresses(&mut self, index: u32) {
        self.message(libc::RTM_SETLINK, ACK, &fixed(index, false)).nested(libc::IFLA_AF_SPEC, |spec| {
            spec.nested(libc::AF_INET as u16, |inet| {
                inet.nested(IFLA_INET_CONF, |conf| {
                    conf.number(IPV4_DEVCONF_ARP_IGNORE, 1);
                });
            });
        });
    }

    pub(super) fn up(&mut self, index: u32) {
        self.message(libc::RTM_SETLINK, ACK, &fixed(index, true));
    }

    /// Up, as a port of a bridge.
    pub(super) fn up_at(&mut self, index: u32, bridge: u32) {
        self.message(libc::RTM_SETLINK, ACK, &fixed(index, true)).number(libc::IFLA_MASTER, bridge);
    }

    /// Further names; an interface's names are all unique in its namespace.
    pub(super) fn further_names(&mut self, index: u32, names: &[&str]) {
        self.message(RTM_NEWLINKPROP, NEW, &fixed(index, false)).nested(IFLA_PROP_LIST, |list| {
            for name in names {
                list.string(IFLA_ALT_IFNAME, name);
            }
        });
    }

    /// An address of IPv4 with the prefix that is reached through the interface.
    pub(super) fn address(&mut self, index: u32, address: Ipv4Addr, prefix: u8) {
        let mut fixed = [libc::AF_INET as u8, prefix, 0, 0, 0, 0, 0, 0];
        fixed[4..8].copy_from_slice(&index.to_ne_bytes());
        self.message(libc::RTM_NEWADDR, NEW, &fixed);
        self.attribute(libc::IFA_LOCAL, &address.octets()).attribute(libc::IFA_ADDRESS, &address.octets());
    }

    pub(super) fn remove(&mut self, index: u32) {
        self.message(libc::RTM_DELLINK, ACK, &fixed(index, false));
    }
}

/// An interface of this namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) further_names: Vec<String>,
}

/// All interfaces of the socket's namespace.
pub(super) fn list(socket: &Socket) -> io::Result<Vec<Link>> {
    let mut request = Request::default();
    let flags = (libc::NLM_F_ROOT | libc::NLM_F_MATCH) as u16;
    request
        .message(libc::RTM_GETLINK, flags, &fixed(0, false))
        .number(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    let mut links = Vec::new();
    socket.dump(&request, |body| {
        let Some(index) = number(body, 4) else { return };
        let mut link = Link { index, name: String::new(), further_names: Vec::new() };
        for (kind, value) in attributes(body.get(16..).unwrap_or_default()) {
            match kind {
                libc::IFLA_IFNAME => link.name = text(value),
                IFLA_PROP_LIST => {
                    let names = attributes(value).filter(|(kind, _)| *kind == IFLA_ALT_IFNAME);
                    link.further_names.extend(names.map(|(_, name)| text(name)));
                }
                _ => {}
            }
        }
        links.push(link);
    })?;
    Ok(links)
}

/// The number of the interface with this name in the calling thread's namespace.
pub(super) fn index_of(name: &str) -> io::Result<u32> {
    Ok(rustix::net::netdevice::name_to_index(socket_of_any_kind()?, name)?)
}

fn socket_of_any_kind() -> io::Result<std::os::fd::OwnedFd> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    Ok(socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?)
}
