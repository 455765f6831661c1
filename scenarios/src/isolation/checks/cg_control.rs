//! A whole collection of processes at once: stopped, ended, with those that have left their parents
//! (cgroup-v2.rst, cgroup.freeze and cgroup.kill; cgroup-v1/freezer-subsystem.rst).

use std::time::{Duration, Instant};

use guest::probe::Request;
use runtime::Instance;

use super::super::check::{Check, Company, Finding, Missing, Scene, Twin};
use super::super::group;
use super::super::kind::Kind;

/// How long what was stopped is watched.
const WATCHED: Duration = Duration::from_millis(700);
/// How long a busy host may take to let a process run.
const PATIENCE: Duration = Duration::from_secs(10);
/// Progress that is one: the kernel counts in steps of 10 ms.
const STEP_MS: u64 = 30;

pub(super) const ALL: &[Check] = &[
    Check {
        id: "cg-freeze-descendants",
        claim: "cg-control",
        question: "does a process that has left its parent run on while its instance is paused?",
        source: "cgroup-v2.rst, cgroup.freeze; cgroup-v1/freezer-subsystem.rst; a machine stops as a whole",
        company: Company::Alone,
        look: Some(orphan),
        act: Some(freeze),
        twin: Twin::Process,
        ..Check::NOTHING
    },
    Check {
        id: "cg-kill-all",
        claim: "cg-collection",
        question: "does a process that has left its parent outlive its instance?",
        source: "cgroup-v2.rst, cgroup.kill; pid_namespaces(7)",
        company: Company::Alone,
        look: Some(orphan),
        act: Some(end),
        twin: Twin::Process,
        ..Check::NOTHING
    },
];

fn orphan(scene: &Scene<'_>) -> Vec<Request> {
    vec![Request::Spinner { name: scene.nonce.word(), orphan: true }]
}

/// Who computes: the process itself where the host sees it, else the machine it is in, or all that a kernel
/// of its own is made of (gVisor carries out what is inside in processes below the runtime's).
fn computing(scene: &Scene<'_>) -> Result<Vec<i32>, Missing> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = match scene.kind {
            Kind::Machine => scene.looker.into_iter().collect(),
            Kind::Sandbox => scene.looker.map(group::family).unwrap_or_default(),
            _ => group::called(&scene.nonce.word()).into_iter().take(1).collect(),
        };
        match found.is_empty() {
            false => return Ok(found),
            true if Instant::now() > deadline => {
                return Err(Missing("the host does not find the process that computes".into()));
            }
            true => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Of all that live, which one has to.
fn own_ms(pids: &[i32]) -> Result<u64, Missing> {
    let times: Vec<u64> = pids.iter().filter_map(|pid| Some(group::times(*pid)?.own_ms)).collect();
    match times.is_empty() {
        false => Ok(times.iter().sum()),
        true => Err(Missing(format!("processes {pids:?} have ended"))),
    }
}

/// Whether it goes on, on a busy host too.
fn runs(pids: &[i32]) -> Result<bool, Missing> {
    let (before, deadline) = (own_ms(pids)?, Instant::now() + PATIENCE);
    while Instant::now() < deadline {
        if own_ms(pids)? >= before + STEP_MS {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(false)
}

fn freeze(scene: &Scene<'_>, instance: &mut dyn Instance) -> Result<Finding, Missing> {
    let pids = computing(scene)?;
    if !runs(&pids)? {
        return Err(Missing("it did not run before".into()));
    }
    if let Err(error) = instance.pause() {
        let _ = instance.resume();
        return Ok(match error {
            runtime::Error::Missing { .. } | runtime::Error::Invalid(_) => Finding::Absent(error.to_string()),
            runtime::Error::System { .. } => Finding::Broken(error.to_string()),
        });
    }
    let before = own_ms(&pids)?;
    std::thread::sleep(WATCHED);
    let mut used_ms = own_ms(&pids)?.saturating_sub(before);
    // A busy host may have let it stand for that long by itself.
    if used_ms < STEP_MS {
        std::thread::sleep(3 * WATCHED);
        used_ms = own_ms(&pids)?.saturating_sub(before);
    }
    instance.resume().map_err(|error| Missing(error.to_string()))?;
    let said = format!("{used_ms} ms of processor time while paused");
    let goes_on = runs(&pids)?;
    group::end_called(scene.kind, &scene.nonce.word());
    Ok(match (used_ms, goes_on) {
        (STEP_MS.., _) => Finding::Open(said),
        (_, true) => Finding::Apart(format!("{said}, and it goes on afterwards")),
        (_, false) => Finding::Wrong(format!("{said}, and it does not go on afterwards")),
    })
}

fn end(scene: &Scene<'_>, instance: &mut dyn Instance) -> Result<Finding, Missing> {
    let pids = computing(scene)?;
    if !runs(&pids)? {
        return Err(Missing("it did not run before".into()));
    }
    let began = Instant::now();
    instance.stop().map_err(|error| Missing(error.to_string()))?;
    let took_ms = began.elapsed().as_millis();
    // It has said that all have ended: there is nothing to wait for.
    let left = pids.into_iter().find(|pid| group::times(*pid).is_some());
    group::end_called(scene.kind, &scene.nonce.word());
    Ok(match left {
        None => Finding::Apart(format!("gone when stopping had returned, after {took_ms} ms")),
        Some(pid) => Finding::Open(format!("process {pid} lives on")),
    })
}
