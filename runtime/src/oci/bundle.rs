//! The bundle of one container: config.json (OCI Runtime Specification 1.0.2, config.md and
//! config-linux.md), with the isolation of our own containers as far as a runtime is told it.

use serde_json::{Value, json};

use super::profile::Way;
use crate::Limits;
use crate::container::described;
use crate::container::standard::{KEPT_CAPABILITIES, MASKED, READ_ONLY};

/// Where the guest program is inside.
pub(super) const PROGRAM: &str = "/.bench/guest";
/// First user and group id of the host that ids inside are mapped to, and how many: as of our own containers.
pub(super) const MAP_FIRST: u32 = 1_000_000_000;
pub(super) const MAP_COUNT: u32 = 65_536;
/// Period of CPU quotas in microseconds: the kernel's default.
const PERIOD_US: u64 = 100_000;

/// What differs between bundles.
pub(super) struct Contents<'a> {
    /// Root file system, absolute.
    pub(super) rootfs: &'a str,
    /// Whether it may be written to.
    pub(super) writable: bool,
    /// Host file shown as [`PROGRAM`], where the root file system has none.
    pub(super) program: Option<&'a str>,
    /// The guest's plan.
    pub(super) plan: &'a str,
    /// How it speaks.
    pub(super) way: Way,
    /// Whether it has a user namespace with mapped ids.
    pub(super) maps_ids: bool,
    /// Whether it has a time namespace.
    pub(super) offsets_time: bool,
    /// Whether it has a network of its own, else the host's.
    pub(super) own_network: bool,
    /// Name of the host inside.
    pub(super) hostname: &'a str,
    /// Below every hierarchy's root; `None` = no cgroup is asked for.
    pub(super) cgroup: Option<&'a str>,
    /// Limits.
    pub(super) limits: &'a Limits,
}

/// The text of config.json.
pub(super) fn config(contents: &Contents<'_>) -> Value {
    let way = match contents.way {
        Way::Descriptor => "fd:3",
        Way::Output => "own-clock:fd:1",
    };
    let mut namespaces = vec!["pid", "uts", "mount", "ipc", "cgroup"];
    namespaces.extend(contents.own_network.then_some("network"));
    namespaces.extend(contents.maps_ids.then_some("user"));
    namespaces.extend(contents.offsets_time.then_some("time"));
    let namespaces: Vec<Value> = namespaces.iter().map(|name| json!({ "type": name })).collect();
    let kept = KEPT_CAPABILITIES.map(|(_, name)| name);
    let map = || json!([{ "containerID": 0, "hostID": MAP_FIRST, "size": MAP_COUNT }]);
    let mut linux = json!({
        "namespaces": namespaces,
        "maskedPaths": MASKED,
        "readonlyPaths": READ_ONLY,
        "resources": resources(contents.limits),
    });
    if let Some(profile) = described() {
        linux["seccomp"] = profile;
    }
    if contents.maps_ids {
        linux["uidMappings"] = map();
        linux["gidMappings"] = map();
    }
    if let Some(cgroup) = contents.cgroup {
        linux["cgroupsPath"] = cgroup.into();
    }
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": [PROGRAM, way, contents.plan],
            // Nothing of it is used; youki refuses to start a process without.
            "env": ["PATH=/"],
            "cwd": "/",
            "capabilities": {
                "bounding": kept,
                "effective": kept,
                "permitted": kept,
            },
            "noNewPrivileges": true,
            "oomScoreAdj": crate::victim::OOM_SCORE_ADJ,
        },
        "root": { "path": contents.rootfs, "readonly": !contents.writable },
        "hostname": contents.hostname,
        "mounts": mounts(contents.program),
        "linux": linux,
    })
}

fn mounts(program: Option<&str>) -> Vec<Value> {
    let mount = |destination: &str, kind: &str, options: &[&str]| json!({ "destination": destination, "type": kind, "source": kind, "options": options });
    let mut mounts = vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", &["nosuid", "mode=0755", "size=64k"]),
        mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
        mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=64m"]),
        mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
    ];
    if let Some(program) = program {
        mounts.push(
            json!({ "destination": PROGRAM, "type": "bind", "source": program, "options": ["bind", "ro"] }),
        );
    }
    mounts
}

/// Whether a bundle can say all of `limits`; other limits are those of our own containers only.
pub(super) fn can_say(limits: &Limits) -> bool {
    let Limits { memory_bytes, memory_low_bytes, swap_bytes, cpus, cpu_period_us, pids, .. } = limits.clone();
    let Limits { cpuset_cpus, cpuset_mems, .. } = limits.clone();
    let said = Limits {
        memory_bytes,
        memory_low_bytes,
        swap_bytes,
        cpus,
        cpu_period_us,
        pids,
        cpuset_cpus,
        cpuset_mems,
        ..Limits::default()
    };
    said == *limits
}

/// `linux.resources` (config-linux.md, "Control groups").
fn resources(limits: &Limits) -> Value {
    let mut memory = json!({});
    if let Some(bytes) = limits.memory_bytes {
        memory["limit"] = bytes.into();
        // Memory and swap together: the same number leaves no swap.
        memory["swap"] = bytes.saturating_add(limits.swap_bytes.unwrap_or(0)).into();
    }
    if let Some(bytes) = limits.memory_low_bytes {
        memory["reservation"] = bytes.into();
    }
    let mut cpu = json!({});
    if let Some(cpus) = limits.cpus {
        let period_us = limits.cpu_period_us.unwrap_or(PERIOD_US);
        cpu["quota"] = ((cpus * period_us as f64).round() as u64).into();
        cpu["period"] = period_us.into();
    }
    for (key, list) in [("cpus", &limits.cpuset_cpus), ("mems", &limits.cpuset_mems)] {
        if let Some(list) = list {
            cpu[key] = list.clone().into();
        }
    }
    let mut resources = json!({ "memory": memory, "cpu": cpu });
    if let Some(pids) = limits.pids {
        resources["pids"] = json!({ "limit": pids });
    }
    resources
}
