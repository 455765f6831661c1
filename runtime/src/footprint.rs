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

/// Memory of a process, all it has started and `others`, each process once.
///
/// # Errors
/// Where of none of them the files can be read.
pub(crate) fn of_tree(root: i32, others: &[i32]) -> Result<Footprint, Error> {
    let mut pids = descendants(root);
    pids.extend(others);
    pids.sort_unstable();
    pids.dedup();
    let (mut total, mut found) = (Footprint::default(), 0);
    let mut first_error = None;
    for pid in pids {
        match of_process(pid) {
            Ok(one) => {
                found += 1;
                add(&mut total, &one);
            }
            // One that has ended meanwhile.
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    match first_error {
        Some(error) if found == 0 => Err(error),
        _ => Ok(total),
    }
}

fn add(total: &mut Footprint, one: &Footprint) {
    let sum = |left: Option<u64>, right: Option<u64>| match (left, right) {
        (None, None) => None,
        (left, right) => Some(left.unwrap_or(0) + right.unwrap_or(0)),
    };
    total.rss_bytes = sum(total.rss_bytes, one.rss_bytes);
    total.pss_bytes = sum(total.pss_bytes, one.pss_bytes);
    total.private_bytes = sum(total.private_bytes, one.private_bytes);
    total.virtual_bytes = sum(total.virtual_bytes, one.virtual_bytes);
}

/// A process and all it has started (proc(5), /proc/PID/task/TID/children).
fn descendants(pid: i32) -> Vec<i32> {
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(pid) = found.get(at).copied() {
        at += 1;
        let Ok(tasks) = std::fs::read_dir(std::path::Path::new("/proc").join(pid.to_string()).join("task"))
        else {
            continue;
        };
        for task in tasks.flatten() {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|word| word.parse::<i32>().ok()));
        }
    }
    found
}
