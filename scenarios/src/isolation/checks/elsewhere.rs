//! Work that is done elsewhere: what an instance has the kernel's own threads do is charged to nobody (Gao et
//! al., "Houdini's Escape", CCS 2019, names the ways).
//!
//! The way taken is a terminal's: what is written to it the kernel hands on in threads of its own
//! (flush_to_ldisc on a workqueue, drivers/tty/tty_buffer.c). Their time on the host, less what they use
//! while nobody does that, is held against what the instance itself uses.

use std::time::{Duration, Instant};

use guest::probe::Request;

use super::super::check::{Check, Company, Expect, Finding, HostPlant, Missing, OnHost, Scene};
use super::super::group;
use super::super::nonce::Nonce;

const WINDOW: Duration = Duration::from_millis(1000);
/// How long it is looked at what the kernel's threads do by themselves.
const IDLE: Duration = Duration::from_millis(700);

pub(super) const ALL: &[Check] = &[Check {
    id: "elsewhere-terminal",
    claim: "cg-account",
    question: "do threads of the host's kernel work for an instance without its being charged for it?",
    source: "Gao et al., Houdini's Escape, CCS 2019; the kernel's core-api/workqueue.rst",
    expect: |kind| Expect::of_kernel(kind, "the kernel's own threads are in no instance's group"),
    company: Company::Quiet,
    on_host: Some(Idle::plant),
    look: Some(|scene| vec![Request::Terminal { name: scene.nonce.word() }]),
    act: Some(|scene, _| measured(scene)),
    ..Check::NOTHING
}];

/// What the kernel's threads use while nobody asks them to.
struct Idle {
    ms_per_s: u64,
}

impl Idle {
    fn plant(_: &Nonce) -> HostPlant {
        let (before_ms, began) = (group::kernel_threads_ms(), Instant::now());
        std::thread::sleep(IDLE);
        let used_ms = group::kernel_threads_ms().saturating_sub(before_ms);
        Ok(Box::new(Idle { ms_per_s: (used_ms as f64 / began.elapsed().as_secs_f64()) as u64 }))
    }
}

impl OnHost for Idle {
    fn witness(&self) -> Result<String, String> {
        Ok(format!("the kernel's threads use {} ms a second by themselves", self.ms_per_s))
    }

    fn number(&self) -> i64 {
        self.ms_per_s as i64
    }
}

fn measured(scene: &Scene<'_>) -> Result<Finding, Missing> {
    let errno = scene.look(0)?.number("errno")?;
    if errno != 0 {
        return Ok(Finding::Absent(format!("it has no terminal: {}", super::super::judge::name(errno))));
    }
    let idle_ms_per_s = scene.host()?.number() as f64;
    let used_ms = || group::used_ms(scene.kind, scene.looker, &scene.nonce.word());
    let (own_before_ms, others_before_ms, began) = (used_ms()?, group::kernel_threads_ms(), Instant::now());
    std::thread::sleep(WINDOW);
    let own_ms = used_ms()?.saturating_sub(own_before_ms);
    let others_ms = group::kernel_threads_ms().saturating_sub(others_before_ms) as f64
        - idle_ms_per_s * began.elapsed().as_secs_f64();
    if own_ms < 100 {
        return Err(Missing(format!("it has hardly written anything: {own_ms} ms")));
    }
    let share = others_ms.max(0.0) / own_ms as f64;
    let said = format!("{own_ms} ms of its own, {:.0} ms of the kernel's threads", others_ms.max(0.0));
    Ok(match share {
        ..=0.07 => Finding::Apart(said),
        0.15.. => Finding::Open(said),
        _ => Finding::Wrong(said),
    })
}
