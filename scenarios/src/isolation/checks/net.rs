//! Network namespace (network_namespaces(7)).

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use guest::probe::Request;
use nix::libc;
use runtime::container::Mechanism;

use super::super::check::{Check, Company, Expect, Finding, Missing, Scene, Twin};
use super::super::judge;
use super::super::kind::Kind;
use super::super::nonce::Nonce;
use super::net_message as message;
use super::net_plant::{
    AbstractListener, Interface, LocalPorts, PORTS, PortListener, Route, connect, raise_loopback,
};
use super::net_rule::{Speaker, Table};

const CLAIM: &str = "ns-net";
const SOURCE: &str = "network_namespaces(7)";
const TWIN: Twin = Twin::Without(&[Mechanism::NetworkNamespace]);
const CAP_NET_ADMIN: u32 = 12;
const CAP_NET_RAW: u32 = 13;
/// What of the host's network its administrator may ask for.
const HOST_NETWORK: Twin = Twin::Without(&[
    Mechanism::NetworkNamespace,
    Mechanism::UserNamespace,
    Mechanism::Capability(CAP_NET_ADMIN),
]);

pub(super) const ALL: &[Check] = &[
    Check {
        id: "net-abstract-sibling",
        claim: CLAIM,
        question: "does a sibling reach another's abstract socket?",
        source: "unix(7), abstract; network_namespaces(7)",
        plant: Some(|nonce| vec![Request::AbstractPlant { name: nonce.word() }]),
        look: Some(|scene| vec![Request::AbstractLook { name: scene.nonce.word() }]),
        judge: |scene| judge::not_found(scene.look(0)?, libc::ECONNREFUSED),
        twin: TWIN,
        ..Check::NOTHING
    },
    Check {
        id: "net-abstract-host-in",
        claim: CLAIM,
        question: "is the host's abstract socket reached from inside?",
        source: "unix(7), abstract; network_namespaces(7); CVE-2020-15257",
        on_host: Some(AbstractListener::plant),
        look: Some(|scene| vec![Request::AbstractLook { name: scene.nonce.word() }]),
        judge: |scene| judge::not_found(scene.look(0)?, libc::ECONNREFUSED),
        twin: TWIN,
        ..Check::NOTHING
    },
    Check {
        id: "net-abstract-inside-out",
        claim: CLAIM,
        question: "does the host reach an instance's abstract socket?",
        source: "unix(7), abstract; network_namespaces(7)",
        plant: Some(|nonce| vec![Request::AbstractPlant { name: nonce.word() }]),
        judge: |scene| of_the_host(connect(&scene.nonce.word())),
        twin: TWIN,
        ..Check::NOTHING
    },
    Check {
        id: "net-port-sibling",
        claim: CLAIM,
        question: "does a sibling reach another's port of the loopback?",
        source: SOURCE,
        plant: Some(|nonce| vec![Request::PortPlant { port: port(nonce) }]),
        look: Some(|scene| vec![Request::PortLook { port: port(scene.nonce) }]),
        // Its own listener can only be had where the address is free; where it is not, it is the other's.
        judge: |scene| {
            let (errno, bind) = (scene.look(0)?.number("errno")?, scene.look(0)?.number("bind")?);
            Ok(match (errno as i32, bind as i32) {
                (0, _) => Finding::Open("it connects".into()),
                (_, libc::EADDRINUSE) => Finding::Open("the address is taken".into()),
                (libc::ECONNREFUSED, 0) => Finding::Apart("ECONNREFUSED, and the same port is free".into()),
                (errno, bind) => Finding::Wrong(format!(
                    "connect {}, bind {}",
                    judge::name(errno.into()),
                    judge::name(bind.into())
                )),
            })
        },
        twin: TWIN,
        ..Check::NOTHING
    },
    Check {
        id: "net-port-host-in",
        claim: CLAIM,
        question: "is the host's port of the loopback reached from inside?",
        source: SOURCE,
        on_host: Some(PortListener::plant),
        look: Some(|scene| {
            vec![Request::PortLook { port: scene.on_host.map_or(0, |plant| plant.number() as u16) }]
        }),
        judge: |scene| {
            let (errno, bind) = (scene.look(0)?.number("errno")?, scene.look(0)?.number("bind")?);
            Ok(match (errno as i32, bind as i32) {
                (0, _) => Finding::Open("it connects".into()),
                (libc::ECONNREFUSED, 0) => Finding::Apart("ECONNREFUSED, and the same port is free".into()),
                _ => Finding::Wrong(format!("connect {}, bind {}", judge::name(errno), judge::name(bind))),
            })
        },
        twin: TWIN,
        ..Check::NOTHING
    },
    Check {
        id: "net-port-inside-out",
        claim: CLAIM,
        question: "does the host reach an instance's port of the loopback?",
        source: SOURCE,
        plant: Some(|nonce| vec![Request::PortPlant { port: port(nonce) }]),
        judge: |scene| {
            raise_loopback().map_err(|error| Missing(format!("the host's own loopback: {error}")))?;
            let address = SocketAddr::from(([127, 0, 0, 1], port(scene.nonce)));
            of_the_host(TcpStream::connect_timeout(&address, Duration::from_secs(5)))
        },
        twin: TWIN,
        ..Check::NOTHING
    },
    Check {
        id: "net-route-host-in",
        claim: CLAIM,
        question: "is a route of the host listed inside?",
        source: "network_namespaces(7), proc_pid_net(5): route",
        on_host: Some(Route::plant),
        look: Some(|scene| vec![judge::host_line(scene, "/proc/net/route", "Iface")]),
        judge: judge::host_not_listed,
        twin: TWIN,
        ..Check::NOTHING
    },
    Check {
        id: "net-unix-host-in",
        claim: CLAIM,
        question: "is a socket of the host listed inside, in /proc/net/unix?",
        source: "network_namespaces(7), proc_pid_net(5): unix",
        on_host: Some(AbstractListener::plant),
        look: Some(|scene| vec![judge::host_line(scene, "/proc/net/unix", "Inode")]),
        judge: judge::host_not_listed,
        twin: TWIN,
        ..Check::NOTHING
    },
    Check {
        id: "net-interface-host-in",
        claim: CLAIM,
        question: "is an interface of the host seen inside, in /proc/net/dev?",
        source: "network_namespaces(7), proc_pid_net(5)",
        on_host: Some(Interface::plant),
        look: Some(|scene| vec![judge::host_line(scene, "/proc/net/dev", "lo:")]),
        judge: judge::host_not_listed,
        twin: TWIN,
        ..Check::NOTHING
    },
    Check {
        id: "net-interface-netlink",
        claim: CLAIM,
        question: "is an interface of the host told inside, by netlink?",
        source: "network_namespaces(7), rtnetlink(7): RTM_GETLINK",
        on_host: Some(Interface::plant),
        look: Some(|_| vec![netlink(libc::NETLINK_ROUTE, message::links())]),
        judge: |scene| told(scene, "lo"),
        twin: TWIN,
        ..Check::NOTHING
    },
    Check {
        id: "net-nftables-host-in",
        claim: CLAIM,
        question: "is a table of rules for packets of the host's found inside?",
        source: "nft(8); NFT_MSG_GETTABLE asks for CAP_NET_ADMIN over the network namespace",
        on_host: Some(Table::plant),
        look: Some(|_| vec![netlink(libc::NETLINK_NETFILTER, message::tables())]),
        judge: |scene| match scene.look(0)?.number("errno")? as i32 {
            libc::EPERM => Ok(Finding::Apart("EPERM: it may not ask".into())),
            libc::EPROTONOSUPPORT | libc::EOPNOTSUPP | libc::EINVAL if !scene.kind.shares_kernel() => {
                Ok(Finding::Absent("its own kernel has no such tables".into()))
            }
            _ => told(scene, ""),
        },
        twin: HOST_NETWORK,
        ..Check::NOTHING
    },
    Check {
        id: "net-move-refused",
        claim: CLAIM,
        question: "may an instance move an interface into another namespace?",
        source: "network_namespaces(7), rtnetlink(7): IFLA_NET_NS_PID, for CAP_NET_ADMIN; the loopback stays, EINVAL",
        expect: |kind| match kind {
            Kind::Machine | Kind::Sandbox => Expect::Shared("it is the administrator of a kernel of its own"),
            _ => Expect::usual(kind),
        },
        look: Some(|_| vec![netlink(libc::NETLINK_ROUTE, message::move_loopback())]),
        judge: |scene| {
            let errno = scene.look(0)?.number("errno")?;
            Ok(match errno as i32 {
                libc::EPERM | libc::EACCES => Finding::Apart(judge::name(errno)),
                0 | libc::EINVAL | libc::EOPNOTSUPP => {
                    Finding::Open(format!("it may ask: {}", judge::name(errno)))
                }
                _ => Finding::Wrong(judge::name(errno)),
            })
        },
        twin: Twin::Without(&[Mechanism::Capability(CAP_NET_ADMIN)]),
        ..Check::NOTHING
    },
    Check {
        id: "net-sniff",
        claim: CLAIM,
        question: "are frames of the host's loopback heard inside?",
        source: "packet(7): all of the network namespace, for CAP_NET_RAW",
        company: Company::Alone,
        on_host: Some(Speaker::plant),
        look: Some(|scene| vec![Request::Sniff { word: scene.nonce.word(), wall_ms: 600 }]),
        judge: |scene| {
            let look = scene.look(0)?;
            let errno = look.number("errno")?;
            if errno != 0 {
                return judge::refused(look, &[libc::EPERM, libc::EACCES]);
            }
            let (frames, found) = (look.number("frames")?, look.number("found")?);
            let said = format!("{found} of {frames} frames are the host's");
            Ok(match (found, look.number("own")?) {
                (1.., _) => Finding::Open(said),
                (_, 1) => Finding::Apart(format!("{said}; its own are heard")),
                _ => Finding::Wrong(format!("{said}; not even its own are heard")),
            })
        },
        twin: Twin::Without(&[
            Mechanism::NetworkNamespace,
            Mechanism::UserNamespace,
            Mechanism::Capability(CAP_NET_RAW),
        ]),
        ..Check::NOTHING
    },
    Check {
        id: "net-sysctl",
        claim: CLAIM,
        question: "has an instance the host's value of a network parameter?",
        source: "network_namespaces(7): /proc/sys/net",
        on_host: Some(LocalPorts::plant),
        look: Some(|_| vec![Request::Read { path: PORTS.into(), most: 100 }]),
        judge: |scene| {
            let seen =
                scene.look(0)?.text("text").map_err(|_| Missing(format!("{PORTS} cannot be read inside")))?;
            Ok(judge::differs("value", seen.trim(), &scene.host()?.text()))
        },
        twin: TWIN,
        company: Company::Alone,
        ..Check::NOTHING
    },
];

fn netlink(protocol: libc::c_int, messages: Vec<u8>) -> Request {
    Request::Netlink { protocol, messages }
}

/// The host's name among what netlink has told; `own` has to be told as well.
fn told(scene: &Scene<'_>, own: &str) -> Result<Finding, Missing> {
    let look = scene.look(0)?;
    let (errno, text) = (look.number("errno")?, look.text("text")?);
    Ok(match text.contains(&scene.host()?.text()) {
        true => Finding::Open("it is told".into()),
        false if errno != 0 => Finding::Wrong(judge::name(errno)),
        false if text.contains(own) => {
            Finding::Apart(format!("{} bytes told, not the host's", look.number("bytes")?))
        }
        false => Finding::Wrong(format!("not even {own} is told")),
    })
}

/// What it means that the host has tried to connect.
fn of_the_host<C>(connected: io::Result<C>) -> Result<Finding, Missing> {
    match connected {
        Ok(_) => Ok(Finding::Open("the host connects".into())),
        Err(error) if error.raw_os_error() == Some(libc::ECONNREFUSED) => {
            Ok(Finding::Apart("ECONNREFUSED".into()))
        }
        Err(error) => Err(Missing(format!("the host's own look: {error}"))),
    }
}

fn port(nonce: &Nonce) -> u16 {
    nonce.amplitude(20_000, 30_000) as u16
}
