//! The program an instance is started with is a file of the host that it can name: /proc/self/exe
//! (CVE-2019-5736: who opens that for writing changes what the host and the next instance execute).
//!
//! While it is executed nobody writes to it (execve(2), ETXTBSY), which says nothing of afterwards. So it is
//! asked whether it might be written (access(2)), and whether seals keep its content (fcntl(2), F_SEAL_WRITE),
//! for which the host looks at the same file.

use std::fs::File;

use guest::probe::Request;
use nix::libc;
use runtime::container::Mechanism;
use rustix::fs::{SealFlags, fcntl_get_seals};

use super::super::check::{Check, Expect, Finding, Missing, Scene, Twin};
use super::super::judge;
use super::super::kind::Kind;
use super::super::processes;

pub(super) const ALL: &[Check] = &[Check {
    id: "program-overwrite",
    claim: "ns-mount",
    question: "can an instance change the program it is started with, which is the host's?",
    source: "CVE-2019-5736; proc_pid_exe(5), access(2), memfd_create(2): file sealing",
    expect: |kind| match kind {
        Kind::Process => Expect::Pointless("its program is the host's own, and sealed as those of all"),
        Kind::Machine | Kind::Sandbox => Expect::Pointless("what it executes is a copy of its own kernel's"),
        _ => Expect::Apart,
    },
    look: Some(|_| vec![Request::Access { path: "/proc/self/exe".into() }]),
    judge: |scene| {
        let sealed = is_sealed(scene)?;
        let errno = scene.look(0)?.number("errno")?;
        Ok(match (sealed, errno as i32) {
            (true, _) => Finding::Apart("it is sealed".into()),
            (false, libc::EROFS | libc::EACCES | libc::EPERM) => {
                Finding::Apart(format!("not sealed, but {}", judge::name(errno)))
            }
            (false, 0) => Finding::Open("it might be written and is not sealed".into()),
            (false, _) => Finding::Wrong(judge::name(errno)),
        })
    },
    twin: Twin::Without(&[Mechanism::SealedProgram]),
    ..Check::NOTHING
}];

/// As the host finds it at the instance's first process.
fn is_sealed(scene: &Scene<'_>) -> Result<bool, Missing> {
    let root = scene.looker.ok_or_else(|| Missing("the instance has no process".into()))?;
    let path = format!("/proc/{}/exe", processes::init(root));
    let file = File::open(&path).map_err(|error| Missing(format!("{path}: {error}")))?;
    // EINVAL: a file that can have none.
    let seals = fcntl_get_seals(&file).unwrap_or(SealFlags::empty());
    Ok(seals.contains(SealFlags::WRITE))
}
