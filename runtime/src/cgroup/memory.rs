//! The memory controller: cgroup-v2.rst, "Memory"; cgroup-v1/memory.rst.

use std::path::Path;

use super::controller::Controller;
use super::statistics::{MemoryStatistics, Statistics};
use super::{Limits, Version, file};
use crate::Error;

const V2_MAX: &str = "memory.max";
const V2_HIGH: &str = "memory.high";
const V2_LOW: &str = "memory.low";
const V2_SWAP_MAX: &str = "memory.swap.max";
const V2_CURRENT: &str = "memory.current";
const V2_PEAK: &str = "memory.peak";
const V2_SWAP_CURRENT: &str = "memory.swap.current";
const V2_STAT: &str = "memory.stat";
const V2_EVENTS: &str = "memory.events";

const V1_LIMIT: &str = "memory.limit_in_bytes";
const V1_SOFT_LIMIT: &str = "memory.soft_limit_in_bytes";
/// Memory and swap together.
const V1_MEMSW_LIMIT: &str = "memory.memsw.limit_in_bytes";
const V1_USAGE: &str = "memory.usage_in_bytes";
const V1_MAX_USAGE: &str = "memory.max_usage_in_bytes";
const V1_MEMSW_USAGE: &str = "memory.memsw.usage_in_bytes";
const V1_KMEM_USAGE: &str = "memory.kmem.usage_in_bytes";
const V1_FAILCNT: &str = "memory.failcnt";
const V1_MEMSW_FAILCNT: &str = "memory.memsw.failcnt";
const V1_OOM_CONTROL: &str = "memory.oom_control";

#[derive(Debug)]
pub(super) struct Memory;

impl Controller for Memory {
    fn v1_name(&self) -> &'static str {
        "memory"
    }

    fn v2_name(&self) -> Option<&'static str> {
        Some("memory")
    }

    fn wanted(&self, limits: &Limits) -> bool {
        limits.account_memory
            || limits.memory_bytes.is_some()
            || limits.memory_high_bytes.is_some()
            || limits.memory_low_bytes.is_some()
            || limits.swap_bytes.is_some()
    }

    fn apply(&self, group: &Path, version: Version, limits: &Limits) -> Result<(), Error> {
        match version {
            Version::V2 => apply_v2(group, limits),
            Version::V1 => apply_v1(group, limits),
        }
    }

    fn read(&self, group: &Path, version: Version, into: &mut Statistics) -> Result<(), Error> {
        let number = |name: &str| file::number(&group.join(name));
        let text = |name: &str| Ok::<_, Error>(file::read(&group.join(name))?.unwrap_or_default());
        into.memory = Some(match version {
            Version::V2 => {
                let Some(usage_bytes) = number(V2_CURRENT)? else { return Ok(()) };
                let events = text(V2_EVENTS)?;
                MemoryStatistics {
                    usage_bytes,
                    peak_bytes: number(V2_PEAK)?,
                    swap_bytes: number(V2_SWAP_CURRENT)?,
                    kernel_bytes: file::value(&text(V2_STAT)?, "kernel"),
                    limit_hits: file::value(&events, "max").unwrap_or(0),
                    high_hits: file::value(&events, "high"),
                    oom_kills: file::value(&events, "oom_kill").unwrap_or(0),
                }
            }
            Version::V1 => {
                let Some(usage_bytes) = number(V1_USAGE)? else { return Ok(()) };
                let with_swap_bytes = number(V1_MEMSW_USAGE)?;
                MemoryStatistics {
                    usage_bytes,
                    peak_bytes: number(V1_MAX_USAGE)?,
                    swap_bytes: with_swap_bytes.map(|both_bytes| both_bytes.saturating_sub(usage_bytes)),
                    kernel_bytes: number(V1_KMEM_USAGE)?,
                    // Where no swap is left the limit of both together is the one that is met.
                    limit_hits: number(V1_FAILCNT)?.unwrap_or(0) + number(V1_MEMSW_FAILCNT)?.unwrap_or(0),
                    high_hits: None,
                    oom_kills: file::value(&text(V1_OOM_CONTROL)?, "oom_kill").unwrap_or(0),
                }
            }
        });
        Ok(())
    }
}

/// What the group is charged with, kernel memory included.
pub(super) fn usage_bytes(group: &Path, version: Version) -> Option<u64> {
    let name = if version == Version::V2 { V2_CURRENT } else { V1_USAGE };
    file::number(&group.join(name)).ok()?
}

fn apply_v2(group: &Path, limits: &Limits) -> Result<(), Error> {
    let max = |bytes| file::limit(bytes, "max");
    if let Some(bytes) = limits.memory_low_bytes {
        file::write(&group.join(V2_LOW), &max(bytes))?;
    }
    if let Some(bytes) = limits.memory_high_bytes {
        file::write(&group.join(V2_HIGH), &max(bytes))?;
    }
    if let Some(bytes) = limits.memory_bytes {
        file::write(&group.join(V2_MAX), &max(bytes))?;
    }
    match (limits.swap_bytes, limits.memory_bytes) {
        (Some(bytes), _) => swap(file::write_if_there(&group.join(V2_SWAP_MAX), &max(bytes))?, bytes),
        // The file is absent where the kernel accounts no swap, and then there is nothing to limit.
        (None, Some(bytes)) if bytes != super::UNLIMITED => {
            file::write_if_there(&group.join(V2_SWAP_MAX), "0").map(drop)
        }
        _ => Ok(()),
    }
}

fn apply_v1(group: &Path, limits: &Limits) -> Result<(), Error> {
    if limits.memory_high_bytes.is_some() {
        return Err(Error::Invalid(
            "memory_high_bytes needs the memory controller on cgroup v2, and it is on v1 here".into(),
        ));
    }
    if let Some(bytes) = limits.memory_low_bytes {
        file::write(&group.join(V1_SOFT_LIMIT), &file::limit(bytes, "-1"))?;
    }
    let Some(bytes) = limits.memory_bytes else {
        return if limits.swap_bytes.is_some() {
            Err(Error::Invalid("swap_bytes needs memory_bytes beside it on cgroup v1".into()))
        } else {
            Ok(())
        };
    };
    let both_bytes = match limits.swap_bytes {
        Some(swap_bytes) => bytes.saturating_add(swap_bytes),
        None => bytes,
    };
    let (limit, both) = (file::limit(bytes, "-1"), file::limit(both_bytes, "-1"));
    let both_path = group.join(V1_MEMSW_LIMIT);
    // Never may memory be above memory and swap together: the way up begins with the latter.
    match file::try_write(&group.join(V1_LIMIT), &limit) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) && both_path.exists() => {
            file::write(&both_path, &both)?;
            return file::write(&group.join(V1_LIMIT), &limit);
        }
        other => {
            other.map_err(Error::system(format!("write {limit:?} to {}", group.join(V1_LIMIT).display())))?
        }
    }
    let accounted = file::write_if_there(&both_path, &both)?;
    limits.swap_bytes.map_or(Ok(()), |bytes| swap(accounted, bytes))
}

/// Asked-for swap where the kernel accounts none is refused, unless none or all was asked for.
fn swap(accounted: bool, bytes: u64) -> Result<(), Error> {
    if accounted || bytes == 0 || bytes == super::UNLIMITED {
        return Ok(());
    }
    Err(Error::Missing {
        what: "this kernel does not account swap, so swap_bytes cannot be enforced".into(),
        fix: Some("boot it with swapaccount=1".into()),
    })
}
