//! Which fields there are, and which are refused.

use std::fmt::Write;

use serde_json::Value;

use super::refuse;
use crate::Error;

/// The fields that are translated. `[]` stands for any index, `*` for any key and all below it.
const TRANSLATED: &[&str] = &[
    "ociVersion",
    "annotations.*",
    "hostname",
    "domainname",
    "root.path",
    "root.readonly",
    "mounts[].destination",
    "mounts[].type",
    "mounts[].source",
    "mounts[].options[]",
    "hooks.prestart[].path",
    "hooks.prestart[].args[]",
    "hooks.prestart[].env[]",
    "hooks.prestart[].timeout",
    "hooks.createRuntime[].path",
    "hooks.createRuntime[].args[]",
    "hooks.createRuntime[].env[]",
    "hooks.createRuntime[].timeout",
    "hooks.createContainer[].path",
    "hooks.createContainer[].args[]",
    "hooks.createContainer[].env[]",
    "hooks.createContainer[].timeout",
    "hooks.startContainer[].path",
    "hooks.startContainer[].args[]",
    "hooks.startContainer[].env[]",
    "hooks.startContainer[].timeout",
    "hooks.poststart[].path",
    "hooks.poststart[].args[]",
    "hooks.poststart[].env[]",
    "hooks.poststart[].timeout",
    "hooks.poststop[].path",
    "hooks.poststop[].args[]",
    "hooks.poststop[].env[]",
    "hooks.poststop[].timeout",
    // For a terminal only, "MUST be ignored" without one (config.md, "Process").
    "process.consoleSize.height",
    "process.consoleSize.width",
    "process.user.uid",
    "process.user.gid",
    "process.user.umask",
    "process.user.additionalGids[]",
    "process.args[]",
    "process.env[]",
    "process.cwd",
    "process.capabilities.bounding[]",
    "process.capabilities.effective[]",
    "process.capabilities.inheritable[]",
    "process.capabilities.permitted[]",
    "process.capabilities.ambient[]",
    "process.rlimits[].type",
    "process.rlimits[].soft",
    "process.rlimits[].hard",
    "process.noNewPrivileges",
    "process.oomScoreAdj",
    "linux.uidMappings[].containerID",
    "linux.uidMappings[].hostID",
    "linux.uidMappings[].size",
    "linux.gidMappings[].containerID",
    "linux.gidMappings[].hostID",
    "linux.gidMappings[].size",
    "linux.sysctl.*",
    "linux.cgroupsPath",
    "linux.namespaces[].type",
    "linux.namespaces[].path",
    "linux.devices[].path",
    "linux.devices[].type",
    "linux.devices[].major",
    "linux.devices[].minor",
    "linux.devices[].fileMode",
    "linux.devices[].uid",
    "linux.devices[].gid",
    "linux.rootfsPropagation",
    "linux.maskedPaths[]",
    "linux.readonlyPaths[]",
    "linux.timeOffsets.*",
    "linux.seccomp.defaultAction",
    "linux.seccomp.defaultErrnoRet",
    "linux.seccomp.architectures[]",
    "linux.seccomp.flags[]",
    "linux.seccomp.syscalls[].names[]",
    "linux.seccomp.syscalls[].action",
    "linux.seccomp.syscalls[].errnoRet",
    "linux.seccomp.syscalls[].args[].index",
    "linux.seccomp.syscalls[].args[].value",
    "linux.seccomp.syscalls[].args[].valueTwo",
    "linux.seccomp.syscalls[].args[].op",
    "linux.resources.devices[].allow",
    "linux.resources.devices[].type",
    "linux.resources.devices[].major",
    "linux.resources.devices[].minor",
    "linux.resources.devices[].access",
    "linux.resources.memory.limit",
    "linux.resources.memory.reservation",
    "linux.resources.memory.swap",
    "linux.resources.memory.useHierarchy",
    "linux.resources.memory.checkBeforeUpdate",
    "linux.resources.cpu.shares",
    "linux.resources.cpu.quota",
    "linux.resources.cpu.burst",
    "linux.resources.cpu.period",
    "linux.resources.cpu.cpus",
    "linux.resources.cpu.mems",
    "linux.resources.pids.limit",
    "linux.resources.blockIO.weight",
    "linux.resources.blockIO.throttleReadBpsDevice[].major",
    "linux.resources.blockIO.throttleReadBpsDevice[].minor",
    "linux.resources.blockIO.throttleReadBpsDevice[].rate",
    "linux.resources.blockIO.throttleWriteBpsDevice[].major",
    "linux.resources.blockIO.throttleWriteBpsDevice[].minor",
    "linux.resources.blockIO.throttleWriteBpsDevice[].rate",
    "linux.resources.blockIO.throttleReadIOPSDevice[].major",
    "linux.resources.blockIO.throttleReadIOPSDevice[].minor",
    "linux.resources.blockIO.throttleReadIOPSDevice[].rate",
    "linux.resources.blockIO.throttleWriteIOPSDevice[].major",
    "linux.resources.blockIO.throttleWriteIOPSDevice[].minor",
    "linux.resources.blockIO.throttleWriteIOPSDevice[].rate",
    "linux.resources.hugepageLimits[].pageSize",
    "linux.resources.hugepageLimits[].limit",
    "linux.resources.unified.*",
];

/// Fields of the specification that are not implemented, each with all below it.
const NOT_IMPLEMENTED: &[(&str, &str)] = &[
    ("process.terminal", "terminals are not implemented: set it to false"),
    ("process.commandLine", "is for Windows"),
    ("process.user.username", "is for Windows"),
    ("process.apparmorProfile", "AppArmor is not implemented"),
    ("process.selinuxLabel", "SELinux is not implemented"),
    ("process.ioPriority", "is not implemented"),
    ("process.scheduler", "is not implemented"),
    ("process.execCPUAffinity", "is not implemented"),
    ("mounts[].uidMappings", "mounts with mapped ids are not implemented"),
    ("mounts[].gidMappings", "mounts with mapped ids are not implemented"),
    ("linux.mountLabel", "SELinux is not implemented"),
    ("linux.intelRdt", "is not implemented"),
    ("linux.memoryPolicy", "is not implemented"),
    ("linux.netDevices", "is not implemented"),
    ("linux.personality", "is not implemented"),
    ("linux.seccomp.listenerPath", "SCMP_ACT_NOTIFY is not implemented"),
    ("linux.seccomp.listenerMetadata", "SCMP_ACT_NOTIFY is not implemented"),
    ("linux.resources.memory.kernel", "was removed from the kernel (cgroup v1, Linux 5.16)"),
    ("linux.resources.memory.kernelTCP", "is not implemented"),
    ("linux.resources.cpu.realtimeRuntime", "is not implemented"),
    ("linux.resources.cpu.realtimePeriod", "is not implemented"),
    ("linux.resources.blockIO.leafWeight", "was removed from the kernel (cgroup v1, Linux 5.0)"),
    ("linux.resources.blockIO.weightDevice", "is not implemented"),
    ("linux.resources.memory.swappiness", "is not implemented: cgroup v2 has none"),
    ("linux.resources.memory.disableOOMKiller", "is not implemented: cgroup v2 has none"),
    ("linux.resources.cpu.idle", "is not implemented"),
    ("linux.resources.network", "is not implemented"),
    ("linux.resources.rdma", "is not implemented"),
    ("solaris", "is for another operating system"),
    ("windows", "is for another operating system"),
    ("vm", "is for virtual machines"),
    ("zos", "is for another operating system"),
    ("uidMappings", "is for another operating system: use linux.uidMappings"),
    ("gidMappings", "is for another operating system: use linux.gidMappings"),
];

/// Refuses the first field of `value` that is not translated; `at` is the JSON path it stands at.
pub(super) fn check(value: &Value, at: &str) -> Result<(), Error> {
    walk(value, &mut at.to_owned(), &mut at.to_owned())
}

/// `path` has indices and keys as they are, `pattern` as in the tables.
fn walk(value: &Value, path: &mut String, pattern: &mut String) -> Result<(), Error> {
    if TRANSLATED.contains(&pattern.as_str()) {
        return Ok(());
    }
    if let Some((_, why)) = NOT_IMPLEMENTED.iter().find(|(field, _)| *field == pattern) {
        return if asks_for_nothing(value) { Ok(()) } else { Err(refuse(&*path, why)) };
    }
    if TRANSLATED.iter().any(|field| field.strip_prefix(pattern.as_str()) == Some(".*")) {
        return Ok(());
    }
    let (path_len, pattern_len) = (path.len(), pattern.len());
    let is_begin = |pattern: &str, next: char| {
        let fields = TRANSLATED.iter().copied().chain(NOT_IMPLEMENTED.iter().map(|(field, _)| *field));
        fields.filter_map(|field| field.strip_prefix(pattern)).any(|rest| rest.starts_with(next))
    };
    match value {
        Value::Object(object) if pattern.is_empty() || is_begin(pattern, '.') => {
            for (key, member) in object {
                let dot = if pattern_len == 0 { "" } else { "." };
                let _ = write!(path, "{dot}{key}");
                if key.contains(['.', '[', '*']) {
                    // It could read like the path of another field.
                    return Err(refuse(&*path, "is no known field"));
                }
                let _ = write!(pattern, "{dot}{key}");
                walk(member, path, pattern)?;
                path.truncate(path_len);
                pattern.truncate(pattern_len);
            }
            Ok(())
        }
        Value::Array(array) if is_begin(pattern, '[') => {
            for (index, member) in array.iter().enumerate() {
                let _ = write!(path, "[{index}]");
                pattern.push_str("[]");
                walk(member, path, pattern)?;
                path.truncate(path_len);
                pattern.truncate(pattern_len);
            }
            Ok(())
        }
        _ if is_begin(pattern, '.') => Err(refuse(&*path, "is no object")),
        _ if is_begin(pattern, '[') => Err(refuse(&*path, "is no list")),
        _ => Err(refuse(&*path, "is no known field")),
    }
}

fn asks_for_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(array) => array.is_empty(),
        Value::Object(object) => object.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}
