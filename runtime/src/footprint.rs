//! Memory of processes as the kernel accounts for it.

use procfs::process::Process;

use crate::{Error, Footprint};

/// Memory of one process: smaps_rollup and statm (proc(5)).
///
/// # Errors
/// Where its files cannot be read.
pub(crate) fn of_process(pid: i32) -> Result<Footprint, Error> {
    let said = |error: procfs::ProcError| {
        Error::Invalid(format!("cannot read the memory of process {pid}: {error}"))
    };
    let process = Process::new(pid).map_err(said)?;
    let rollup = process.smaps_rollup().map_err(said)?;
    let statm = process.statm().map_err(said)?;
    let sum = |names: &[&str]| {
        let maps = &rollup.memory_map_rollup.0;
        maps.iter().flat_map(|map| names.iter().filter_map(|name| map.extension.map.get(*name))).sum::<u64>()
    };
    Ok(Footprint {
        rss_bytes: Some(sum(&["Rss"])),
        pss_bytes: Some(sum(&["Pss"])),
        private_bytes: Some(sum(&["Private_Clean", "Private_Dirty"])),
        virtual_bytes: Some(statm.size * procfs::page_size()),
        cgroup_bytes: None,
    })
}
