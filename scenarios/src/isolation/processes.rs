//! Processes as the host sees them.

use std::fs;

/// All process ids.
pub fn all() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok()).collect()
}

/// The process called `name`, with its /proc/PID/status.
pub fn called(name: &str) -> Option<(i32, String)> {
    all().into_iter().find_map(|pid| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        (field(&status, "Name:")? == name).then_some((pid, status))
    })
}

/// A field of /proc/PID/status.
pub fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// The first process of an instance: of what `root` has started, the one that is number 1 in a PID
/// namespace of its own; else `root`.
pub fn init(root: i32) -> i32 {
    let mut family = vec![root];
    let mut at = 0;
    while at < family.len() {
        let pid = family[at];
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let numbers: Vec<&str> = field(&status, "NSpid:").unwrap_or_default().split_whitespace().collect();
        if numbers.len() > 1 && numbers.last() == Some(&"1") {
            return pid;
        }
        let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        for thread in threads {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            family.extend(children.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
        }
        at += 1;
    }
    root
}
