//! User namespace: ids and what they are worth outside (user_namespaces(7)).

use guest::probe::Request;
use nix::libc;
use runtime::container::Mechanism;

use super::super::check::{Check, Expect, Finding, Missing, Scene, Twin};
use super::super::judge;
use super::super::kind::Kind;
use super::super::processes;

const CLAIM: &str = "ns-user";
const TWIN: Twin = Twin::Without(&[Mechanism::UserNamespace]);
/// Linux shows ids that have no name in a namespace so (/proc/sys/kernel/overflowuid).
const OVERFLOW: i64 = 65_534;

pub(super) const ALL: &[Check] = &[
    Check {
        id: "user-root-outside",
        claim: CLAIM,
        question: "is the root of an instance root of the host?",
        source: "user_namespaces(7), proc_pid_status(5): Uid",
        plant: Some(|nonce| vec![Request::Sleeper { name: nonce.word() }]),
        judge: root_outside,
        twin: TWIN,
        ..Check::NOTHING
    },
    Check {
        id: "user-map",
        claim: CLAIM,
        question: "are ids inside those of the host?",
        source: "user_namespaces(7): /proc/self/uid_map",
        expect: own_kernel,
        look: Some(|_| vec![Request::Read { path: "/proc/self/uid_map".into(), most: 4096 }]),
        judge: |scene| {
            let map = scene.look(0)?.text("text")?;
            let first: Vec<&str> = map.lines().next().unwrap_or_default().split_whitespace().collect();
            Ok(match first.as_slice() {
                [inside, outside, _] if inside == outside => {
                    Finding::Open(format!("{inside} is {outside} outside"))
                }
                [inside, outside, count] => {
                    Finding::Apart(format!("{count} ids from {inside} are those from {outside}"))
                }
                _ => Finding::Wrong(format!("the map is {map:?}")),
            })
        },
        twin: Twin::Without(&[Mechanism::IdMap]),
        ..Check::NOTHING
    },
    Check {
        id: "user-overflow",
        claim: CLAIM,
        question: "does a file of the host's root look like one of the instance's root?",
        source: "user_namespaces(7): ids without a name show as overflowuid",
        expect: own_kernel,
        look: Some(|_| {
            vec![
                Request::Stat { path: "/proc/sys/kernel".into() },
                Request::Stat { path: "/proc/self".into() },
            ]
        }),
        judge: |scene| {
            let (uid, own) = (scene.look(0)?.number("uid")?, scene.look(1)?.number("errno")?);
            Ok(match (uid, own) {
                (0, _) => Finding::Open("owned by 0".into()),
                (OVERFLOW, 0) => Finding::Apart("owned by the overflow id".into()),
                (uid, _) => Finding::Wrong(format!("owned by {uid}")),
            })
        },
        twin: TWIN,
        ..Check::NOTHING
    },
    Check {
        id: "user-nested",
        claim: CLAIM,
        question: "can an instance make a user namespace, and so be administrator of more?",
        source: "user_namespaces(7), unshare(2); the door to much of the kernel's code",
        expect: |kind| match kind {
            Kind::Process => Expect::Open,
            Kind::Machine | Kind::Sandbox => Expect::Shared("in a kernel of its own it may"),
            _ => Expect::Apart,
        },
        look: Some(|_| {
            vec![Request::Call { number: libc::SYS_unshare, arguments: vec![libc::CLONE_NEWUSER.into()] }]
        }),
        judge: |scene| judge::refused(scene.look(0)?, &[libc::EPERM]),
        twin: Twin::Without(&[Mechanism::Seccomp]),
        ..Check::NOTHING
    },
];

/// Of ids in a kernel of its own nothing can be said so.
fn own_kernel(kind: Kind) -> Expect {
    match kind {
        Kind::Process => Expect::Open,
        Kind::Machine | Kind::Sandbox => Expect::Pointless("its ids are of a kernel of its own"),
        _ => Expect::Apart,
    }
}

fn root_outside(scene: &Scene<'_>) -> Result<Finding, Missing> {
    let Some((pid, status)) = processes::called(&scene.nonce.word()) else {
        return Ok(match scene.kind {
            Kind::Machine | Kind::Sandbox => Finding::Apart("the host has no such process".into()),
            _ => Finding::Wrong("the host, which is its parent, does not see the process".into()),
        });
    };
    let uid =
        processes::field(&status, "Uid:").and_then(|ids| ids.split_whitespace().next()?.parse::<i64>().ok());
    Ok(match uid {
        Some(0) => Finding::Open(format!("process {pid} is root's")),
        Some(uid) => Finding::Apart(format!("process {pid} belongs to {uid}")),
        None => Finding::Wrong(format!("process {pid} has no owner: {status:?}")),
    })
}
