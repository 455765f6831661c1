//! A hog beside a victim: what the victim's tasks take, alone and beside it.
//!
//! The verdict is about the cause, what the hog takes of the host: how much that harms the victim depends
//! on how busy the host is besides. The victim's times are in the observation. For the bandwidth of memory and
//! the work of networks a kernel has no limit of its own: what holds them is the quota of processor time.

use std::time::{Duration, Instant};

use guest::probe::{Request, Work};
use runtime::Limits;
use runtime::cgroup::IoLimit;
use runtime::container::Mechanism;

use super::super::check::{Check, Company, Finding, Missing, Role, Scene, Seen, Twin};
use super::super::group;
use super::super::judge;
use super::super::nonce::Nonce;
use super::cg_io::{Device, with_storage};
use crate::prioritize::measure::io_limit::ALLOWED_BYTES_PER_S;

const HOGS: usize = 6;
/// Less than one thread gets beside all others, and enough for a machine, whose QEMU is held to it, to boot.
const QUOTA: f64 = 0.5;
/// How long the host looks at what the hog takes, and how long the victim measures itself.
const WINDOW: Duration = Duration::from_millis(800);
const VICTIM_MS: u32 = 500;
/// What so many tasks support an interval for (METHOD.md, 18): a 99th percentile, a 90th.
const FOR_P99: i64 = 368;
const FOR_P90: i64 = 36;

type Requests = fn(&Scene<'_>) -> Vec<Request>;

const fn noisy(
    id: &'static str,
    question: &'static str,
    plant: fn(&Nonce) -> Vec<Request>,
    look: Requests,
) -> Check {
    Check {
        id,
        claim: "cg-limit",
        question,
        source: "scheduler/sched-bwc.rst; IsolBench, CCGRID 2015, on stressing neighbours",
        company: Company::Quiet,
        limits: Some(|role| match role {
            Role::A => Limits { cpus: Some(QUOTA), ..Limits::default() },
            Role::B => Limits::default(),
        }),
        looks_before: true,
        plant: Some(plant),
        look: Some(look),
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
        |_| vec![victim(Work::Compute)],
    ),
    noisy(
        "noisy-fork",
        "does an instance that makes processes without end take more than its quota from its neighbour?",
        |nonce| (0..HOGS).map(|_| Request::Forker { name: nonce.word() }).collect(),
        |_| vec![victim(Work::Compute)],
    ),
    noisy(
        "noisy-memory",
        "does an instance that goes through memory on six threads take more than its quota from its neighbour?",
        |nonce| (0..HOGS).map(|_| hog(nonce, Work::Memory)).collect(),
        |_| vec![victim(Work::Memory)],
    ),
    noisy(
        "noisy-network",
        "does an instance that sends without end, over its loopback, take more than its quota from its neighbour?",
        |nonce| (0..HOGS).map(|_| hog(nonce, Work::Loopback)).collect(),
        |_| vec![victim(Work::Loopback)],
    ),
    Check {
        source: "cgroup-v2.rst, io.max: wbps; cgroup-v1/blkio-controller.rst; proc_pid_io(5): write_bytes",
        expect: with_storage,
        on_host: Some(Device::plant),
        limits: Some(|role| match role {
            Role::A => Limits { io: io_limit(), ..Limits::default() },
            Role::B => Limits::default(),
        }),
        act: Some(|scene, _| written(scene)),
        twin: Twin::Without(&[Mechanism::IoLimit]),
        ..noisy(
            "noisy-disk",
            "does an instance that writes and syncs without end take more of the disk than its limit a second?",
            |nonce| vec![hog(nonce, Work::Bulk)],
            |_| vec![victim(Work::Block)],
        )
    },
];

fn victim(of: Work) -> Request {
    Request::Latency { of, wall_ms: VICTIM_MS }
}

fn hog(nonce: &Nonce, with: Work) -> Request {
    Request::Busy { name: nonce.word(), with }
}

fn io_limit() -> Vec<IoLimit> {
    let write_bytes_per_s = Some(ALLOWED_BYTES_PER_S);
    let limit = |device| IoLimit { device, write_bytes_per_s, ..IoLimit::default() };
    Device::find().map(limit).into_iter().collect()
}

fn taken(scene: &Scene<'_>) -> Result<Finding, Missing> {
    let used_ms = || group::used_ms(scene.kind, scene.planter, &scene.nonce.word());
    let (before_ms, began) = (used_ms()?, Instant::now());
    std::thread::sleep(WINDOW);
    let taken = used_ms()?.saturating_sub(before_ms) as f64 / began.elapsed().as_millis() as f64;
    let said = format!("the hog takes {taken:.2} processors; {}", victims(scene)?);
    // A window is no whole number of periods, and a processor's time is counted in ticks.
    Ok(match taken / QUOTA {
        ..=1.3 => Finding::Apart(said),
        1.5.. => Finding::Open(said),
        _ => Finding::Wrong(said),
    })
}

fn written(scene: &Scene<'_>) -> Result<Finding, Missing> {
    for seen in [scene.before(0)?, scene.look(0)?] {
        let errno = seen.number("errno")?;
        if errno != 0 {
            return Ok(Finding::Wrong(format!("the victim cannot write: {}", judge::name(errno))));
        }
    }
    let bytes = || group::written_bytes(&scene.nonce.word());
    let (before, began) = (bytes()?, Instant::now());
    std::thread::sleep(WINDOW);
    let rate = bytes()?.saturating_sub(before) as f64 / began.elapsed().as_secs_f64();
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let allowed = ALLOWED_BYTES_PER_S as f64;
    let said = format!("the hog writes {:.1} MiB/s of {:.0}; {}", mib(rate), mib(allowed), victims(scene)?);
    Ok(match rate / allowed {
        ..=1.25 => Finding::Apart(said),
        2.0.. => Finding::Open(said),
        _ => Finding::Wrong(said),
    })
}

fn victims(scene: &Scene<'_>) -> Result<String, Missing> {
    let (alone, beside) = (told(scene.before(0)?)?, told(scene.look(0)?)?);
    Ok(format!("a task of the victim takes {alone} alone, {beside} beside it"))
}

fn told(seen: Seen<'_>) -> Result<String, Missing> {
    let us = |name| seen.number(name).map(|ns| ns as f64 / 1e3);
    let count = seen.number("count")?;
    let high = match count {
        FOR_P99.. => format!(", p99 {:.0} µs", us("p99_ns")?),
        FOR_P90.. => format!(", p90 {:.0} µs", us("p90_ns")?),
        _ => String::new(),
    };
    Ok(format!("p50 {:.0} µs{high} (n {count})", us("median_ns")?))
}
