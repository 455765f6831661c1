//! The device controller: on v2 a program at the group (cgroup-v2.rst, "Device controller"), on v1
//! the files of cgroup-v1/devices.rst.

mod program;
mod rule;

use std::path::Path;

pub use rule::{DeviceAccess, DeviceKind, DeviceRule};

use super::controller::Controller;
use super::statistics::Statistics;
use super::{Limits, Version, file};
use crate::Error;

const V1_ALLOW: &str = "devices.allow";
const V1_DENY: &str = "devices.deny";

#[derive(Debug)]
pub(super) struct Devices;

impl Controller for Devices {
    fn v1_name(&self) -> &'static str {
        "devices"
    }

    fn v2_name(&self) -> Option<&'static str> {
        None
    }

    fn wanted(&self, limits: &Limits) -> bool {
        limits.devices.is_some()
    }

    fn apply(&self, group: &Path, version: Version, limits: &Limits) -> Result<(), Error> {
        let Some(rules) = &limits.devices else { return Ok(()) };
        match version {
            Version::V2 => program::attach(group, rules),
            Version::V1 => apply_v1(group, rules),
        }
    }

    fn read(&self, _group: &Path, _version: Version, _into: &mut Statistics) -> Result<(), Error> {
        Ok(())
    }
}

/// A group of v1 has one default and a list of exceptions. What cannot be said that way is refused
/// rather than said approximately.
fn apply_v1(group: &Path, rules: &[DeviceRule]) -> Result<(), Error> {
    // Nothing before the last rule for all devices and accesses has an effect.
    let whole = rules.iter().rposition(DeviceRule::is_whole);
    let allows_by_default = whole.is_some_and(|at| rules[at].allow);
    let exceptions = &rules[whole.map_or(0, |at| at + 1)..];
    for (at, rule) in exceptions.iter().enumerate().filter(|(_, rule)| rule.allow == allows_by_default) {
        if exceptions[..at].iter().any(|before| before.allow != rule.allow && before.overlaps(rule)) {
            return Err(Error::Invalid(format!(
                "devices: rule {rule} takes back part of one before it, which cgroup v1 cannot express"
            )));
        }
    }
    file::write(&group.join(if allows_by_default { V1_ALLOW } else { V1_DENY }), "a")?;
    for rule in exceptions.iter().filter(|rule| rule.allow != allows_by_default) {
        file::write(&group.join(if rule.allow { V1_ALLOW } else { V1_DENY }), &rule.v1_line())?;
    }
    Ok(())
}
