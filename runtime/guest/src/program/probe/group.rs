//! Cgroup hierarchies within reach (cgroups(7)): those mounted, and those that can be.
//!
//! The group the host has made tells its hierarchies from those of a machine's own kernel, where all
//! of this succeeds and harms nobody.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use guest::probe::Facts;

use super::{facts, last_errno, number};

/// Limits by the names of both versions; never written to.
/// The last is there in every group of v2 whose parent hands on no controllers.
const LIMITS: [&str; 7] = [
    "memory.limit_in_bytes",
    "cpu.cfs_quota_us",
    "pids.max",
    "memory.max",
    "cpu.max",
    "cpuset.cpus",
    "cgroup.max.descendants",
];

/// What can be done to the hierarchies in which `group` is found.
pub fn reach(group: &str) -> Facts {
    let mut roots = mounted();
    let mut errno = 0;
    let mut own = Vec::new();
    for (at, (kind, options)) in hierarchies().iter().enumerate() {
        match mount(kind, options, at) {
            Ok(root) => own.push(root),
            Err(error) => errno = error,
        }
    }
    roots.extend(own.iter().cloned());
    roots.sort();
    roots.dedup();
    let (mut found, mut moved, mut limits, mut agents) = (0, 0, 0, 0);
    for root in &roots {
        if !root.join(group).is_dir() {
            continue;
        }
        found += 1;
        moved += i64::from(write(&root.join("cgroup.procs"), "0"));
        limits += LIMITS.iter().filter(|name| opens(&root.join(group).join(name))).count() as i64;
        agents += i64::from(opens(&root.join("release_agent")));
    }
    for root in own {
        if let Ok(target) = CString::new(root.to_string_lossy().into_owned()) {
            // SAFETY: the string ends with NUL and lives through the call.
            unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) };
        }
        let _ = fs::remove_dir(root);
    }
    facts([
        ("mounted", number(roots.len() as i64)),
        ("mount", number(errno)),
        ("found", number(found)),
        ("moved", number(moved)),
        ("limits", number(limits)),
        ("agents", number(agents)),
    ])
}

/// Mount points of this mount namespace (proc_pid_mountinfo(5)), and the usual place, however it got there.
fn mounted() -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let is_group = |line: &&str| line.contains(" - cgroup ") || line.contains(" - cgroup2 ");
    let place = |line: &str| line.split(' ').nth(4).map(PathBuf::from);
    text.lines().filter(is_group).filter_map(place).collect()
}

/// Types and options of what the kernel has, by /proc/self/cgroup.
fn hierarchies() -> Vec<(&'static str, String)> {
    let text = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let names = text.lines().filter_map(|line| line.split(':').nth(1));
    names
        .map(|names| match names {
            "" => ("cgroup2", String::new()),
            named if named.starts_with("name=") => ("cgroup", format!("none,{named}")),
            controllers => ("cgroup", controllers.to_owned()),
        })
        .collect()
}

/// In a mount namespace of this process's own where there can be one, so that nothing stays.
fn mount(kind: &str, options: &str, at: usize) -> Result<PathBuf, i32> {
    if at == 0 {
        // SAFETY: no memory is involved. With a user namespace where it is not allowed without
        // (CVE-2022-0492); what is refused shows in the mounts.
        unsafe {
            if libc::unshare(libc::CLONE_NEWNS) != 0 {
                libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWCGROUP);
            }
            libc::mount(
                std::ptr::null(),
                c"/".as_ptr(),
                std::ptr::null(),
                libc::MS_REC | libc::MS_PRIVATE,
                std::ptr::null(),
            );
        }
    }
    let mut refused = libc::ENOENT;
    for base in ["/tmp", "/dev/shm", "/run", "/"] {
        let root = Path::new(base).join(format!("bench-group-{at}"));
        match fs::create_dir(&root) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                refused = error.raw_os_error().unwrap_or(refused);
                continue;
            }
            _ => {}
        }
        let result = mount_at(kind, options, &root);
        if result.is_ok() {
            return Ok(root);
        }
        let _ = fs::remove_dir(&root);
        refused = result.err().unwrap_or(refused);
        break;
    }
    Err(refused)
}

fn mount_at(kind: &str, options: &str, root: &Path) -> Result<(), i32> {
    let c = |text: &str| CString::new(text).map_err(|_| libc::EINVAL);
    let (kind, options, root) = (c(kind)?, c(options)?, c(&root.to_string_lossy())?);
    let data = if options.is_empty() { std::ptr::null() } else { options.as_ptr().cast() };
    // SAFETY: strings that end with NUL and live through the call.
    let result = unsafe { libc::mount(kind.as_ptr(), root.as_ptr(), kind.as_ptr(), 0, data) };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

fn opens(path: &Path) -> bool {
    OpenOptions::new().write(true).open(path).is_ok()
}

fn write(path: &Path, text: &str) -> bool {
    OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file: File| file.write_all(text.as_bytes()))
        .is_ok()
}
