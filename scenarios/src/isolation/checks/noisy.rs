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
use super::super::nonce::Nonce;

const HOGS: usize = 6;
const QUOTA: f64 = 0.05;
const WINDOW: Duration = Duration::from_millis(1500);

const fn noisy(id: &'static str, question: &'static str, plant: fn(&Nonce) -> Vec<Request>) -> Check {
    Check {
        id,
        claim: "cg-limit",
        question,
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
        plant: Some(plant),
        look: Some(|_| vec![Request::Latency { wall_ms: 1500 }]),
        act: Some(|scene, _| taken(scene)),
        twin: Twin::Without(&[Mechanism::CpuLimit]),
        ..Check::NOTHING
    }
}

pub(super) const ALL: &[Check] = &[
    noisy(
        "noisy-cpu",
        "does an instance that computes on six threads take more than its quota from its neighbour?",
        |nonce| (0..HOGS).map(|_| Request::Spinner { name: nonce.word(), orphan: false }).collect(),
    ),
    noisy(
        "noisy-fork",
        "does an instance that makes processes without end take more than its quota from its neighbour?",
        |nonce| (0..HOGS).map(|_| Request::Forker { name: nonce.word() }).collect(),
    ),
];

fn taken(scene: &Scene<'_>) -> Result<Finding, Missing> {
    let used_ms = || group::used_ms(scene.kind, scene.planter, &scene.nonce.word());
    let (before_ms, began) = (used_ms()?, Instant::now());
    std::thread::sleep(WINDOW);
    let taken = used_ms()?.saturating_sub(before_ms) as f64 / began.elapsed().as_millis() as f64;
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
}

fn told(seen: Seen<'_>) -> Result<String, Missing> {
    let us = |name| seen.number(name).map(|ns| ns as f64 / 1e3);
    Ok(format!("p50 {:.0} µs, p99 {:.0} µs (n {})", us("median_ns")?, us("p99_ns")?, seen.number("count")?))
}
