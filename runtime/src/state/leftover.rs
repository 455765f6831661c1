//! What runs have left, and its removal.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::mount::{UnmountFlags, unmount};

use super::living::Living;
use super::{Cleaned, check_private, mount_source, open_lock};
use crate::Error;
use crate::cgroup::{TOP, end_folder};

/// How long the children of a dead run may hold its lock.
const DYING_TIMEOUT: Duration = Duration::from_secs(10);
/// How long they have to end by themselves, as they do with their parent.
const DYING_GRACE: Duration = Duration::from_millis(500);

/// Where runs have something.
#[derive(Debug, Clone)]
pub(super) struct Host {
    /// The folder of all runs' folders.
    pub(super) root: PathBuf,
    /// Mount points of the cgroup hierarchies.
    pub(super) hierarchies: Vec<PathBuf>,
    /// Whether runs have interfaces in this network namespace: root's may.
    pub(super) has_interfaces: bool,
    /// Whether no process of this host is out of sight: in the first PID namespace none is.
    pub(super) sees_all_processes: bool,
}

impl Host {
    pub(super) fn clean(&self) -> Result<Cleaned, Error> {
        // Groups and bridges first: a run makes its folder before them, so the folder of one listed here
        // can be missing below only if its run is over, or has its folder where it is not seen from here.
        let mut runs: BTreeSet<OsString> = self.groups()?;
        if self.has_interfaces {
            runs.extend(crate::network::runs()?.into_iter().map(OsString::from));
        }
        let mut cleaned = Cleaned::default();
        let mut first_error = None;
        let mut note = |done: Result<Vec<String>, Error>| match done {
            Ok(sentences) => cleaned.removed.extend(sentences),
            Err(error) => {
                first_error.get_or_insert(error);
            }
        };
        if self.root.symlink_metadata().is_ok() {
            check_private(&self.root)?;
            for run_id in folders(&self.root)? {
                note(self.clean_run(&run_id));
            }
        }
        runs.retain(|run_id| self.root.join(run_id).symlink_metadata().is_err());
        if !runs.is_empty() {
            let living = Living::find();
            for run_id in runs {
                match living.why_left(&run_id, self.sees_all_processes) {
                    Some(why) => cleaned.left.push(format!("left the run {} alone: {why}", run_id.display())),
                    None => note(self.remove_run(run_id)),
                }
            }
        }
        first_error.map_or(Ok(cleaned), Err)
    }

    /// Removes the run's things if nobody holds its lock.
    fn clean_run(&self, run_id: &OsStr) -> Result<Vec<String>, Error> {
        let dir = self.root.join(run_id);
        let Some(lock) = open_lock(&dir)? else { return Ok(Vec::new()) };
        let began = Instant::now();
        loop {
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return self.remove_run(run_id),
                Err(rustix::io::Errno::WOULDBLOCK) if is_living(&dir) => return Ok(Vec::new()),
                Err(rustix::io::Errno::WOULDBLOCK) if began.elapsed() > DYING_TIMEOUT => {
                    return Err(Error::Invalid(format!(
                        "the run {} is over, and somebody has locked {} (fuser names who)",
                        run_id.display(),
                        dir.join("lock").display()
                    )));
                }
                // A child that has not executed yet holds the lock of its dead parent.
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    end_holders(&lock, began.elapsed() > DYING_GRACE);
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(errno) => {
                    return Err(Error::system(format!("lock {}", dir.join("lock").display()))(errno));
                }
            }
        }
    }

    /// Ends and removes all that the run has; its folder last, since it says that there is something.
    pub(super) fn remove_run(&self, run_id: impl AsRef<OsStr>) -> Result<Vec<String>, Error> {
        let run_id = run_id.as_ref();
        let mut removed = Vec::new();
        removed.extend(crate::engine::clean(&self.root.join(run_id), &run_id.to_string_lossy())?);
        removed.extend(end_strays(&mount_source(&run_id.to_string_lossy())));
        for root in &self.hierarchies {
            removed.extend(end_group(&root.join(TOP).join(run_id))?);
        }
        if let Some(run_id) = run_id.to_str().filter(|_| self.has_interfaces) {
            let interfaces = crate::network::remove(run_id)?;
            removed.extend(interfaces.iter().map(|name| format!("removed the interface {name}")));
        }
        let dir = self.root.join(run_id);
        for target in mounts_below(&dir)? {
            unmount(&target, UnmountFlags::DETACH)
                .map_err(Error::system(format!("unmount {}", target.display())))?;
            removed.push(format!("unmounted {}", target.display()));
        }
        // Before the notes of it go.
        let put_back = super::setting::put_back(&dir);
        removed.extend(put_back.map_err(Error::system("put back a setting of the host"))?);
        let outside = super::outside::remove(&dir);
        removed.extend(outside.map_err(Error::system("remove a folder outside the private one"))?);
        match fs::remove_dir_all(&dir) {
            Ok(()) => removed.push(format!("removed the folder {}", dir.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::system(format!("remove the folder {}", dir.display()))(error)),
        }
        Ok(removed)
    }

    /// The runs that have a group of this user's in some hierarchy.
    fn groups(&self) -> Result<BTreeSet<OsString>, Error> {
        let uid = rustix::process::geteuid().as_raw();
        let mut runs = BTreeSet::new();
        for top in self.hierarchies.iter().map(|root| root.join(TOP)).filter(|top| top.is_dir()) {
            let is_ours = |name: &OsString| top.join(name).metadata().is_ok_and(|found| found.uid() == uid);
            runs.extend(folders(&top)?.into_iter().filter(is_ours));
        }
        Ok(runs)
    }
}

/// Whether the process that wrote its number into the lock is there (or another of that number: then
/// the run counts as living, as it does while nothing is written yet).
fn is_living(dir: &Path) -> bool {
    let text = fs::read_to_string(dir.join("lock")).unwrap_or_default();
    let Ok(pid) = text.parse::<u32>() else { return true };
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    // One that has ended and that nobody has asked for yet is not there any more (proc_pid_stat(5)).
    stat.is_ok_and(|stat| !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X'])))
}

/// Kills every stopped process that has the lock of a dead run open: a child of it that would hold the
/// lock until somebody lets it go on. Where `is_late`, also those that hold it by what they have from that
/// run: one that came to be just when it died may have missed that, and wait for it.
fn end_holders(lock: &fs::File, is_late: bool) {
    let Ok(wanted) = lock.metadata() else { return };
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) else { continue };
        let Ok(pidfd) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) else {
            continue;
        };
        // Read after the descriptor is held, so that both are of the same process.
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let is_stopped = stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['T', 't']));
        let is_lock = |file: &fs::DirEntry| {
            let found = file.path().metadata();
            found.is_ok_and(|found| (found.dev(), found.ino()) == (wanted.dev(), wanted.ino()))
        };
        let inherits = |file: &fs::DirEntry| {
            let info = fs::read_to_string(entry.path().join("fdinfo").join(file.file_name()));
            info.is_ok_and(|info| is_inherited(&info, pid))
        };
        let files = || fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten().filter(is_lock);
        if (is_stopped && files().next().is_some()) || (is_late && files().any(|file| inherits(&file))) {
            let _ = rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL);
        }
    }
}

/// Whether a descriptor of process `pid` holds a lock that another process has taken, by what
/// /proc/PID/fdinfo/FD says (proc_pid_fdinfo(5)). Another `bench clean` has taken its own.
fn is_inherited(info: &str, pid: rustix::process::Pid) -> bool {
    let mut locks = info.lines().filter_map(|line| line.strip_prefix("lock:"));
    locks.any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let taken_by = fields.get(4).and_then(|taken_by| taken_by.parse::<i32>().ok());
        fields.get(1) == Some(&"FLOCK") && taken_by.is_some_and(|it| it != pid.as_raw_nonzero().get())
    })
}

/// Kills what is in the group and removes it; `None` where it does not exist.
fn end_group(group: &Path) -> Result<Option<String>, Error> {
    if !group.is_dir() {
        return Ok(None);
    }
    let members = count_members(group);
    end_folder(group)?;
    let killed = match members {
        0 => String::new(),
        1 => "killed 1 process and ".to_owned(),
        many => format!("killed {many} processes and "),
    };
    Ok(Some(format!("{killed}removed the cgroup {}", group.display())))
}

/// Kills every process in whose mount namespace something is mounted from `source`: a runtime's own
/// processes, which are in no group of ours.
fn end_strays(source: &str) -> Option<String> {
    let mut killed = 0;
    // Twice: one seen the first time may have had a child since.
    for _ in 0..2 {
        for entry in fs::read_dir("/proc").ok()?.flatten() {
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) else { continue };
            let Ok(pidfd) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) else {
                continue;
            };
            // Read after the descriptor is held, so that both are of the same process.
            let mounts = fs::read_to_string(entry.path().join("mountinfo")).unwrap_or_default();
            let is_ours = |line: &str| {
                line.split_once(" - ").and_then(|(_, right)| right.split(' ').nth(1)) == Some(source)
            };
            if pid != rustix::process::getpid() && mounts.lines().any(is_ours) {
                let _ = rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL);
                killed += 1;
            }
        }
    }
    (killed > 0).then(|| format!("killed {killed} processes that saw the mount {source}"))
}

fn count_members(group: &Path) -> usize {
    let own = fs::read_to_string(group.join("cgroup.procs")).map_or(0, |list| list.lines().count());
    let below = folders(group).unwrap_or_default();
    own + below.iter().map(|name| count_members(&group.join(name))).sum::<usize>()
}

/// Names of the folders in `path`, in order.
fn folders(path: &Path) -> Result<Vec<OsString>, Error> {
    let refused = || Error::system(format!("list the folder {}", path.display()));
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(refused())? {
        let entry = entry.map_err(refused())?;
        // One that goes away meanwhile is no leftover.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            names.push(entry.file_name());
        }
    }
    names.sort();
    Ok(names)
}

/// Mount points below `dir`, the last mounted first.
fn mounts_below(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let path = "/proc/self/mountinfo";
    let text = fs::read(path).map_err(Error::system(format!("read {path}")))?;
    let points = text.split(|byte| *byte == b'\n').filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    let mut found: Vec<PathBuf> = points.map(unescape).filter(|point| point.starts_with(dir)).collect();
    found.reverse();
    Ok(found)
}

/// Mountinfo writes blank, tab, newline and backslash as `\` and three octal digits.
fn unescape(mut field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    while let [first, rest @ ..] = field {
        let code = rest
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(code.unwrap_or(*first));
        field = if code.is_some() { &rest[3..] } else { rest };
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_as_they_are_named() {
        assert_eq!(unescape(br"/run/a\040b\134c"), Path::new(r"/run/a b\c"));
        assert_eq!(unescape(br"/x\04"), Path::new(r"/x\04"));
    }

    #[test]
    fn a_lock_is_inherited_where_another_has_taken_it() {
        // Of a process 1187 on Linux 6.18, beside lines that all descriptors have.
        let info = "pos:\t0\nflags:\t02100001\nlock:\t1: FLOCK  ADVISORY  WRITE 1186 00:1a:2312 0 EOF\n";
        let is_inherited_by =
            |pid| is_inherited(info, rustix::process::Pid::from_raw(pid).expect("a number"));
        assert!(is_inherited_by(1187) && !is_inherited_by(1186));
        assert!(!is_inherited("pos:\t0\n", rustix::process::getpid()));
    }
}
