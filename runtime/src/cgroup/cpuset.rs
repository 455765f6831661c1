//! The cpuset controller: cgroup-v2.rst, "Cpuset"; cgroup-v1/cpusets.rst.

use std::path::Path;

use super::controller::Controller;
use super::statistics::Statistics;
use super::{Limits, Version, file};
use crate::Error;

const CPUS: &str = "cpuset.cpus";
const MEMS: &str = "cpuset.mems";

#[derive(Debug)]
pub(super) struct Cpuset;

impl Controller for Cpuset {
    fn v1_name(&self) -> &'static str {
        "cpuset"
    }

    fn v2_name(&self) -> Option<&'static str> {
        Some("cpuset")
    }

    fn wanted(&self, limits: &Limits) -> bool {
        limits.cpuset_cpus.is_some() || limits.cpuset_mems.is_some()
    }

    fn apply(&self, group: &Path, version: Version, limits: &Limits) -> Result<(), Error> {
        if version == Version::V1 {
            inherit(group)?;
        }
        for (name, list) in [(CPUS, &limits.cpuset_cpus), (MEMS, &limits.cpuset_mems)] {
            if let Some(list) = list {
                file::write(&group.join(name), list)?;
            }
        }
        Ok(())
    }

    fn read(&self, _group: &Path, _version: Version, _into: &mut Statistics) -> Result<(), Error> {
        Ok(())
    }
}

/// On v1 a fresh group has no processors and no memory, and nobody can join it until it has.
pub(super) fn inherit(group: &Path) -> Result<(), Error> {
    let Some(parent) = group.parent() else { return Ok(()) };
    for name in [CPUS, MEMS] {
        let own = file::read(&group.join(name))?.unwrap_or_default();
        if own.trim().is_empty() {
            let list = file::read(&parent.join(name))?.unwrap_or_default();
            file::write(&group.join(name), list.trim())?;
        }
    }
    Ok(())
}
