//! Cgroups from the inside: the way out, the own limits, release_agent (cgroups(7),
//! cgroup_namespaces(7)); and the device controller.

use guest::probe::Request;
use nix::libc;
use runtime::Limits;
use runtime::cgroup::{DeviceAccess, DeviceKind, DeviceRule};
use runtime::container::Mechanism;

use super::super::check::{Check, Company, Expect, Finding, Missing, Scene, Twin};
use super::super::group::CanaryGroup;
use super::super::judge;
use super::super::kind::Kind;

/// What keeps a hierarchy from being mounted, and its files from being written: root of the host is
/// nobody inside, no call mounts, and nothing gives the right to.
const APART: Twin = Twin::Without(&[
    Mechanism::UserNamespace,
    Mechanism::Seccomp,
    Mechanism::Capability(CAP_SYS_ADMIN),
    Mechanism::CgroupNamespace,
]);
const CAP_SYS_ADMIN: u32 = 21;

pub(super) const ALL: &[Check] = &[
    Check {
        id: "cg-move-out",
        claim: "cg-collection",
        question: "can a process inside leave its groups?",
        source: "cgroups(7), cgroup.procs; cgroup-v2.rst, \"Delegation Containment\"",
        on_host: Some(CanaryGroup::plant),
        look: Some(look),
        judge: |scene| reached(scene, "moved", "it can get to the root of"),
        twin: APART,
        ..Check::NOTHING
    },
    Check {
        id: "cg-limits-writable",
        claim: "cg-limit",
        question: "do limits of the host's groups open for writing inside?",
        source: "cgroup-v2.rst, \"Delegation\": limits belong to the parent",
        on_host: Some(CanaryGroup::plant),
        look: Some(look),
        judge: |scene| reached(scene, "limits", "limits open for writing in"),
        twin: APART,
        ..Check::NOTHING
    },
    Check {
        id: "cg-release-agent",
        claim: "cg-limit",
        question: "does a release_agent of the host open for writing inside?",
        source: "CVE-2022-0492; cgroups(7), release_agent: the kernel runs it as root of the host",
        on_host: Some(CanaryGroup::plant_in_v1),
        look: Some(look),
        judge: |scene| reached(scene, "agents", "release_agent opens for writing in"),
        twin: APART,
        ..Check::NOTHING
    },
    Check {
        id: "cg-devices",
        claim: "cg-limit",
        question: "does a device open that the rules of the group do not allow?",
        source: "cgroup-v1/devices.rst; cgroup-v2.rst, \"Device controller\": EPERM",
        expect: |kind| match kind {
            Kind::Machine => Expect::Pointless("a machine's devices are emulated"),
            _ => Expect::usual(kind),
        },
        company: Company::Alone,
        limits: Some(|_| Limits { devices: Some(vec![null()]), ..Limits::default() }),
        look: Some(|_| {
            ["/dev/zero", "/dev/null"].map(|path| Request::Read { path: path.into(), most: 8 }).to_vec()
        }),
        judge: |scene| {
            let allowed = scene.look(1)?.number("errno")?;
            if allowed != 0 {
                return Ok(Finding::Wrong(format!("what is allowed says {}", judge::name(allowed))));
            }
            judge::refused(scene.look(0)?, &[libc::EPERM])
        },
        twin: Twin::Without(&[Mechanism::DeviceRules]),
        ..Check::NOTHING
    },
];

fn look(scene: &Scene<'_>) -> Vec<Request> {
    let group = scene.on_host.map_or_else(String::new, |plant| plant.text());
    vec![Request::Cgroups { group }]
}

/// Whether something can be done to hierarchies in which the host's group is found.
fn reached(scene: &Scene<'_>, what: &str, how: &str) -> Result<Finding, Missing> {
    let look = scene.look(0)?;
    let (done, found, mounted) = (look.number(what)?, look.number("found")?, look.number("mounted")?);
    let said = format!(
        "{mounted} hierarchies, the host's group found in {found}; mount: {}",
        judge::name(look.number("mount")?)
    );
    let mount = look.number("mount")? as i32;
    Ok(match done {
        // With nothing mounted, what counts is why.
        0 if mounted == 0 && scene.kind.shares_kernel() && ![libc::EPERM, libc::EACCES].contains(&mount) => {
            Finding::Wrong(said)
        }
        0 => Finding::Apart(said),
        _ => Finding::Open(format!("{how} {done}; {said}")),
    })
}

/// The one device that is allowed.
fn null() -> DeviceRule {
    DeviceRule {
        allow: true,
        kind: DeviceKind::Char,
        major: Some(1),
        minor: Some(3),
        access: DeviceAccess::ALL,
    }
}
