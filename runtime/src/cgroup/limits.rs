//! What an instance may have at most, and its share where there is competition.

use std::collections::BTreeMap;

use super::devices::DeviceRule;
use super::weight::{CpuWeight, IoWeight};

/// A limit that is none: written as the kernel's own word for it.
pub const UNLIMITED: u64 = u64::MAX;

/// Limits and shares asked for an instance. `None` and empty = as the kernel has it by default.
/// [`UNLIMITED`] takes a limit away that was set before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// Account for memory also where none of it is limited: on v1 that takes a group of its own.
    pub account_memory: bool,
    /// Memory in bytes; for a VM the size of its RAM.
    pub memory_bytes: Option<u64>,
    /// Memory in bytes above which the group is slowed down and reclaimed from; v2 only.
    pub memory_high_bytes: Option<u64>,
    /// Memory in bytes that is reclaimed last (OCI: memory reservation).
    pub memory_low_bytes: Option<u64>,
    /// Swap in bytes, not counting memory. Where memory is limited and this is not given: none.
    pub swap_bytes: Option<u64>,
    /// Processors, fractions allowed; a VM has them rounded up to virtual CPUs, and where they are not
    /// whole all of QEMU is held to them.
    pub cpus: Option<f64>,
    /// Period in microseconds over which `cpus` is enforced; the kernel's default is 100,000.
    pub cpu_period_us: Option<u64>,
    /// Unused quota in microseconds that may be used later, at most one quota.
    pub cpu_burst_us: Option<u64>,
    /// Share of the processors where they are all busy.
    pub cpu_weight: Option<CpuWeight>,
    /// Processors allowed, as `0-3,8` (cpuset(7), "List format").
    pub cpuset_cpus: Option<String>,
    /// Memory nodes allowed, in the same format.
    pub cpuset_mems: Option<String>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Share of a device's time where it is busy.
    pub io_weight: Option<IoWeight>,
    /// Ceilings for single block devices.
    pub io: Vec<IoLimit>,
    /// Ceilings for huge pages.
    pub hugetlb: Vec<HugetlbLimit>,
    /// Which devices may be opened or made; `None` = as outside, empty = none at all. The last rule
    /// that fits decides.
    pub devices: Option<Vec<DeviceRule>>,
    /// Files of the v2 interface by name, for what has no field here (OCI: `linux.resources.unified`).
    pub unified: BTreeMap<String, String>,
}

/// Ceilings for one block device, per second. `None` = not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IoLimit {
    /// Major and minor number of the whole device, not of a partition.
    pub device: (u32, u32),
    /// Bytes read.
    pub read_bytes_per_s: Option<u64>,
    /// Bytes written.
    pub write_bytes_per_s: Option<u64>,
    /// Read operations.
    pub reads_per_s: Option<u64>,
    /// Write operations.
    pub writes_per_s: Option<u64>,
}

/// Ceiling for the huge pages of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HugetlbLimit {
    /// The size as the kernel names it: `2MB`, `1GB`.
    pub page_size: String,
    /// Bytes of such pages.
    pub bytes: u64,
}
