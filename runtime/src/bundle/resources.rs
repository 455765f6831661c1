//! `linux.resources` as the limits of a cgroup (config-linux.md, "Control groups").

use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxDeviceCgroup, LinuxDeviceType, LinuxMemory, LinuxResources,
    LinuxThrottleDevice,
};

use super::config::refuse;
use crate::Error;
use crate::cgroup::{
    CpuWeight, DeviceAccess, DeviceKind, DeviceRule, HugetlbLimit, IoLimit, IoWeight, Limits, UNLIMITED,
};

/// Folder of the groups of bundles that ask for no place of their own.
const TOP: &str = "bench-oci";
/// The kernel's default period of CPU quotas in microseconds.
const PERIOD_US: u64 = 100_000;

/// The group of a container, relative to the root of each hierarchy: a path that begins with `/` is
/// taken as it is, another one is in this runtime's own folder (config-linux.md, "Cgroups Path").
///
/// # Errors
/// Where it climbs, or is systemd's form of a path.
pub fn cgroup_path(cgroups_path: Option<&Path>, id: &str) -> Result<PathBuf, Error> {
    let at = "linux.cgroupsPath";
    let Some(path) = cgroups_path.filter(|path| !path.as_os_str().is_empty()) else {
        return Ok(Path::new(TOP).join(id));
    };
    let text = path.to_string_lossy();
    if !text.contains('/') && text.matches(':').count() == 2 {
        let why = "is systemd's slice:prefix:name, which is not implemented: use the cgroup driver cgroupfs";
        return Err(refuse(at, format!("{text} {why}")));
    }
    let mut relative = if path.is_absolute() { PathBuf::new() } else { PathBuf::from(TOP) };
    for part in path.components() {
        match part {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => relative.push(name),
            Component::ParentDir | Component::Prefix(_) => return Err(refuse(at, "has .. in it")),
        }
    }
    if relative.as_os_str().is_empty() {
        return Err(refuse(at, "is the root of all groups"));
    }
    Ok(relative)
}

/// The limits, and the device rules every container has.
///
/// # Errors
/// The first field that cannot be meant, by its JSON path.
pub fn limits(resources: Option<&LinuxResources>) -> Result<Limits, Error> {
    let mut limits = Limits { devices: Some(devices(resources)?), ..Limits::default() };
    let Some(resources) = resources else { return Ok(limits) };
    let at = "linux.resources";
    if let Some(memory) = resources.memory() {
        take_memory(&mut limits, memory)?;
    }
    if let Some(cpu) = resources.cpu() {
        take_cpu(&mut limits, cpu)?;
    }
    if let Some(pids) = resources.pids() {
        // As runc has it: 0 asks for nothing, below is no limit.
        limits.pids = match pids.limit() {
            0 => None,
            limit => Some(u64::try_from(limit).unwrap_or(UNLIMITED)),
        };
    }
    if let Some(block) = resources.block_io() {
        take_block_io(&mut limits, block)?;
    }
    for limit in resources.hugepage_limits().iter().flatten() {
        let bytes = u64::try_from(limit.limit()).unwrap_or(UNLIMITED);
        limits.hugetlb.push(HugetlbLimit { page_size: limit.page_size().clone(), bytes });
    }
    for (name, value) in resources.unified().iter().flatten() {
        if name.contains('/') || name.starts_with('.') || name.contains('\0') {
            return Err(refuse(format!("{at}.unified.{name}"), "is no name of a cgroup file"));
        }
        limits.unified.insert(name.clone(), value.clone());
    }
    Ok(limits)
}

fn take_memory(limits: &mut Limits, memory: &LinuxMemory) -> Result<(), Error> {
    let at = "linux.resources.memory";
    let bytes = |value: Option<i64>, field: &str| match value {
        None | Some(0) => Ok(None),
        Some(-1) => Ok(Some(UNLIMITED)),
        Some(bytes) => match u64::try_from(bytes) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(_) => Err(refuse(format!("{at}.{field}"), format!("{bytes} is no number of bytes"))),
        },
    };
    limits.memory_bytes = bytes(memory.limit(), "limit")?;
    limits.memory_low_bytes = bytes(memory.reservation(), "reservation")?;
    // In OCI the swap is counted together with the memory.
    let both = bytes(memory.swap(), "swap")?;
    limits.swap_bytes = match (limits.memory_bytes, both) {
        (None, None) => None,
        // Limited memory alone says nothing of swap.
        (Some(_), None) | (_, Some(UNLIMITED)) => Some(UNLIMITED),
        (Some(UNLIMITED) | None, Some(_)) => {
            return Err(refuse(format!("{at}.swap"), "needs a limit of the memory beside it"));
        }
        (Some(limit), Some(both)) => match both.checked_sub(limit) {
            Some(swap) => Some(swap),
            None => return Err(refuse(format!("{at}.swap"), "is less than limit, which it includes")),
        },
    };
    Ok(())
}

fn take_cpu(limits: &mut Limits, cpu: &LinuxCpu) -> Result<(), Error> {
    let at = "linux.resources.cpu";
    limits.cpu_weight = cpu.shares().filter(|shares| *shares != 0).map(CpuWeight::Shares);
    limits.cpu_period_us = cpu.period().filter(|period| *period != 0);
    if let Some(quota) = cpu.quota().filter(|quota| *quota > 0) {
        limits.cpus = Some(quota as f64 / limits.cpu_period_us.unwrap_or(PERIOD_US) as f64);
    }
    limits.cpu_burst_us = cpu.burst().filter(|burst| *burst != 0);
    let list = |text: &Option<String>, field: &str| {
        let text = text.as_ref().filter(|text| !text.is_empty());
        match text.filter(|text| !text.bytes().all(|byte| byte.is_ascii_digit() || b",-".contains(&byte))) {
            Some(text) => Err(refuse(format!("{at}.{field}"), format!("{text:?} is no list as 0-3,8"))),
            None => Ok(text.cloned()),
        }
    };
    limits.cpuset_cpus = list(cpu.cpus(), "cpus")?;
    limits.cpuset_mems = list(cpu.mems(), "mems")?;
    Ok(())
}

fn take_block_io(limits: &mut Limits, block: &LinuxBlockIo) -> Result<(), Error> {
    let weight = block.weight().filter(|weight| *weight != 0);
    limits.io_weight = weight.map(|weight| IoWeight::Blkio(weight.into()));
    type Set = fn(&mut IoLimit, u64);
    let kinds: [(&str, &Option<Vec<LinuxThrottleDevice>>, Set); 4] = [
        ("throttleReadBpsDevice", block.throttle_read_bps_device(), |limit, rate| {
            limit.read_bytes_per_s = Some(rate);
        }),
        ("throttleWriteBpsDevice", block.throttle_write_bps_device(), |limit, rate| {
            limit.write_bytes_per_s = Some(rate);
        }),
        ("throttleReadIOPSDevice", block.throttle_read_iops_device(), |limit, rate| {
            limit.reads_per_s = Some(rate);
        }),
        ("throttleWriteIOPSDevice", block.throttle_write_iops_device(), |limit, rate| {
            limit.writes_per_s = Some(rate);
        }),
    ];
    for (field, list, set) in kinds {
        for (index, throttle) in list.iter().flatten().enumerate() {
            let at = format!("linux.resources.blockIO.{field}[{index}]");
            let number = |number: i64, field: &str| {
                u32::try_from(number).map_err(|_| {
                    refuse(format!("{at}.{field}"), format!("{number} is no number of a device"))
                })
            };
            let device = (number(throttle.major(), "major")?, number(throttle.minor(), "minor")?);
            let known = limits.io.iter().position(|limit| limit.device == device);
            let place = known.unwrap_or_else(|| {
                limits.io.push(IoLimit { device, ..IoLimit::default() });
                limits.io.len() - 1
            });
            set(&mut limits.io[place], throttle.rate());
        }
    }
    Ok(())
}

/// The rules of the configuration after "none at all", then those for the devices every container has.
fn devices(resources: Option<&LinuxResources>) -> Result<Vec<DeviceRule>, Error> {
    let nothing = DeviceRule {
        allow: false,
        kind: DeviceKind::All,
        major: None,
        minor: None,
        access: DeviceAccess::ALL,
    };
    let mut rules = vec![nothing];
    for (index, rule) in resources.iter().flat_map(|all| all.devices()).flatten().enumerate() {
        rules.push(device_rule(rule, &format!("linux.resources.devices[{index}]"))?);
    }
    rules.extend(DeviceRule::oci_defaults());
    Ok(rules)
}

fn device_rule(rule: &LinuxDeviceCgroup, at: &str) -> Result<DeviceRule, Error> {
    let kind = match rule.typ() {
        None | Some(LinuxDeviceType::A) => DeviceKind::All,
        Some(LinuxDeviceType::B) => DeviceKind::Block,
        Some(LinuxDeviceType::C | LinuxDeviceType::U) => DeviceKind::Char,
        Some(LinuxDeviceType::P) => return Err(refuse(format!("{at}.type"), "p is no kind of device")),
    };
    // Engines write -1 for all.
    let number = |number: Option<i64>, field: &str| match number {
        None | Some(-1) => Ok(None),
        Some(number) => u32::try_from(number)
            .map(Some)
            .map_err(|_| refuse(format!("{at}.{field}"), format!("{number} is no number of a device"))),
    };
    let (major, minor) = (number(rule.major(), "major")?, number(rule.minor(), "minor")?);
    if kind == DeviceKind::All && (major.is_some() || minor.is_some()) {
        return Err(refuse(at, "is for all kinds of devices, and then for all numbers only"));
    }
    let access = DeviceAccess::from_letters(rule.access().as_deref().unwrap_or_default())
        .map_err(|letter| refuse(format!("{at}.access"), format!("{letter:?} is none of r, w and m")))?;
    Ok(DeviceRule { allow: rule.allow(), kind, major, minor, access })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(value: Value) -> Result<Limits, String> {
        let resources: LinuxResources = serde_json::from_value(value).unwrap();
        limits(Some(&resources)).map_err(|error| error.to_string())
    }

    #[test]
    fn paths_stay_below_the_roots() {
        let of = |path: &str| cgroup_path(Some(Path::new(path)), "x").map_err(|error| error.to_string());
        assert_eq!(of(""), Ok("bench-oci/x".into()));
        assert_eq!(of("/docker/0123"), Ok("docker/0123".into()));
        assert_eq!(of("my/group"), Ok("bench-oci/my/group".into()));
        assert!(of("/a/../../b").unwrap_err().contains("linux.cgroupsPath: has .."));
        assert!(of("/").unwrap_err().contains("is the root"));
        assert!(of("system.slice:docker:0123").unwrap_err().contains("systemd"));
    }

    #[test]
    fn memory_and_swap_are_taken_apart() {
        let memory =
            |value: Value| of(json!({ "memory": value })).map(|found| (found.memory_bytes, found.swap_bytes));
        assert_eq!(memory(json!({ "limit": 100, "swap": 150 })), Ok((Some(100), Some(50))));
        assert_eq!(memory(json!({ "limit": 100 })), Ok((Some(100), Some(UNLIMITED))));
        assert_eq!(memory(json!({ "limit": 100, "swap": -1 })), Ok((Some(100), Some(UNLIMITED))));
        assert_eq!(memory(json!({})), Ok((None, None)));
        assert!(memory(json!({ "limit": 100, "swap": 50 })).unwrap_err().contains("memory.swap: is less"));
        assert!(memory(json!({ "limit": -2 })).unwrap_err().contains("memory.limit: -2"));
    }

    #[test]
    fn the_others_are_translated() {
        let found = of(json!({
            "cpu": { "shares": 512, "quota": 50_000, "period": 25_000, "cpus": "0-1", "mems": "0" },
            "pids": { "limit": 7 },
            "blockIO": { "weight": 300, "throttleReadBpsDevice": [{ "major": 8, "minor": 0, "rate": 5 }],
                "throttleWriteIOPSDevice": [{ "major": 8, "minor": 0, "rate": 6 }] },
            "hugepageLimits": [{ "pageSize": "2MB", "limit": 4 }],
            "unified": { "memory.high": "max" },
        }))
        .unwrap();
        assert_eq!((found.cpus, found.cpu_period_us, found.pids), (Some(2.0), Some(25_000), Some(7)));
        assert_eq!(found.cpu_weight, Some(CpuWeight::Shares(512)));
        let io = IoLimit {
            device: (8, 0),
            read_bytes_per_s: Some(5),
            writes_per_s: Some(6),
            ..IoLimit::default()
        };
        assert_eq!((found.io, found.io_weight), (vec![io], Some(IoWeight::Blkio(300))));
        assert_eq!((found.hugetlb.len(), found.unified.len()), (1, 1));
        assert!(of(json!({ "cpu": { "cpus": "all" } })).unwrap_err().contains("cpu.cpus"));
    }

    #[test]
    fn device_rules_follow_a_refusal_of_all() {
        let found = of(json!({ "devices": [
            { "allow": false, "access": "rwm" },
            { "allow": true, "type": "c", "major": 10, "minor": 200, "access": "rw" },
            { "allow": true, "type": "b", "major": -1, "access": "r" },
        ] }))
        .unwrap();
        let rules = found.devices.unwrap();
        assert!(!rules[0].allow && !rules[1].allow);
        assert_eq!((rules[2].kind, rules[2].major, rules[2].minor), (DeviceKind::Char, Some(10), Some(200)));
        assert_eq!((rules[3].kind, rules[3].major), (DeviceKind::Block, None));
        let without = limits(None).unwrap().devices.unwrap();
        assert!(!without[0].allow && without.len() > 5);
        let bad = of(json!({ "devices": [{ "allow": true, "type": "c", "access": "x" }] }));
        assert!(bad.unwrap_err().contains("linux.resources.devices[0].access"));
    }
}
