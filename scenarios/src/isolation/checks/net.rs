//! Network namespace (network_namespaces(7)).

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use guest::probe::Request;
use nix::libc;
use runtime::container::Mechanism;

use super::super::check::{Check, Company, Finding, Missing, Scene, Twin};
use super::super::judge;
use super::super::nonce::Nonce;
use super::net_plant::{
    AbstractListener, Interface, LocalPorts, PORTS, PortListener, Route, connect, raise_loopback,
};

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
        look: Some(|_| vec![Request::Read { path: "/proc/net/route".into(), most: 16_384 }]),
        judge: |scene| listed(scene, "Iface"),
        twin: TWIN,
        ..Check::NOTHING
    },
    Check {
        id: "net-unix-host-in",
        claim: CLAIM,
        question: "is a socket of the host listed inside, in /proc/net/unix?",
        source: "network_namespaces(7), proc_pid_net(5): unix",
        on_host: Some(AbstractListener::plant),
        look: Some(|_| vec![Request::Read { path: "/proc/net/unix".into(), most: 48 << 10 }]),
        judge: |scene| listed(scene, "Inode"),
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

fn listed(scene: &Scene<'_>, own: &str) -> Result<Finding, Missing> {
    let text = scene.look(0)?.text("text")?;
    Ok(match text.contains(&scene.host()?.text()) {
        true => Finding::Open("it is listed".into()),
        false if text.contains(own) => Finding::Apart("its own are listed, the host's is not".into()),
        false => Finding::Wrong(format!("not even {own} is listed")),
    })
}
