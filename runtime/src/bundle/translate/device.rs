//! `linux.devices` and the devices every container has.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Linux, LinuxDevice, LinuxDeviceType};

use super::super::config::refuse;
use crate::Error;
use crate::container::setup::{Device, DeviceKind, Mount, MountSource};

/// Name, major and minor number (config-linux.md, "Default Devices"; Documentation/admin-guide/devices.txt).
const DEFAULT: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];
/// Largest numbers of a device (`dev_t` of the kernel: 12 and 20 bits).
const MAJOR_MAX: i64 = (1 << 12) - 1;
const MINOR_MAX: i64 = (1 << 20) - 1;

/// The device nodes to be made: the default ones, and those of the configuration, which go before
/// them. None where /dev is the host's own folder, bound: nodes made there would be the host's.
pub(super) fn devices(linux: &Linux, mounts: &[Mount]) -> Result<Vec<Device>, Error> {
    let is_bound =
        |mount: &Mount| mount.target == Path::new("/dev") && matches!(mount.source, MountSource::Bind { .. });
    let mut devices = Vec::new();
    for (index, wanted) in linux.devices().iter().flatten().enumerate() {
        let device = device(wanted, &format!("linux.devices[{index}]"))?;
        // Of two with one path the last holds, as with runc.
        devices.retain(|other: &Device| other.path != device.path);
        devices.push(device);
    }
    if mounts.iter().any(is_bound) {
        return Ok(Vec::new());
    }
    let default = DEFAULT.iter().map(|(name, major, minor)| {
        let path = Path::new("/dev").join(name);
        let kind = DeviceKind::Character { major: *major, minor: *minor };
        Device { host: Some(path.clone()), path, kind, mode: 0o666, uid: 0, gid: 0 }
    });
    let missing: Vec<Device> =
        default.filter(|device| devices.iter().all(|other| other.path != device.path)).collect();
    Ok(missing.into_iter().chain(devices).collect())
}

/// The links every container has (config-linux.md, "Default Devices" and "Dev symbolic links").
pub(super) fn links() -> Vec<(CString, PathBuf)> {
    [
        (c"/proc/self/fd", "/dev/fd"),
        (c"/proc/self/fd/0", "/dev/stdin"),
        (c"/proc/self/fd/1", "/dev/stdout"),
        (c"/proc/self/fd/2", "/dev/stderr"),
        (c"pts/ptmx", "/dev/ptmx"),
    ]
    .map(|(text, path)| (text.to_owned(), path.into()))
    .into()
}

fn device(wanted: &LinuxDevice, at: &str) -> Result<Device, Error> {
    let number = |number: i64, most: i64, field: &str| {
        let in_range = u32::try_from(number).ok().filter(|_| number <= most);
        in_range.ok_or_else(|| refuse(format!("{at}.{field}"), format!("{number} is not 0 to {most}")))
    };
    let numbers = || -> Result<(u32, u32), Error> {
        Ok((number(wanted.major(), MAJOR_MAX, "major")?, number(wanted.minor(), MINOR_MAX, "minor")?))
    };
    let kind = match wanted.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => {
            let (major, minor) = numbers()?;
            DeviceKind::Character { major, minor }
        }
        LinuxDeviceType::B => {
            let (major, minor) = numbers()?;
            DeviceKind::Block { major, minor }
        }
        LinuxDeviceType::P => DeviceKind::Fifo,
        LinuxDeviceType::A => return Err(refuse(format!("{at}.type"), "a is for rules, not for a node")),
    };
    let path = super::inside(wanted.path(), &format!("{at}.path"))?;
    Ok(Device {
        host: Some(path.clone()),
        path,
        kind,
        mode: wanted.file_mode().unwrap_or(0o666) & 0o7777,
        uid: wanted.uid().unwrap_or(0),
        gid: wanted.gid().unwrap_or(0),
    })
}
