//! Memory controller: no more than the limit, whatever kind of memory it is
//! (cgroup-v2.rst, "Memory"; cgroup-v1/memory.rst).

use guest::probe::{MemoryKind, Request};
use nix::libc;
use runtime::Limits;
use runtime::container::Mechanism;

use super::super::check::{Absent, Check, Company, Expect, Finding, Missing, OnHost, Role, Scene, Twin};
use super::super::group;
use super::super::judge;
use super::super::kind::Kind;
use super::super::nonce::Nonce;
use crate::prioritize::measure::memory_limit::held;

const CLAIM: &str = "cg-limit";
const SOURCE: &str =
    "cgroup-v2.rst, memory.max; cgroup-v1/memory.rst; a machine's memory is its own kernel's";
/// Enough for a machine to boot in.
const LIMIT_BYTES: u64 = 128 << 20;
const HIGH_BYTES: u64 = 24 << 20;
const WANTED_BYTES: u64 = 2 * LIMIT_BYTES;

/// An instance that wants twice what it may have.
const fn hog(id: &'static str, question: &'static str, look: fn(&Scene<'_>) -> Vec<Request>) -> Check {
    Check {
        id,
        claim: CLAIM,
        question,
        source: SOURCE,
        company: Company::Alone,
        limits: Some(limits),
        on_host: Some(Bystander::plant),
        plant: Some(|nonce| vec![Request::Sleeper { name: nonce.word() }]),
        look: Some(look),
        judge: ended_inside,
        twin: Twin::Without(&[Mechanism::MemoryLimit]),
        ..Check::NOTHING
    }
}

pub(super) const ALL: &[Check] = &[
    hog(
        "cg-memory-limit",
        "does an instance get more memory than its limit, or does its want end others?",
        |_| vec![Request::Hog { kind: MemoryKind::Anonymous, bytes: WANTED_BYTES }],
    ),
    hog("cg-memory-shared", "is memory of a shared mapping beyond the limit?", |_| {
        vec![Request::Hog { kind: MemoryKind::Shared, bytes: WANTED_BYTES }]
    }),
    Check {
        expect: |kind| match kind {
            Kind::Machine => Expect::Pointless("its kernel has no other memory than its machine's"),
            _ => Expect::usual(kind),
        },
        ..hog(
            "cg-memory-kernel",
            "does an instance get more than its limit by memory of the kernel, which no process has?",
            |_| vec![Request::Hog { kind: MemoryKind::PageTables, bytes: WANTED_BYTES }],
        )
    },
    Check {
        id: "cg-memory-high",
        claim: CLAIM,
        question: "is an instance above the mark from which memory is reclaimed as if there were none?",
        source: "cgroup-v2.rst, memory.high: throttled, never killed",
        expect: |kind| match kind {
            Kind::Machine | Kind::Sandbox => Expect::Pointless("its own kernel has no such mark"),
            _ => Expect::usual(kind),
        },
        company: Company::Alone,
        limits: Some(|_| Limits { memory_high_bytes: Some(HIGH_BYTES), ..Limits::default() }),
        // A little above: each page from there on takes longer.
        look: Some(|_| vec![Request::Keep { bytes: HIGH_BYTES + (4 << 20) }]),
        judge: |scene| {
            let memory = match group::of_looker(scene)? {
                Some(group) => group::counted(&group)?.memory,
                None => None,
            };
            let said = format!("{:?}; counted: {memory:?}", scene.looked.first().map(|seen| seen.ending));
            Ok(match memory.and_then(|memory| Some((memory.high_hits?, memory.oom_kills))) {
                Some((1.., 0)) => Finding::Apart(said),
                Some((1.., _)) => Finding::Wrong(said),
                _ => Finding::Open(said),
            })
        },
        twin: Twin::Without(&[Mechanism::MemoryHigh]),
        ..Check::NOTHING
    },
    Check {
        on_host: Some(Swap::plant),
        limits: Some(|_| Limits { swap_bytes: Some(0), ..limits(Role::B) }),
        plant: None,
        twin: Twin::Without(&[Mechanism::SwapLimit]),
        ..hog("cg-memory-swap", "does an instance get around its limit by swap?", |_| {
            vec![Request::Hog { kind: MemoryKind::Anonymous, bytes: WANTED_BYTES }]
        })
    },
    Check {
        id: "cg-memory-counted",
        claim: "cg-account",
        question: "does an instance meet its limit of memory without being counted for it?",
        source: "cgroup-v2.rst, memory.events; cgroup-v1/memory.rst, memory.oom_control",
        expect: |kind| match kind {
            Kind::Machine | Kind::Sandbox => Expect::Pointless("its own kernel has no group to count for"),
            _ => Expect::usual(kind),
        },
        company: Company::Alone,
        limits: Some(limits),
        look: Some(|_| vec![Request::Hog { kind: MemoryKind::Anonymous, bytes: WANTED_BYTES }]),
        judge: counted,
        twin: Twin::Without(&[Mechanism::MemoryLimit]),
        ..Check::NOTHING
    },
    Check {
        id: "cg-memory-true",
        claim: "cg-account",
        question: "is an instance charged for other memory than it keeps?",
        source: "cgroup-v2.rst, memory.current; cgroup-v1/memory.rst, memory.usage_in_bytes",
        expect: |kind| match kind {
            Kind::Sandbox => Expect::Pointless("its memory is a file of its own kernel"),
            _ => Expect::usual(kind),
        },
        company: Company::Alone,
        // The largest that is kept, and as much again.
        limits: Some(|_| Limits { memory_bytes: Some(160 << 20), ..Limits::default() }),
        look: Some(|scene| vec![Request::Keep { bytes: scene.nonce.amplitude(32, 72) << 20 }]),
        judge: |scene| {
            let kept_bytes = scene.look(0)?.number("touched")? as u64;
            let Some(group) = group::of_looker(scene)? else {
                return Ok(Finding::Open("it has no group of its own: nobody counts".into()));
            };
            // Of those in the group: what stays with them outside, as a shim, is charged elsewhere.
            let group::Resident { private_bytes: private, all_bytes: all } = group::resident(&group)?;
            let Some(charged) = group.memory_bytes() else {
                return Ok(Finding::Open("its memory is not counted".into()));
            };
            let said = format!(
                "{kept_bytes} bytes kept, {private} private to its processes, {all} with what they share, \
                 {charged} charged"
            );
            // What is shared is charged to who touched it first. A tenth, and what the kernel and the page
            // cache have besides.
            let most = all.max(private) / 10 * 11 + (16 << 20);
            let is_true = charged >= kept_bytes && charged >= private / 10 * 9 && charged <= most;
            Ok(if is_true { Finding::Apart(said) } else { Finding::Wrong(said) })
        },
        twin: Twin::Process,
        ..Check::NOTHING
    },
];

fn limits(_: Role) -> Limits {
    Limits { memory_bytes: Some(LIMIT_BYTES), ..Limits::default() }
}

/// The hog has been ended within the limit; that the sibling and the host's process live is the witness.
fn ended_inside(scene: &Scene<'_>) -> Result<Finding, Missing> {
    let look = scene.look(0)?;
    let (touched, signal) = (look.number("touched")? as u64, look.number("signal")? as i32);
    // No more than is asked of the limit: the same question as the scenario of priorities asks.
    let held = judge::measured(&held("twice as much wanted", LIMIT_BYTES), touched as f64);
    Ok(match (signal, held) {
        (0, Finding::Open(said)) if touched >= WANTED_BYTES => Finding::Open(said),
        (libc::SIGKILL, Finding::Apart(said)) => {
            Finding::Apart(format!("ended: {said}; sibling and host live on{}", told(scene)))
        }
        _ => Finding::Wrong(format!(
            "{touched} bytes, signal {signal}, {}",
            judge::name(look.number("errno")?)
        )),
    })
}

fn told(scene: &Scene<'_>) -> String {
    let group = group::of_looker(scene).ok().flatten();
    let memory = group.and_then(|group| group.statistics().ok()).and_then(|counted| counted.memory);
    memory.map_or_else(String::new, |memory| {
        format!(
            "; counted: {} hits, {} killed, peak {:?}, kernel {:?} bytes",
            memory.limit_hits, memory.oom_kills, memory.peak_bytes, memory.kernel_bytes
        )
    })
}

fn counted(scene: &Scene<'_>) -> Result<Finding, Missing> {
    let look = scene.look(0)?;
    let (touched, signal) = (look.number("touched")?, look.number("signal")?);
    let Some(group) = group::of_looker(scene)? else {
        return Ok(Finding::Open(format!("{touched} bytes, signal {signal}: it has no group that counts")));
    };
    let Some(memory) = group::counted(&group)?.memory else {
        return Ok(Finding::Open(format!("{touched} bytes, signal {signal}: its memory is not counted")));
    };
    let said = format!(
        "signal {signal}; {} hits of the limit, {} killed, peak {:?}",
        memory.limit_hits, memory.oom_kills, memory.peak_bytes
    );
    let within = memory.peak_bytes.is_none_or(|peak| peak <= LIMIT_BYTES);
    // Hits are not judged: on v1 of Linux 6.18 both failcnt files stay at 0 while the limit ends somebody.
    Ok(match memory.oom_kills {
        1.. if signal == i64::from(libc::SIGKILL) && within => Finding::Apart(said),
        0 if signal == 0 => Finding::Open(said),
        _ => Finding::Wrong(said),
    })
}

/// Room for what an instance has too much.
struct Swap(u64);

impl Swap {
    fn plant(_: &Nonce) -> Result<Box<dyn OnHost>, Absent> {
        match Swap::free_bytes() {
            free if free >= WANTED_BYTES => Ok(Box::new(Swap(free))),
            free => Err(Absent(format!("this host has {free} bytes of swap free"))),
        }
    }

    fn free_bytes() -> u64 {
        let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("SwapFree:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) << 10
    }
}

impl OnHost for Swap {
    fn witness(&self) -> Result<String, String> {
        Ok(format!("the host had {} bytes of swap free, and has {}", self.0, Swap::free_bytes()))
    }
}

/// A process of the host, which the want of an instance must not end.
struct Bystander(std::process::Child);

impl Bystander {
    fn plant(_: &Nonce) -> Result<Box<dyn OnHost>, Absent> {
        let child = std::process::Command::new("sleep").arg("600").spawn();
        child
            .map(|child| Box::new(Bystander(child)) as Box<dyn OnHost>)
            .map_err(|error| Absent(format!("no bystander can be started: {error}")))
    }
}

impl OnHost for Bystander {
    fn witness(&self) -> Result<String, String> {
        match group::times(self.0.id() as i32) {
            Some(_) => Ok("the host's process lives".into()),
            None => Err("the host's process has ended".into()),
        }
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
