//! A bridge on which instances and the host meet (`--network bridge`): who is reached there, who is heard, and
//! whether somebody can be somebody else (Documentation/networking/bridge.rst, veth(4)).
//!
//! The bridge filters nothing at its ports. What keeps containers honest there is that they have neither
//! CAP_NET_RAW nor CAP_NET_ADMIN over their own network; a machine's kernel writes into its frames what it likes.

use std::time::{Duration, Instant};

use guest::probe::Request;
use nix::libc;
use runtime::container::Mechanism;

use super::super::check::{Check, Expect, Finding, Missing, Scene, Twin};
use super::super::judge;
use super::super::kind::Kind;
use super::super::nonce::Nonce;
use super::bridge_plant::{Elsewhere, Meeting};

const CLAIM: &str = "ns-net";
const TWIN: Twin = Twin::Without(&[Mechanism::NetworkNamespace]);
const CAP_NET_RAW: u32 = 13;
const RAW: Twin = Twin::Without(&[Mechanism::Capability(CAP_NET_RAW)]);
/// How long is listened.
const WALL_MS: u32 = 600;
/// How long a datagram may be on its way on a busy host.
const ARRIVAL: Duration = Duration::from_secs(2);

pub(super) const ALL: &[Check] = &[
    Check {
        id: "bridge-cable",
        question: "has an instance at a bridge more than one cable, or see inside what is at the other end?",
        source: "veth(4): a pair; Documentation/networking/tuntap.rst",
        look: Some(|_| vec![Request::Read { path: "/proc/net/dev".into(), most: 16_384 }]),
        judge: cable,
        ..at_bridge(TWIN)
    },
    Check {
        id: "bridge-elsewhere",
        question: "does an instance at a bridge reach a peer of another bridge of the host?",
        source: "ip-sysctl.rst: ip_forward; socket(7): SO_BINDTODEVICE",
        at_bridge: Some(Elsewhere::peer),
        look: Some(reach),
        judge: reached,
        ..at_bridge(TWIN)
    },
    Check {
        id: "bridge-host-addresses",
        question: "does an instance at a bridge reach the host at an address of another network?",
        source: "RFC 1122, 3.3.4.2, weak end systems; ip-sysctl.rst: arp_ignore; socket(7): SO_BINDTODEVICE",
        expect: |kind| match kind {
            Kind::Machine => Expect::Shared(
                "the host is a peer, answers at all its addresses, and the machine's root makes its own routes",
            ),
            _ => Expect::usual(kind),
        },
        at_bridge: Some(Elsewhere::host),
        look: Some(reach),
        judge: reached,
        ..at_bridge(TWIN)
    },
    Check {
        id: "bridge-overheard",
        question: "is what the host and a sibling say to each other heard by a third at the same bridge?",
        source: "packet(7), for CAP_NET_RAW; a bridge sends frames to where it has learned their address",
        look: Some(|scene| vec![Request::Sniff { word: scene.nonce.word(), wall_ms: WALL_MS }]),
        judge: heard,
        ..at_bridge(Twin::Without(&[
            Mechanism::NetworkNamespace,
            Mechanism::UserNamespace,
            Mechanism::Capability(CAP_NET_RAW),
        ]))
    },
    Check {
        id: "bridge-forged-address",
        question: "does the host take what an instance sends with a sibling's address for the sibling's?",
        source: "raw(7), for CAP_NET_RAW; ip(7): IP_FREEBIND; RFC 2827",
        expect: unfiltered,
        look: Some(|scene| {
            vec![Request::Forge {
                source: address(scene).unwrap_or_default(),
                to: scene.on_host.map_or_else(String::new, |host| host.text()),
                word: scene.nonce.word(),
            }]
        }),
        judge: forged,
        ..at_bridge(RAW)
    },
    Check {
        id: "bridge-forged-hardware",
        question: "does an instance get what is for a sibling by sending from its hardware address?",
        source: "packet(7), for CAP_NET_RAW; a bridge learns addresses from what is sent",
        expect: unfiltered,
        look: Some(|scene| {
            let hardware =
                scene.plant(0).and_then(|seen| seen.text("hardware")).unwrap_or_default().to_owned();
            vec![Request::Impersonate { hardware, word: scene.nonce.word(), wall_ms: WALL_MS }]
        }),
        judge: heard,
        ..at_bridge(RAW)
    },
];

/// Sibling A answers at a port, and host and sibling speak with each other.
const fn at_bridge(twin: Twin) -> Check {
    Check {
        claim: CLAIM,
        at_bridge: Some(Meeting::plant),
        plant: Some(|nonce: &Nonce| vec![Request::Peer { word: nonce.word() }]),
        witness: met,
        twin,
        ..Check::NOTHING
    }
}

fn unfiltered(kind: Kind) -> Expect {
    match kind {
        Kind::Machine => {
            Expect::Shared("a bridge without filters: a kernel of its own writes any source into its frames")
        }
        _ => Expect::usual(kind),
    }
}

fn met(scene: &Scene<'_>) -> Result<String, String> {
    let stand = scene.plants_stand()?;
    let peer = peer(scene).map_err(|Missing(what)| what)?;
    let host = scene.on_host.ok_or("the host has planted nothing")?;
    Ok(format!("{}; {stand}", host.meet(&peer)?))
}

fn address(scene: &Scene<'_>) -> Result<String, Missing> {
    Ok(scene.plant(0)?.text("address")?.to_owned())
}

fn peer(scene: &Scene<'_>) -> Result<String, Missing> {
    Ok(format!("{}:{}", address(scene)?, scene.plant(0)?.number("port")?))
}

fn cable(scene: &Scene<'_>) -> Result<Finding, Missing> {
    let text = scene.look(0)?.text("text")?;
    let inside: Vec<&str> =
        text.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim()).collect();
    let bridge = scene.bridge.ok_or_else(|| Missing("there is no bridge".into()))?;
    let outside = bridge.plugged().map_err(|error| Missing(error.to_string()))?;
    let said = format!("inside {}; at the bridge {}", inside.join(", "), outside.join(", "));
    let others: Vec<_> = inside.iter().filter(|name| **name != "lo").collect();
    Ok(match (others.len(), outside.len()) {
        // Sibling and looker.
        (1, 2) => Finding::Apart(said),
        (1, _) | (0, _) => Finding::Wrong(said),
        _ => Finding::Open(said),
    })
}

fn reach(scene: &Scene<'_>) -> Vec<Request> {
    vec![Request::Reach {
        to: scene.on_host.map_or_else(String::new, |host| host.text()),
        gateway: scene.bridge.map_or_else(String::new, |bridge| bridge.host_address().to_string()),
        peer: peer(scene).unwrap_or_default(),
        word: scene.nonce.word(),
    }]
}

fn reached(scene: &Scene<'_>) -> Result<Finding, Missing> {
    let look = scene.look(0)?;
    if look.number("own")? != 1 {
        return Ok(Finding::Wrong("not even its own peer answers".into()));
    }
    let tried: Vec<(&str, i64)> = ["plain", "bound", "route", "routed"]
        .into_iter()
        .filter_map(|way| Some((way, look.number(way).ok()?)))
        .collect();
    let said: Vec<String> =
        tried.iter().map(|(way, errno)| format!("{way} {}", judge::name(*errno))).collect();
    let said = format!("its peer answers; {}", said.join(", "));
    // What nobody answers ends with the patience (socket(7), SO_SNDTIMEO: EINPROGRESS).
    let is_unanswered = |errno: i64| {
        [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::EINPROGRESS, libc::ETIMEDOUT].contains(&(errno as i32))
    };
    let is_refused = |errno: i64| [libc::EPERM, libc::EACCES].contains(&(errno as i32));
    let is_apart = |(way, errno): &(&str, i64)| match *way {
        "route" => *errno == 0 || is_refused(*errno),
        _ => is_unanswered(*errno),
    };
    Ok(match tried.iter().any(|(way, errno)| *way != "route" && *errno == 0) {
        true => Finding::Open(said),
        false if tried.len() >= 3 && tried.iter().all(is_apart) => Finding::Apart(said),
        false => Finding::Wrong(said),
    })
}

fn heard(scene: &Scene<'_>) -> Result<Finding, Missing> {
    let look = scene.look(0)?;
    if look.number("errno")? != 0 {
        return judge::refused(look, &[libc::EPERM, libc::EACCES]);
    }
    let (frames, found) = (look.number("frames")?, look.number("found")?);
    let sent = look.number("sent").map_or_else(|_| String::new(), |sent| format!("{sent} sent; "));
    let said = format!("{sent}{found} of {frames} frames are the sibling's");
    Ok(match (found, look.number("own")?) {
        (1.., _) => Finding::Open(said),
        (_, 1) => Finding::Apart(format!("{said}; its own are heard")),
        _ => Finding::Wrong(format!("{said}; not even its own are heard")),
    })
}

fn forged(scene: &Scene<'_>) -> Result<Finding, Missing> {
    let (look, theirs) = (scene.look(0)?, address(scene)?);
    let told = |name| look.number(name).map(judge::name);
    let said = format!("by a socket {}, by itself {}", told("bound")?, told("raw")?);
    let word = scene.nonce.word();
    let until = Instant::now() + ARRIVAL;
    let is_sent = look.number("bound")? == 0 || look.number("raw")? == 0;
    let (mut own, mut forged) = (None, None);
    while (own.is_none() || (is_sent && forged.is_none())) && Instant::now() < until {
        let heard = scene.host()?.heard();
        let from = |what: &str| heard.iter().find_map(|said| said.strip_suffix(what).map(str::to_owned));
        (own, forged) = (from(&format!(" {word}-own")), from(&format!(" {word}-forged")));
        std::thread::sleep(Duration::from_millis(5));
    }
    if own.is_none() {
        return Ok(Finding::Wrong(format!("{said}; not even its own datagram arrives")));
    }
    let is_refused = |name| Ok([libc::EPERM, libc::EACCES].contains(&(look.number(name)? as i32)));
    Ok(match forged {
        Some(from) if from == theirs => Finding::Open(format!("{said}; it arrives from {from}")),
        Some(from) => Finding::Apart(format!("{said}; it arrives from {from}, which is not the sibling")),
        None if is_refused("raw")? => Finding::Apart(format!("{said}; only its own arrives")),
        None => Finding::Wrong(format!("{said}; it does not arrive, and was not refused")),
    })
}
