//! What must be the same on both sides for a difference to be one of what was measured.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::folder::LoadedRun;

/// Properties of the host, for every backend.
const HOST: [&str; 5] = ["cpu_model", "cpus_online", "kernel", "governor", "memory_bytes"];
/// Properties of the host that only some backends feel.
const CONTAINERS: [&str; 1] = ["cgroup_mode"];
/// As [`CONTAINERS`], for virtual machines.
const MACHINES: [&str; 1] = ["accelerator"];
/// Programs whose version virtual machines are measured with.
const EMULATOR: &str = "qemu-system-x86_64";
/// Keys of the plan that say what is measured. How often, in which order and with which seed is
/// not among them.
const PLAN: [&str; 9] = [
    "instances",
    "arrival",
    "workload",
    "command",
    "memory_bytes",
    "cpus",
    "pids",
    "timeout_s",
    "stall_launcher_ms",
];

/// Values by property, as text; more than one where runs of a side differ.
pub(super) type Fingerprint = BTreeMap<String, BTreeSet<String>>;

/// The fingerprint of a backend in a run, added to `all`.
pub(super) fn add(all: &mut Fingerprint, run: &LoadedRun, backend: &str, config: &str) {
    let mut insert = |key: &str, value: Option<&Value>| {
        let text = match value {
            None | Some(Value::Null) => "none".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        all.entry(key.to_owned()).or_default().insert(text);
    };
    let family = backend.split(':').next().unwrap_or(backend);
    let of_family: &[&str] = match family {
        "vm" => &MACHINES,
        "container" | "oci" | "engine" => &CONTAINERS,
        _ => &[],
    };
    for key in HOST.iter().chain(of_family) {
        insert(&format!("host {key}"), run.run.host.get(*key));
    }
    if family == "vm" {
        let version = run.run.versions.get(EMULATOR).map(|version| Value::from(version.as_str()));
        insert(EMULATOR, version.as_ref());
    }
    insert("scenario", Some(&Value::from(run.run.scenario.as_str())));
    for key in PLAN {
        insert(&format!("plan {key}"), run.run.plan.get(key));
    }
    insert("image", run.run.configs.get(config).and_then(|config| config.get("image")));
}

/// What differs, named with both values.
pub(crate) fn differences(base: &Fingerprint, head: &Fingerprint) -> Vec<String> {
    let none = BTreeSet::from(["none".to_owned()]);
    let keys: BTreeSet<&String> = base.keys().chain(head.keys()).collect();
    keys.into_iter()
        .filter_map(|key| {
            let (base, head) = (base.get(key).unwrap_or(&none), head.get(key).unwrap_or(&none));
            if base.union(head).count() == 1 {
                return None;
            }
            let list = |values: &BTreeSet<String>| values.iter().cloned().collect::<Vec<_>>().join(" and ");
            Some(format!("{key} is {} in the base and {} in the head", list(base), list(head)))
        })
        .collect()
}
