//! Living runs whose folder is not seen from here: in a mount namespace with another /run, with another
//! XDG_RUNTIME_DIR, or removed under them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Number of the first PID namespace's inode (PROC_PID_INIT_INO, linux/proc_ns.h).
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// Runs by the process that has written its number into their lock and has it open.
#[derive(Debug)]
pub(super) struct Living(BTreeMap<OsString, u32>);

impl Living {
    /// Looks through all processes that this user may look into.
    pub(super) fn find() -> Living {
        let mut runs = BTreeMap::new();
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            for file in fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
                if let Some(run_id) = run_of(&file.path())
                    && is_written_by(&file.path(), &process.path())
                {
                    runs.insert(run_id, pid);
                }
            }
        }
        Living(runs)
    }

    /// Why nothing of the run may be touched; `None` where it is over.
    pub(super) fn why_left(&self, run_id: &OsStr, sees_all_processes: bool) -> Option<String> {
        match self.0.get(run_id) {
            Some(pid) => Some(format!(
                "its process {pid} lives and has its folder elsewhere (`nsenter --target {pid} --mount` shows it)"
            )),
            None if !sees_all_processes => {
                Some("from this PID namespace it cannot be seen whether it lives (clean on the host)".into())
            }
            None => None,
        }
    }
}

pub(super) fn is_first_pid_namespace() -> bool {
    fs::read_link("/proc/self/ns/pid").is_ok_and(|namespace| namespace == Path::new(FIRST_PID_NAMESPACE))
}

/// The run whose lock the descriptor `link` is, by its path: `…/RUN/lock`, wherever that is.
fn run_of(link: &Path) -> Option<OsString> {
    let target = fs::read_link(link).ok()?.into_os_string().into_string().ok()?;
    // How proc_pid_fd(5) says that it has no name any more.
    let target = PathBuf::from(target.strip_suffix(" (deleted)").unwrap_or(&target));
    let is_lock = target.file_name() == Some(OsStr::new("lock"));
    is_lock.then(|| target.parent()?.file_name().map(OsStr::to_owned)).flatten()
}

/// Whether the open file is this user's and says the number of the process that has it, or nothing yet.
/// A child that has not executed has it, too, and another number.
fn is_written_by(file: &Path, process: &Path) -> bool {
    let is_ours = |found: fs::Metadata| found.uid() == rustix::process::geteuid().as_raw();
    if !fs::metadata(file).is_ok_and(is_ours) {
        return false;
    }
    let Ok(written) = fs::read_to_string(file) else { return false };
    let status = fs::read_to_string(process.join("status")).unwrap_or_default();
    // The last number is that in the process's own PID namespace (proc_pid_status(5)).
    let own = status.lines().find_map(|line| line.strip_prefix("NSpid:")?.split_whitespace().next_back());
    written.is_empty() || own == Some(written.as_str())
}
