//! Processor time: quota, weight, processors (cgroup-v2.rst, "CPU", "Cpuset"; scheduler/sched-bwc.rst).

use std::time::{Duration, Instant};

use guest::probe::Request;
use runtime::Limits;
use runtime::cgroup::CpuWeight;
use runtime::container::Mechanism;

use super::super::check::{Absent, Check, Company, Expect, Finding, Missing, OnHost, Role, Scene, Twin};
use super::super::group;
use super::super::judge;
use super::super::kind::Kind;
use super::super::nonce::Nonce;
use crate::prioritize::measure::cpu_quota::held;

/// So little that a busy host gives an unlimited one more.
const QUOTA: f64 = 0.05;
const PERIOD_NS: f64 = 1e8;
const WALL_MS: u32 = 2000;
const WEIGHTS: [u64; 2] = [100, 1000];
/// How long two that compete are watched.
const WINDOW: Duration = Duration::from_millis(1500);
/// How long a busy host may take to let them begin.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) const ALL: &[Check] = &[
    Check {
        id: "cg-cpu-quota",
        claim: "cg-limit",
        question: "does an instance get more processor time than its quota?",
        source: "scheduler/sched-bwc.rst; cgroup-v2.rst, cpu.max",
        expect: |kind| match kind {
            Kind::Machine => Expect::Pointless(
                "its own clocks do not tell that QEMU is held; noisy-cpu looks from outside",
            ),
            _ => Expect::usual(kind),
        },
        company: Company::Alone,
        limits: Some(|_| Limits { cpus: Some(QUOTA), ..Limits::default() }),
        look: Some(|_| vec![Request::Compute { wall_ms: WALL_MS }]),
        judge: |scene| {
            let look = scene.look(0)?;
            let (used, wall) = (look.number("cpu_ns")? as f64, look.number("wall_ns")? as f64);
            // What is left of the period it begins in comes on top.
            let cores = used / (wall + PERIOD_NS);
            let [_, by_work] = held("1 thread", QUOTA);
            let said = |said: String| {
                format!("{said} ({:.1} ms in {:.0} ms{})", used / 1e6, wall / 1e6, throttled(scene))
            };
            Ok(match judge::measured(&by_work, cores) {
                Finding::Apart(told) => Finding::Apart(said(told)),
                Finding::Open(told) => Finding::Open(said(told)),
                other => other,
            })
        },
        twin: Twin::Without(&[Mechanism::CpuLimit]),
        ..Check::NOTHING
    },
    Check {
        id: "cg-cpu-weight",
        claim: "cg-prioritize",
        question: "where two compete, does the one with a tenth of the weight get as much processor time?",
        source: "cgroup-v2.rst, cpu.weight; scheduler/sched-design-CFS.rst, group scheduling",
        expect: |kind| match kind {
            Kind::Machine => Expect::Pointless("a machine is given no weight"),
            _ => Expect::usual(kind),
        },
        company: Company::Alone,
        limits: Some(|role| Limits {
            cpu_weight: Some(CpuWeight::Weight(WEIGHTS[usize::from(role == Role::B)])),
            // On one processor, whatever else runs there: they compete with each other within one group.
            cpuset_cpus: Some("0".into()),
            ..Limits::default()
        }),
        plant: Some(|nonce| vec![spinner(nonce, 'a')]),
        look: Some(|scene| vec![spinner(scene.nonce, 'b')]),
        act: Some(|scene, _| {
            // They take their names after their instances have answered.
            let deadline = Instant::now() + PATIENCE;
            let [light, heavy] = loop {
                let rivals = ['a', 'b'].map(|letter| group::called(&name(scene.nonce, letter)));
                match rivals.each_ref().map(|found| found.first().copied()) {
                    [Some(light), Some(heavy)] => break [light, heavy],
                    _ if Instant::now() > deadline => {
                        let why = format!("the host does not find those that compete: {rivals:?}");
                        return Err(Missing(why));
                    }
                    _ => std::thread::sleep(Duration::from_millis(10)),
                }
            };
            let own_ms = |pid| group::times(pid).map(|times| times.own_ms).ok_or(pid);
            let gone = |pid| Missing(format!("process {pid} has ended"));
            let before = [own_ms(light).map_err(gone)?, own_ms(heavy).map_err(gone)?];
            let began = Instant::now();
            // A busy host gives both little: watched until that is enough to be told apart.
            loop {
                std::thread::sleep(WINDOW);
                let used =
                    [own_ms(light).map_err(gone)? - before[0], own_ms(heavy).map_err(gone)? - before[1]];
                if used[0] + used[1] < 800 && began.elapsed() < 10 * WINDOW {
                    continue;
                }
                let ratio = used[1] as f64 / used[0].max(1) as f64;
                let said = format!("weights {WEIGHTS:?}: {used:?} ms, {ratio:.1} times as much");
                return Ok(match ratio {
                    4.0.. => Finding::Apart(said),
                    ..=2.5 => Finding::Open(said),
                    _ => Finding::Wrong(said),
                });
            }
        }),
        twin: Twin::Without(&[Mechanism::CpuWeight]),
        ..Check::NOTHING
    },
    Check {
        id: "cg-cpuset",
        claim: "cg-limit",
        question: "does an instance run on another processor than those allowed?",
        source: "cpuset(7); cgroup-v2.rst, cpuset.cpus",
        expect: |kind| match kind {
            Kind::Machine => Expect::Pointless("a machine's processors are virtual"),
            Kind::Sandbox => Expect::Pointless("its kernel shows processors of its own"),
            _ => Expect::usual(kind),
        },
        company: Company::Alone,
        limits: Some(|_| Limits { cpuset_cpus: Some("0".into()), ..Limits::default() }),
        on_host: Some(Processors::plant),
        look: Some(|_| vec![Request::Processors]),
        judge: |scene| {
            let ran = scene.look(0)?.list("processors")?;
            Ok(match ran {
                [] => Finding::Wrong("it ran on none".into()),
                [one] if one == "0" => Finding::Apart("it ran on processor 0 alone".into()),
                _ => Finding::Open(format!("it ran on {}", ran.join(", "))),
            })
        },
        twin: Twin::Without(&[Mechanism::Cpuset]),
        ..Check::NOTHING
    },
    Check {
        id: "cg-cpu-true",
        claim: "cg-account",
        question: "is an instance charged for other processor time than it uses?",
        source: "cgroup-v2.rst, cpu.stat; cgroup-v1/cpuacct.rst",
        company: Company::Alone,
        // On a pure v1 host time is counted only where it is limited.
        limits: Some(|_| Limits { cpus: Some(2.0), ..Limits::default() }),
        look: Some(|_| vec![Request::Compute { wall_ms: 1000 }]),
        judge: |scene| {
            let inside_ms = scene.look(0)?.number("cpu_ns")? as u64 / 1_000_000;
            let Some(group) = group::of_looker(scene)? else {
                return Ok(Finding::Open(format!("{inside_ms} ms used, and nobody counts")));
            };
            let counted = group::counted(&group)?.cpu.and_then(|cpu| cpu.usage_ns);
            let charged_ms = counted.ok_or_else(|| Missing("its group counts no time".into()))? / 1_000_000;
            let inside = group.processes().map_err(|error| Missing(error.to_string()))?;
            let times = inside.iter().filter_map(|pid| group::times(*pid));
            let used_ms: u64 = times.map(|times| times.own_ms + times.children_ms).sum();
            let said =
                format!("{inside_ms} ms by its own clock, {used_ms} by its processes, {charged_ms} charged");
            // Ticks of 10 ms, for each process; a tenth.
            let is_true = charged_ms.abs_diff(used_ms) <= used_ms / 10 + 50;
            Ok(if is_true { Finding::Apart(said) } else { Finding::Wrong(said) })
        },
        twin: Twin::Process,
        ..Check::NOTHING
    },
];

fn name(nonce: &Nonce, letter: char) -> String {
    format!("{}{letter}", nonce.word())
}

fn spinner(nonce: &Nonce, letter: char) -> Request {
    Request::Spinner { name: name(nonce, letter), orphan: false }
}

fn throttled(scene: &Scene<'_>) -> String {
    let group = group::of_looker(scene).ok().flatten();
    let cpu = group.and_then(|group| group.statistics().ok()).and_then(|counted| counted.cpu);
    cpu.map_or_else(String::new, |cpu| {
        format!("; throttled in {:?} of {:?} periods", cpu.throttled_periods, cpu.periods)
    })
}

/// That there is more than one to run on.
struct Processors(usize);

impl Processors {
    fn plant(_: &Nonce) -> Result<Box<dyn OnHost>, Absent> {
        match std::thread::available_parallelism().map_or(1, usize::from) {
            1 => Err(Absent("this host has one processor".into())),
            more => Ok(Box::new(Processors(more))),
        }
    }
}

impl OnHost for Processors {
    fn witness(&self) -> Result<String, String> {
        Ok(format!("the host has {} processors", self.0))
    }
}
