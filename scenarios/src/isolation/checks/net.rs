//! Network namespace (network_namespaces(7)).

use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use guest::probe::Request;
use nix::libc;
use runtime::container::Mechanism;

use super::super::check::{Absent, Check, Company, Finding, HostPlant, Missing, OnHost, Scene, Twin};
use super::super::judge;
use super::super::nonce::Nonce;

const CLAIM: &str = "ns-net";
const SOURCE: &str = "network_namespaces(7)";
const TWIN: Twin = Twin::Without(&[Mechanism::NetworkNamespace]);

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
        judge: |scene| match connect(&scene.nonce.word()) {
            Ok(_) => Ok(Finding::Open("the host connects".into())),
            Err(error) if error.raw_os_error() == Some(libc::ECONNREFUSED) => {
                Ok(Finding::Apart("ECONNREFUSED".into()))
            }
            Err(error) => Err(Missing(format!("the host's own look: {error}"))),
        },
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
        id: "net-interface-host-in",
        claim: CLAIM,
        question: "is an interface of the host seen inside, in /proc/net/dev?",
        source: "network_namespaces(7), proc_pid_net(5)",
        on_host: Some(Interface::plant),
        look: Some(|_| vec![Request::Read { path: "/proc/net/dev".into(), most: 16_384 }]),
        judge: |scene| listed(scene, "lo:"),
        twin: TWIN,
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

/// A parameter that is there in every version and changes nothing else.
const PORTS: &str = "/proc/sys/net/ipv4/ip_local_port_range";

fn port(nonce: &Nonce) -> u16 {
    nonce.amplitude(20_000, 30_000) as u16
}

fn listed(scene: &Scene<'_>, own: &str) -> Result<Finding, Missing> {
    let text = scene.look(0)?.text("text")?;
    Ok(match text.contains(&scene.host()?.text()) {
        true => Finding::Open("it is listed".into()),
        false if text.contains(own) => Finding::Apart("its own are listed, the host's is not".into()),
        false => Finding::Wrong(format!("not even {own} is listed")),
    })
}

fn address(name: &str) -> std::io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(name)
}

fn connect(name: &str) -> std::io::Result<UnixStream> {
    UnixStream::connect_addr(&address(name)?)
}

/// An abstract socket of the world's host.
struct AbstractListener {
    name: String,
    _listener: UnixListener,
}

impl AbstractListener {
    fn plant(nonce: &Nonce) -> HostPlant {
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
}

/// A network interface of the world's host: a TUN device, which ends with its descriptor
/// (Documentation/networking/tuntap.rst).
struct Interface {
    name: String,
    _tun: OwnedFd,
}

impl Interface {
    fn plant(nonce: &Nonce) -> HostPlant {
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
            libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(&tun), TUNSETIFF, &request)
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
struct LocalPorts(String);

impl LocalPorts {
    fn plant(nonce: &Nonce) -> HostPlant {
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
