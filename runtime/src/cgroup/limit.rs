//! Limits as the kernel's files want them.

use std::path::Path;

use super::write;
use crate::{Error, Limits};

/// Period of CPU quotas in microseconds: the kernel's default.
const PERIOD_US: u64 = 100_000;
/// Controllers enabled on the way down a v2 tree, as far as they are available.
const CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];

/// One reason to need a controller.
pub(super) enum Need {
    Memory(u64),
    Cpus(f64),
    /// Also without a limit: its group is how an instance's processes are found again.
    Pids(Option<u64>),
}

/// The controllers that `limits` ask for.
pub(super) fn needs(limits: &Limits) -> Vec<Need> {
    let memory = limits.memory_bytes.map(Need::Memory);
    let cpus = limits.cpus.map(Need::Cpus);
    memory.into_iter().chain(cpus).chain([Need::Pids(limits.pids)]).collect()
}

impl Need {
    pub(super) fn controller(&self) -> &'static str {
        match self {
            Need::Memory(_) => "memory",
            Need::Cpus(_) => "cpu",
            Need::Pids(_) => "pids",
        }
    }

    /// Writes the limit to the files of the group at `path`.
    pub(super) fn apply(&self, path: &Path, is_v2: bool) -> Result<(), Error> {
        match *self {
            Need::Memory(bytes) if is_v2 => {
                write(&path.join("memory.max"), &bytes.to_string())?;
                without_swap(&path.join("memory.swap.max"), "0")
            }
            Need::Memory(bytes) => {
                write(&path.join("memory.limit_in_bytes"), &bytes.to_string())?;
                // Memory and swap together: the same number leaves no swap.
                without_swap(&path.join("memory.memsw.limit_in_bytes"), &bytes.to_string())
            }
            Need::Cpus(cpus) => {
                let quota_us = (cpus * PERIOD_US as f64).round() as u64;
                if quota_us < 1_000 {
                    return Err(Error::Invalid(format!(
                        "cpus={cpus} is less than the kernel's least quota, 0.01"
                    )));
                }
                if is_v2 {
                    return write(&path.join("cpu.max"), &format!("{quota_us} {PERIOD_US}"));
                }
                write(&path.join("cpu.cfs_period_us"), &PERIOD_US.to_string())?;
                write(&path.join("cpu.cfs_quota_us"), &quota_us.to_string())
            }
            Need::Pids(None) => Ok(()),
            Need::Pids(Some(pids)) => write(&path.join("pids.max"), &pids.to_string()),
        }
    }
}

/// The file is absent where the kernel accounts no swap, and then there is nothing to limit.
fn without_swap(path: &Path, value: &str) -> Result<(), Error> {
    if path.exists() { write(path, value) } else { Ok(()) }
}

/// Lets the children of a v2 group have the controllers it has itself.
pub(super) fn enable_controllers(path: &Path) -> Result<(), Error> {
    let available = std::fs::read_to_string(path.join("cgroup.controllers")).unwrap_or_default();
    for name in CONTROLLERS.iter().filter(|name| available.split_whitespace().any(|one| one == **name)) {
        write(&path.join("cgroup.subtree_control"), &format!("+{name}"))?;
    }
    Ok(())
}
