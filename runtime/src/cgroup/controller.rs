//! What all controllers have in common.

use std::path::Path;

use super::statistics::Statistics;
use super::{Limits, Version, cpu, cpuset, devices, hugetlb, io, memory, pids};
use crate::Error;

/// One controller of the kernel, on v1 and v2.
pub(super) trait Controller: Sync + std::fmt::Debug {
    /// Its name among the mount options of v1; also what its group is looked up by.
    fn v1_name(&self) -> &'static str;

    /// Its name in `cgroup.controllers` of v2; `None` where every v2 group has it.
    fn v2_name(&self) -> Option<&'static str>;

    /// Whether `limits` need it.
    fn wanted(&self, limits: &Limits) -> bool;

    /// Writes what `limits` say of it to the group's files.
    ///
    /// # Errors
    /// Where the kernel refuses, or cannot do what is asked.
    fn apply(&self, group: &Path, version: Version, limits: &Limits) -> Result<(), Error>;

    /// Reads what it has counted.
    ///
    /// # Errors
    /// Where its files cannot be read, for example because the group is gone.
    fn read(&self, group: &Path, version: Version, into: &mut Statistics) -> Result<(), Error>;
}

/// All of them, in the order limits are applied.
pub(super) const ALL: [&dyn Controller; 7] =
    [&memory::Memory, &cpu::Cpu, &cpuset::Cpuset, &io::Io, &pids::Pids, &hugetlb::Hugetlb, &devices::Devices];
