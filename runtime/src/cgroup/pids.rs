//! The pids controller: cgroup-v2.rst, "PID"; cgroup-v1/pids.rst. Its files are the same on both.

use std::path::Path;

use super::controller::Controller;
use super::statistics::{PidsStatistics, Statistics};
use super::{Limits, Version, file};
use crate::Error;

pub(super) const MAX: &str = "pids.max";
const CURRENT: &str = "pids.current";
const PEAK: &str = "pids.peak";
const EVENTS: &str = "pids.events";

#[derive(Debug)]
pub(super) struct Pids;

impl Controller for Pids {
    fn v1_name(&self) -> &'static str {
        "pids"
    }

    fn v2_name(&self) -> Option<&'static str> {
        Some("pids")
    }

    fn wanted(&self, limits: &Limits) -> bool {
        limits.pids.is_some()
    }

    fn apply(&self, group: &Path, _version: Version, limits: &Limits) -> Result<(), Error> {
        let Some(pids) = limits.pids else { return Ok(()) };
        file::write(&group.join(MAX), &file::limit(pids, "max"))
    }

    fn read(&self, group: &Path, _version: Version, into: &mut Statistics) -> Result<(), Error> {
        let Some(current) = file::number(&group.join(CURRENT))? else { return Ok(()) };
        let events = file::read(&group.join(EVENTS))?.unwrap_or_default();
        into.pids = Some(PidsStatistics {
            current,
            peak: file::number(&group.join(PEAK))?,
            refused: file::value(&events, "max").unwrap_or(0),
        });
        Ok(())
    }
}
