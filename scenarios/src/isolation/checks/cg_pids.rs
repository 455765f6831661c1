//! Numbers of processes (cgroup-v2.rst, "PID"; cgroup-v1/pids.rst).

use guest::probe::Request;
use nix::libc;
use runtime::Limits;
use runtime::container::Mechanism;

use super::super::check::{Check, Company, Expect, Finding, Missing, Scene, Twin};
use super::super::group;
use super::super::judge;
use super::super::kind::Kind;
use crate::prioritize::measure::pids_limit::{ALLOWED, WANTED};

pub(super) const ALL: &[Check] = &[
    Check {
        id: "cg-pids-bomb",
        claim: "cg-limit",
        question: "does a fork bomb get more processes than the limit?",
        source: "cgroup-v2.rst, pids.max: fork fails with EAGAIN; cgroup-v1/pids.rst",
        expect: |kind| match kind {
            Kind::Machine => Expect::Pointless("a machine's processes are its own kernel's"),
            _ => Expect::usual(kind),
        },
        company: Company::Alone,
        limits: Some(|_| Limits { pids: Some(ALLOWED), ..Limits::default() }),
        plant: Some(|nonce| vec![Request::Sleeper { name: nonce.word() }]),
        look: Some(|_| vec![Request::ForkBomb { most: WANTED }]),
        judge: bomb,
        twin: Twin::Without(&[Mechanism::PidsLimit]),
        ..Check::NOTHING
    },
    Check {
        id: "cg-pids-true",
        claim: "cg-account",
        question: "is another number of processes counted than an instance has?",
        source: "cgroup-v2.rst, pids.current",
        expect: |kind| match kind {
            Kind::Machine => Expect::Pointless("a machine's processes are its own kernel's"),
            Kind::Sandbox => Expect::Pointless("its processes are its own kernel's"),
            _ => Expect::usual(kind),
        },
        company: Company::Alone,
        limits: Some(|_| Limits { pids: Some(100), ..Limits::default() }),
        look: Some(|scene| {
            (0..scene.nonce.amplitude(3, 12)).map(|_| Request::Sleeper { name: scene.nonce.word() }).collect()
        }),
        judge: |scene| {
            let made = scene.looked.len();
            let seen = group::called(&scene.nonce.word()).len();
            let Some(group) = group::of_looker(scene)? else {
                return Ok(Finding::Open(format!("{seen} processes, and nobody counts")));
            };
            let pids = group::counted(&group)?.pids.ok_or_else(|| Missing("no pids controller".into()))?;
            let listed = group.processes().map_err(|error| Missing(error.to_string()))?.len();
            let said =
                format!("{made} made, {seen} seen by the host, {listed} listed, {} counted", pids.current);
            // The guest program beside them, and what else started it.
            let is_true = seen == made && listed as u64 == pids.current && listed > made;
            Ok(if is_true { Finding::Apart(said) } else { Finding::Wrong(said) })
        },
        twin: Twin::Process,
        ..Check::NOTHING
    },
];

fn bomb(scene: &Scene<'_>) -> Result<Finding, Missing> {
    let look = scene.look(0)?;
    let (made, end, count) = (look.number("made")?, look.number("end")?, look.number("count")?);
    if made >= i64::from(WANTED) {
        return Ok(Finding::Open(format!("{made} made, the limit is {ALLOWED}")));
    }
    let counted = match group::of_looker(scene)? {
        None => None,
        Some(group) => group::counted(&group)?.pids,
    };
    let said = format!("{} after {made}, {count} in /proc; counted: {counted:?}", judge::name(end));
    // Exactly at the limit, by whoever counts, and not for RALLOWED_NPROC.
    let at = counted.and_then(|pids| pids.peak).map_or(count, |peak| peak as i64);
    let was_refused = counted.is_none_or(|pids| pids.refused > 0);
    Ok(match end as i32 {
        libc::EAGAIN if at == ALLOWED as i64 && was_refused => Finding::Apart(said),
        _ => Finding::Wrong(said),
    })
}
