//! What all who run on one kernel share, and a machine does not.

use guest::probe::Request;

use super::super::check::{Check, Expect, Finding, Missing, Scene};
use super::super::kind::Kind;
use super::super::on_host::HostFile;

const CLAIM: &str = "ns-full-access";
const WHY: &str = "the kernel is one";

/// A file of /proc or /sys that says which kernel this is.
const fn same(
    id: &'static str,
    question: &'static str,
    source: &'static str,
    on_host: fn(&super::super::nonce::Nonce) -> super::super::check::HostPlant,
    look: fn(&Scene<'_>) -> Vec<Request>,
) -> Check {
    Check {
        id,
        claim: CLAIM,
        question,
        source,
        expect: |kind| Expect::of_kernel(kind, WHY),
        on_host: Some(on_host),
        look: Some(look),
        judge: equals_host,
        ..Check::NOTHING
    }
}

pub(super) const ALL: &[Check] = &[
    same(
        "kernel-boot-id",
        "has an instance the host's boot id?",
        "random(4): /proc/sys/kernel/random/boot_id",
        |_| HostFile::read("/proc/sys/kernel/random/boot_id"),
        |_| vec![Request::Read { path: "/proc/sys/kernel/random/boot_id".into(), most: 100 }],
    ),
    same(
        "kernel-release",
        "has an instance the host's kernel?",
        "proc_version(5)",
        |_| HostFile::read("/proc/version"),
        |_| vec![Request::Read { path: "/proc/version".into(), most: 1000 }],
    ),
    same(
        "kernel-command-line",
        "does an instance see the command line of the host's kernel?",
        "proc_cmdline(5)",
        |_| HostFile::read("/proc/cmdline"),
        |_| vec![Request::Read { path: "/proc/cmdline".into(), most: 4096 }],
    ),
];

fn equals_host(scene: &Scene<'_>) -> Result<Finding, Missing> {
    let seen = scene.look(0)?;
    let errno = seen.number("errno")?;
    if errno == i64::from(nix::libc::ENOENT) && scene.kind == Kind::Sandbox {
        return Ok(Finding::Absent("its own kernel has no such file".into()));
    }
    if errno != 0 {
        return Ok(Finding::Wrong(super::super::judge::name(errno)));
    }
    Ok(super::super::judge::differs("text", seen.text("text")?.trim(), &scene.host()?.text()))
}
