//! The setup of the native `container` backend.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use super::setup::{
    Capabilities, Device, DeviceKind, IdMaps, IdRange, MapWriter, Mount, MountAttributes, MountSource,
    Namespace, Namespaces, Process, Propagation, Root, RootSource, Setup, TimeOffsets, Upper,
};

/// First user and group id of the host that ids inside are mapped to, and how many: a range of
/// its own, above what distributions hand out to people and services.
pub(super) const MAP: IdRange = IdRange { inside: 0, outside: 1_000_000_000, count: 65_536 };
/// Hidden from the inside: the OCI engines' usual list.
pub(crate) const MASKED: [&str; 9] = [
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
/// Visible, not writable.
pub(crate) const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
/// The capabilities kept (capabilities(7)), by number and name; also of bundles and engines. All of them
/// count in the container's own user namespace only.
pub(crate) const KEPT_CAPABILITIES: [(u32, &str); 7] = [
    (0, "CAP_CHOWN"),
    (1, "CAP_DAC_OVERRIDE"),
    (3, "CAP_FOWNER"),
    (5, "CAP_KILL"),
    (6, "CAP_SETGID"),
    (7, "CAP_SETUID"),
    (10, "CAP_NET_BIND_SERVICE"),
];
/// Character devices with their numbers (the kernel's admin-guide/devices.txt).
const DEVICES: [(&str, u32, u32); 6] =
    [("full", 1, 7), ("null", 1, 3), ("random", 1, 8), ("tty", 5, 0), ("urandom", 1, 9), ("zero", 1, 5)];
/// What an instance may write to its root.
const UPPER_BYTES: u64 = 64 << 20;

/// A container of the image's files at `rootfs`, or of the guest program alone.
pub(super) fn setup(rootfs: Option<&Path>, maps: IdMaps) -> Setup {
    let source = match rootfs {
        Some(folder) => RootSource::Overlay {
            lower: vec![folder.to_owned()],
            upper: Upper::Memory { size_bytes: UPPER_BYTES },
        },
        None => RootSource::Empty,
    };
    Setup {
        namespaces: Namespaces {
            pid: Namespace::New,
            network: Namespace::New,
            uts: Namespace::New,
            mount: Namespace::New,
            ipc: Namespace::New,
            user: Namespace::New,
            cgroup: Namespace::New,
            time: if super::namespace::has_time() { Namespace::New } else { Namespace::Host },
            time_offsets: TimeOffsets::default(),
        },
        id_maps: Some(maps),
        root: Root {
            read_only: source == RootSource::Empty,
            source,
            propagation: Propagation::Private,
            leave: super::setup::Leave::Pivot,
        },
        mounts: mounts(),
        devices: devices(),
        links: links(),
        masked: MASKED.iter().map(PathBuf::from).collect(),
        read_only: READ_ONLY.iter().map(PathBuf::from).collect(),
        hostname: None,
        domainname: None,
        sysctls: Vec::new(),
        loopback: true,
        process: process(),
    }
}

/// Ids inside.
pub(super) fn maps() -> IdMaps {
    IdMaps { uids: vec![MAP], gids: vec![MAP], writer: MapWriter::Own }
}

fn mounts() -> Vec<Mount> {
    let quiet = MountAttributes { nosuid: Some(true), noexec: Some(true), ..MountAttributes::default() };
    let no_devices = MountAttributes { nodev: Some(true), ..quiet };
    let read_only = MountAttributes { read_only: Some(true), ..no_devices };
    let nosuid = MountAttributes { noexec: None, ..quiet };
    let mount = |kind: &str, target: &str, options: &[&str], attributes| Mount {
        target: target.into(),
        source: MountSource::Kind {
            kind: kind.into(),
            source: kind.into(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
        },
        attributes,
        propagation: None,
    };
    vec![
        mount("proc", "/proc", &[], no_devices),
        mount("sysfs", "/sys", &[], read_only),
        mount("tmpfs", "/dev", &["mode=0755", "size=64k"], nosuid),
        mount("devpts", "/dev/pts", &["newinstance", "ptmxmode=0666", "mode=0620"], quiet),
        mount("tmpfs", "/dev/shm", &["mode=1777", "size=64m"], no_devices),
        mount("mqueue", "/dev/mqueue", &[], no_devices),
    ]
}

fn devices() -> Vec<Device> {
    let device = |&(name, major, minor): &(&str, u32, u32)| Device {
        path: Path::new("/dev").join(name),
        kind: DeviceKind::Character { major, minor },
        mode: 0o666,
        uid: 0,
        gid: 0,
        host: Some(Path::new("/dev").join(name)),
    };
    DEVICES.iter().map(device).collect()
}

fn links() -> Vec<(CString, PathBuf)> {
    let links = [
        (c"/proc/self/fd", "/dev/fd"),
        (c"/proc/self/fd/0", "/dev/stdin"),
        (c"/proc/self/fd/1", "/dev/stdout"),
        (c"/proc/self/fd/2", "/dev/stderr"),
        (c"pts/ptmx", "/dev/ptmx"),
    ];
    links.into_iter().map(|(text, path)| (text.into(), path.into())).collect()
}

fn process() -> Process {
    let kept = KEPT_CAPABILITIES.iter().fold(0, |set, (number, _)| set | 1 << number);
    Process {
        args: vec![c"guest".into()],
        env: Vec::new(),
        cwd: "/".into(),
        uid: 0,
        gid: 0,
        groups: Vec::new(),
        umask: 0o022,
        capabilities: Some(Capabilities {
            bounding: kept,
            effective: kept,
            permitted: kept,
            inheritable: 0,
            ambient: 0,
        }),
        no_new_privs: true,
        seccomp: Some(super::seccomp::standard()),
        rlimits: Vec::new(),
        oom_score_adj: Some(crate::victim::OOM_SCORE_ADJ),
        nice: None,
        own_keyring: true,
        close_descriptors: true,
    }
}
