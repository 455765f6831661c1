//! The mechanisms a container is made of, each of which can be left out: the control of a check is the
//! same container without the one mechanism it looks at, and has to leak.

use std::fmt;

use super::setup::{
    Capabilities, Leave, MountAttributes, MountSource, Namespace, Propagation, Reach, RootSource, Setup,
};
use crate::Limits;
use crate::cgroup::UNLIMITED;

/// One of the five sets of capabilities (capabilities(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CapabilitySet {
    /// What no execution can exceed.
    Bounding,
    /// What is in effect; root's execution takes it from what is permitted.
    Effective,
    /// What may be put in effect; root's execution takes it from the bounding set.
    Permitted,
    /// What passes on through files that ask for it; no more than is bounded.
    Inheritable,
    /// What passes on through any file; no more than is permitted and inheritable.
    Ambient,
}

/// Every capability of Linux 6.18, up to CAP_CHECKPOINT_RESTORE.
const ALL_CAPABILITIES: u64 = (1 << 41) - 1;

/// One mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mechanism {
    /// PID namespace.
    PidNamespace,
    /// Network namespace.
    NetworkNamespace,
    /// UTS namespace.
    UtsNamespace,
    /// IPC namespace.
    IpcNamespace,
    /// User namespace, and with it the id map.
    UserNamespace,
    /// Ids inside are those of the host outside, in a user namespace all the same.
    IdMap,
    /// Time namespace.
    TimeNamespace,
    /// Mount namespace, and with it a root of its own and everything in it.
    MountNamespace,
    /// Cgroup namespace.
    CgroupNamespace,
    /// pivot_root(2): chroot(2) in its place.
    PivotRoot,
    /// Private mounts: they spread both ways in its place.
    PrivatePropagation,
    /// Everything below this path's first three parts that is masked.
    Masked(&'static str),
    /// This path is read-only.
    ReadOnly(&'static str),
    /// This capability, by number, is kept in no set.
    Capability(u32),
    /// This set has no more than is needed. Without it the sets it rests on are full, too.
    CapabilitySet(CapabilitySet),
    /// /sys is mounted read-only.
    ReadOnlySysfs,
    /// No execution gives privileges.
    NoNewPrivs,
    /// System call filter.
    Seccomp,
    /// The list of devices: the host's whole /dev in its place.
    DeviceList,
    /// Descriptors are closed.
    DescriptorClosing,
    /// Session keyring of its own.
    Keyring,
    /// Limit of memory.
    MemoryLimit,
    /// Limit of swap.
    SwapLimit,
    /// Limit of processor time.
    CpuLimit,
    /// Limit of processes.
    PidsLimit,
    /// Share of the processors where they are busy.
    CpuWeight,
    /// Processors allowed.
    Cpuset,
    /// Rules of the device controller.
    DeviceRules,
    /// Mark above which memory is reclaimed.
    MemoryHigh,
    /// Ceilings for block devices.
    IoLimit,
    /// The program is a sealed file, which nobody can change.
    SealedProgram,
}

impl CapabilitySet {
    /// This set and those it cannot exceed.
    fn rests_on(self, sets: &mut Capabilities) -> Vec<&mut u64> {
        let Capabilities { bounding, effective, permitted, inheritable, ambient } = sets;
        match self {
            CapabilitySet::Bounding => vec![bounding],
            CapabilitySet::Effective => vec![bounding, permitted, effective],
            CapabilitySet::Permitted => vec![bounding, permitted],
            CapabilitySet::Inheritable => vec![bounding, inheritable],
            CapabilitySet::Ambient => vec![bounding, permitted, inheritable, ambient],
        }
    }
}

impl Mechanism {
    /// All of them, as the standard setup has them.
    pub fn all() -> Vec<Mechanism> {
        let mut all = vec![
            Mechanism::PidNamespace,
            Mechanism::NetworkNamespace,
            Mechanism::UtsNamespace,
            Mechanism::IpcNamespace,
            Mechanism::UserNamespace,
            Mechanism::IdMap,
            Mechanism::CgroupNamespace,
            Mechanism::TimeNamespace,
            Mechanism::MountNamespace,
            Mechanism::PivotRoot,
            Mechanism::PrivatePropagation,
        ];
        all.extend(super::standard::MASKED.map(Mechanism::Masked));
        all.extend(super::standard::READ_ONLY.map(Mechanism::ReadOnly));
        let sets = [
            CapabilitySet::Bounding,
            CapabilitySet::Effective,
            CapabilitySet::Permitted,
            CapabilitySet::Inheritable,
            CapabilitySet::Ambient,
        ];
        all.extend(sets.map(Mechanism::CapabilitySet));
        all.extend([
            Mechanism::ReadOnlySysfs,
            Mechanism::NoNewPrivs,
            Mechanism::Seccomp,
            Mechanism::DeviceList,
            Mechanism::DescriptorClosing,
            Mechanism::Keyring,
            Mechanism::MemoryLimit,
            Mechanism::CpuLimit,
            Mechanism::PidsLimit,
            Mechanism::CpuWeight,
            Mechanism::Cpuset,
            Mechanism::DeviceRules,
            Mechanism::IoLimit,
            Mechanism::SealedProgram,
        ]);
        all
    }

    /// Leaves it out of a setup. Limits are left out by [`Mechanism::unlimit`], the program's
    /// seals where it is executed.
    pub(super) fn leave_out(self, setup: &mut Setup) {
        let namespaces = &mut setup.namespaces;
        match self {
            Mechanism::PidNamespace => {
                namespaces.pid = Namespace::Host;
                // A new one takes a PID namespace of the same user namespace (pid_namespaces(7)).
                take_from_host(setup, "/proc");
            }
            Mechanism::NetworkNamespace => {
                namespaces.network = Namespace::Host;
                setup.loopback = false;
                // As above, for the network namespace it shows.
                take_from_host(setup, "/sys");
            }
            Mechanism::UtsNamespace => {
                namespaces.uts = Namespace::Host;
                setup.hostname = None;
                setup.domainname = None;
            }
            Mechanism::IpcNamespace => {
                namespaces.ipc = Namespace::Host;
                setup.mounts.retain(|mount| mount.target.as_os_str() != "/dev/mqueue");
                take_from_host(setup, "/dev/shm");
            }
            Mechanism::UserNamespace => {
                namespaces.user = Namespace::Host;
                setup.id_maps = None;
            }
            Mechanism::IdMap => {
                if let Some(maps) = &mut setup.id_maps {
                    maps.uids.iter_mut().chain(&mut maps.gids).for_each(|range| range.outside = range.inside);
                }
            }
            Mechanism::TimeNamespace => namespaces.time = Namespace::Host,
            Mechanism::MountNamespace => {
                namespaces.mount = Namespace::Host;
                setup.root.source = RootSource::Host;
                setup.root.read_only = false;
                setup.mounts.clear();
                setup.devices.clear();
                setup.links.clear();
                setup.masked.clear();
                setup.read_only.clear();
            }
            Mechanism::CgroupNamespace => namespaces.cgroup = Namespace::Host,
            Mechanism::PivotRoot => setup.root.leave = Leave::Chroot,
            Mechanism::PrivatePropagation => setup.root.propagation = Propagation::Shared,
            Mechanism::Masked(path) => setup.masked.retain(|masked| !masked.starts_with(path)),
            Mechanism::ReadOnly(path) => setup.read_only.retain(|read_only| !read_only.starts_with(path)),
            Mechanism::Capability(number) => {
                if let Some(sets) = &mut setup.process.capabilities {
                    for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
                        *set |= 1 << number;
                    }
                }
            }
            Mechanism::CapabilitySet(set) => {
                if let Some(sets) = &mut setup.process.capabilities {
                    for full in set.rests_on(sets) {
                        *full = ALL_CAPABILITIES;
                    }
                }
            }
            Mechanism::ReadOnlySysfs => {
                for mount in setup.mounts.iter_mut().filter(|mount| mount.target.as_os_str() == "/sys") {
                    mount.attributes.read_only = None;
                }
            }
            Mechanism::NoNewPrivs => setup.process.no_new_privs = false,
            Mechanism::Seccomp => setup.process.seccomp = None,
            Mechanism::DeviceList => {
                setup
                    .mounts
                    .retain(|mount| mount.target.as_os_str() == "/dev" || !mount.target.starts_with("/dev"));
                take_from_host(setup, "/dev");
                setup.devices.clear();
                setup.links.clear();
            }
            Mechanism::DescriptorClosing => setup.process.close_descriptors = false,
            Mechanism::Keyring => setup.process.own_keyring = false,
            Mechanism::MemoryLimit
            | Mechanism::SwapLimit
            | Mechanism::CpuLimit
            | Mechanism::PidsLimit
            | Mechanism::CpuWeight
            | Mechanism::Cpuset
            | Mechanism::DeviceRules
            | Mechanism::MemoryHigh
            | Mechanism::IoLimit
            | Mechanism::SealedProgram => {}
        }
    }

    /// Leaves a limit out.
    pub(super) fn unlimit(self, limits: &mut Limits) {
        match self {
            Mechanism::MemoryLimit => limits.memory_bytes = None,
            Mechanism::SwapLimit => limits.swap_bytes = Some(UNLIMITED),
            Mechanism::CpuLimit => limits.cpus = None,
            Mechanism::PidsLimit => limits.pids = None,
            Mechanism::CpuWeight => limits.cpu_weight = None,
            Mechanism::Cpuset => limits.cpuset_cpus = None,
            Mechanism::DeviceRules => limits.devices = None,
            Mechanism::MemoryHigh => limits.memory_high_bytes = None,
            Mechanism::IoLimit => limits.io.clear(),
            _ => {}
        }
    }
}

/// What is mounted at `path` becomes what the host has there.
fn take_from_host(setup: &mut Setup, path: &str) {
    for mount in setup.mounts.iter_mut().filter(|mount| mount.target.as_os_str() == path) {
        mount.source = MountSource::Bind { path: path.into(), reach: Reach::Tree, id_mapped: false };
        mount.attributes = MountAttributes::default();
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mechanism::PidNamespace => f.write_str("pid namespace"),
            Mechanism::NetworkNamespace => f.write_str("network namespace"),
            Mechanism::UtsNamespace => f.write_str("uts namespace"),
            Mechanism::IpcNamespace => f.write_str("ipc namespace"),
            Mechanism::UserNamespace => f.write_str("user namespace"),
            Mechanism::IdMap => f.write_str("id map"),
            Mechanism::TimeNamespace => f.write_str("time namespace"),
            Mechanism::MountNamespace => f.write_str("mount namespace"),
            Mechanism::CgroupNamespace => f.write_str("cgroup namespace"),
            Mechanism::PivotRoot => f.write_str("pivot_root"),
            Mechanism::PrivatePropagation => f.write_str("private mounts"),
            Mechanism::Masked(path) => write!(f, "mask of {path}"),
            Mechanism::ReadOnly(path) => write!(f, "read-only {path}"),
            Mechanism::Capability(number) => write!(f, "dropped capability {number}"),
            Mechanism::CapabilitySet(set) => write!(f, "{set:?} capabilities"),
            Mechanism::ReadOnlySysfs => f.write_str("read-only /sys"),
            Mechanism::NoNewPrivs => f.write_str("no_new_privs"),
            Mechanism::Seccomp => f.write_str("seccomp"),
            Mechanism::DeviceList => f.write_str("device list"),
            Mechanism::DescriptorClosing => f.write_str("descriptor closing"),
            Mechanism::Keyring => f.write_str("own keyring"),
            Mechanism::MemoryLimit => f.write_str("memory limit"),
            Mechanism::SwapLimit => f.write_str("swap limit"),
            Mechanism::CpuLimit => f.write_str("cpu limit"),
            Mechanism::PidsLimit => f.write_str("pids limit"),
            Mechanism::CpuWeight => f.write_str("cpu weight"),
            Mechanism::Cpuset => f.write_str("cpuset"),
            Mechanism::DeviceRules => f.write_str("device rules"),
            Mechanism::MemoryHigh => f.write_str("memory high mark"),
            Mechanism::IoLimit => f.write_str("io limit"),
            Mechanism::SealedProgram => f.write_str("sealed program"),
        }
    }
}
