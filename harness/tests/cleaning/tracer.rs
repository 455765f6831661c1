//! Follows a run with ptrace(2) and kills it at the entry to a system call.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// What makes, changes or removes something that could be left behind, and what the steps of a start are
/// told by.
const CALLS: [(libc::c_long, &str); 24] = [
    (libc::SYS_clone3, "clone3"),
    (libc::SYS_unshare, "unshare"),
    (libc::SYS_setns, "setns"),
    (libc::SYS_mount, "mount"),
    (libc::SYS_open_tree, "open_tree"),
    (libc::SYS_move_mount, "move_mount"),
    (libc::SYS_mount_setattr, "mount_setattr"),
    (libc::SYS_fsopen, "fsopen"),
    (libc::SYS_fsmount, "fsmount"),
    (libc::SYS_pivot_root, "pivot_root"),
    (libc::SYS_umount2, "umount2"),
    (libc::SYS_mkdirat, "mkdirat"),
    (libc::SYS_symlinkat, "symlinkat"),
    (libc::SYS_unlinkat, "unlinkat"),
    (libc::SYS_renameat2, "renameat2"),
    (libc::SYS_setresuid, "setresuid"),
    (libc::SYS_capset, "capset"),
    (libc::SYS_prctl, PRCTL),
    (libc::SYS_seccomp, "seccomp"),
    (libc::SYS_execveat, "execveat"),
    (libc::SYS_sendto, "sendto"),
    (libc::SYS_sendmsg, "sendmsg"),
    (libc::SYS_write, WRITE),
    (libc::SYS_openat, OPEN),
];
/// Those that newer architectures do without.
#[cfg(target_arch = "x86_64")]
const OLD_CALLS: [(libc::c_long, &str); 5] = [
    (libc::SYS_mkdir, "mkdir"),
    (libc::SYS_rmdir, "rmdir"),
    (libc::SYS_unlink, "unlink"),
    (libc::SYS_rename, "rename"),
    (libc::SYS_symlink, "symlink"),
];
#[cfg(not(target_arch = "x86_64"))]
const OLD_CALLS: [(libc::c_long, &str); 0] = [];
/// Counts where it is to a file of the kernel's: of a cgroup, or a process's maps.
const WRITE: &str = "write";
/// Changes the process alone: of several of a child's in a row the first counts.
const PRCTL: &str = "prctl";
/// Counts where it may make the file.
const OPEN: &str = "openat";

/// How long what a killed run leaves may live on, until `bench clean` has ended it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A system call at whose entry a run can be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    pub call: &'static str,
    /// By a child of the run that is not yet its program.
    pub by_child: bool,
}

/// Follows the run `leader`, a process that has stopped itself and will execute bench, and all it starts,
/// until everything has ended. Kills it at the entry to step `kill_at`, counted from 0; the call is carried
/// out, where a child makes it, once the run is dead. Gives the steps until then.
///
/// Everything that is traced is the calling thread's, and no other child is.
///
/// # Panics
/// Where something lives on; with its name and state.
///
/// # Errors
/// What the kernel said.
pub fn follow(leader: u32, kill_at: Option<usize>) -> Result<Vec<Step>, Errno> {
    let leader = Pid::from_raw(leader.cast_signed());
    let follows = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC;
    ptrace::seize(leader, follows)?;
    kill(leader, Signal::SIGCONT)?;
    let mut run = Run { leader, has_begun: false, programs: HashSet::new(), steps: Vec::new() };
    let mut waits = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
    let (mut killed_at, mut held) = (None, None);
    loop {
        let (stopped, signal) = match waitpid(None, Some(waits)) {
            Ok(WaitStatus::StillAlive) => {
                let is_over = killed_at.is_some_and(|at: Instant| at.elapsed() > PATIENCE);
                assert!(!is_over, "after {:?} lives on: {:#?}", run.steps.last(), living());
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            Err(Errno::ECHILD) => return Ok(run.steps),
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error),
            Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..)) => {
                match held.take_if(|_| pid == leader) {
                    Some(held) => (held, None),
                    None => continue,
                }
            }
            Ok(WaitStatus::PtraceSyscall(pid)) => {
                if killed_at.is_none() && run.is_step(pid) && kill_at == Some(run.steps.len() - 1) {
                    killed_at = Some(Instant::now());
                    waits |= WaitPidFlag::WNOHANG;
                    kill(leader, Signal::SIGKILL)?;
                    held = Some(pid);
                    continue;
                }
                (pid, None)
            }
            Ok(WaitStatus::PtraceEvent(pid, _, event)) => {
                if event == libc::PTRACE_EVENT_EXEC {
                    run.executed(pid);
                }
                (pid, None)
            }
            Ok(WaitStatus::Stopped(pid, signal)) => (pid, Some(signal)),
            Ok(_) => continue,
        };
        let resumed = match killed_at {
            Some(_) => ptrace::cont(stopped, signal),
            None => ptrace::syscall(stopped, signal),
        };
        // It may have been killed meanwhile.
        resumed.or_else(|error| if error == Errno::ESRCH { Ok(()) } else { Err(error) })?;
    }
}

/// Tracees of this thread that have not ended: what they are, and where they are stopped.
fn living() -> Vec<String> {
    // SAFETY: no memory is involved.
    let own = unsafe { libc::gettid() };
    let tasks = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let tasks = tasks.filter_map(|process| std::fs::read_dir(process.path().join("task")).ok());
    let status = |task: std::fs::DirEntry| {
        let text = std::fs::read_to_string(task.path().join("status")).ok()?;
        let is_own = text.lines().any(|line| line == format!("TracerPid:\t{own}"));
        let call = std::fs::read_to_string(task.path().join("syscall")).unwrap_or_default();
        let kept = ["Name:", "State:", "Tgid:", "PPid:", "ShdPnd:", "SigBlk:"];
        let lines = text.lines().filter(|line| kept.iter().any(|name| line.starts_with(name)));
        is_own.then(|| format!("{:?} {} {call}", task.path(), lines.collect::<Vec<_>>().join(" ")))
    };
    tasks.flat_map(|tasks| tasks.flatten().filter_map(status)).collect()
}

struct Run {
    leader: Pid,
    /// Bench is executed.
    has_begun: bool,
    /// Processes that have executed something else.
    programs: HashSet<Pid>,
    steps: Vec<Step>,
}

impl Run {
    fn executed(&mut self, pid: Pid) {
        if pid == self.leader {
            self.has_begun = true;
        } else {
            self.programs.insert(pid);
        }
    }

    /// Whether `pid` stands at the entry to a step, which is taken down then.
    fn is_step(&mut self, pid: Pid) -> bool {
        if !self.has_begun || self.programs.contains(&pid) {
            return false;
        }
        let Ok(info) = ptrace::syscall_info(pid) else { return false };
        if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
            return false;
        }
        // SAFETY: the kernel says that it has filled this member of the union.
        let entry = unsafe { info.u.entry };
        let mut known = CALLS.iter().chain(&OLD_CALLS);
        let Some((_, call)) = known.find(|(number, _)| *number == entry.nr as libc::c_long) else {
            return false;
        };
        let by_child = !std::path::Path::new(&format!("/proc/{}/task/{pid}", self.leader)).exists();
        let step = Step { call, by_child };
        let counts = match *call {
            PRCTL => !by_child || self.steps.last() != Some(&step),
            WRITE => std::fs::read_link(format!("/proc/{pid}/fd/{}", entry.args[0]))
                .is_ok_and(|path| path.starts_with("/sys/fs/cgroup") || path.starts_with("/proc")),
            OPEN => entry.args[2] as i32 & libc::O_CREAT != 0,
            _ => true,
        };
        if counts {
            self.steps.push(step);
        }
        counts
    }
}
