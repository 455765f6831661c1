//! A hog beside a victim: what the victim's tasks take, alone and beside it.
//!
//! The verdict is about the cause, what the hog takes of the host: how much that harms the victim depends
//! on how busy the host is besides. The victim's times are in the observation.

use std::time::{Duration, Instant};

use guest::probe::Request;
use runtime::Limits;
use runtime::container::Mechanism;

use super::super::check::{Check, Company, Expect, Finding, Missing, Role, Scene, Seen, Twin};
use super::super::group;
use super::super::kind::Kind;

const HOGS: usize = 6;
const QUOTA: f64 = 0.05;
const WINDOW: Duration = Duration::from_millis(1500);

pub(super) const ALL: &[Check] = &[Check {
    id: "noisy-cpu",
    claim: "cg-limit",
    question: "does an instance that computes on six threads take more than its quota from its neighbour?",
    source: "scheduler/sched-bwc.rst; IsolBench, CCGRID 2015, on stressing neighbours",
    expect: |kind| match kind {
        Kind::Machine => Expect::Shared("a machine is given whole virtual processors of the host"),
        _ => Expect::usual(kind),
    },
    company: Company::Quiet,
    limits: Some(|role| match role {
        Role::A => Limits { cpus: Some(QUOTA), ..Limits::default() },
        Role::B => Limits::default(),
    }),
    looks_before: true,
    plant: Some(|nonce| (0..HOGS).map(|_| Request::Spinner { name: nonce.word(), orphan: false }).collect()),
    look: Some(|_| vec![Request::Latency { wall_ms: 1500 }]),
    act: Some(|scene, _| {
        let before_ms = taken_ms(scene)?;
        let began = Instant::now();
        std::thread::sleep(WINDOW);
        let taken = (taken_ms(scene)? - before_ms) as f64 / began.elapsed().as_millis() as f64;
        let said = format!(
            "the hog takes {taken:.2} processors; a task of the victim takes {} alone, {} beside it",
            told(scene.before(0)?)?,
            told(scene.look(0)?)?
        );
        Ok(match taken {
            ..=0.1 => Finding::Apart(said),
            0.15.. => Finding::Open(said),
            _ => Finding::Wrong(said),
        })
    }),
    twin: Twin::Without(&[Mechanism::CpuLimit]),
    ..Check::NOTHING
}];

/// Processor time of the hogs; of the machine they are in where the host does not see them.
fn taken_ms(scene: &Scene<'_>) -> Result<u64, Missing> {
    let hogs = match scene.kind {
        Kind::Machine | Kind::Sandbox => scene.planter.into_iter().collect(),
        _ => group::called(&scene.nonce.word()),
    };
    match hogs.is_empty() {
        true => Err(Missing("the host does not find the hogs".into())),
        false => Ok(hogs.iter().filter_map(|pid| group::times(*pid)).map(|times| times.own_ms).sum()),
    }
}

fn told(seen: Seen<'_>) -> Result<String, Missing> {
    let us = |name| seen.number(name).map(|ns| ns as f64 / 1e3);
    Ok(format!("p50 {:.0} µs, p99 {:.0} µs (n {})", us("median_ns")?, us("p99_ns")?, seen.number("count")?))
}
