//! These same tests once more on the kernel of a guest, where all controllers are on v2.

use super::*;
use std::path::Path;

/// Set where this program runs in a guest.
const IN_GUEST: &str = "BENCH_TEST_IN_GUEST";
const CGROUP: &str = "/sys/fs/cgroup";

/// In a guest, mounts what PID 1 of a distribution would have mounted.
pub(super) fn set_up() {
    static ONCE: OnceLock<()> = OnceLock::new();
    if std::env::var_os(IN_GUEST).is_none() {
        return;
    }
    ONCE.get_or_init(|| {
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("cgroup2", CGROUP, "cgroup2", flags, None).expect("cgroup2 mounted");
    });
}

/// A large file or device that can be read past the page cache, and its block device.
pub(super) fn readable_disk() -> Option<(PathBuf, (u32, u32))> {
    use std::os::unix::fs::MetadataExt;
    if std::env::var_os(IN_GUEST).is_some() {
        return Some((PathBuf::from("/dev/ram0"), (1, 0)));
    }
    let program = std::env::current_exe().ok()?;
    let device = program.metadata().ok()?.dev();
    let (major, minor) = (libc::major(device), libc::minor(device));
    // Ceilings are for whole devices; a partition's folder says so.
    let folder = Path::new("/sys/dev/block").join(format!("{major}:{minor}"));
    (folder.is_dir() && !folder.join("partition").exists()).then_some((program, (major, minor)))
}
