//! The parent's side of a start: clone, write what only the parent may, wait for the program.

use std::cell::OnceCell;
use std::ffi::{CString, c_int};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use rustix::process::{PidfdFlags, pidfd_open};

use super::aside::Aside;
use super::child::{Child, begin};
use super::compiled::Compiled;
use super::partner::{Arena, with_partner};
use super::place::cstring;
use super::process::Command;
use super::report::Report;
use super::supervise::Supervision;
use super::syscall::{self, Errno};
use crate::Error;
use crate::cgroup::{CLONE_INTO_CGROUP, Entrance};

/// Most descriptors a program is given.
const MAX_FDS: usize = 48;

/// pidfd_open(2), from Linux 6.9 on: a thread, and not the process it is of.
const PIDFD_THREAD: PidfdFlags = PidfdFlags::from_bits_retain(libc::O_EXCL as u32);

/// What one instance adds to the setup.
pub struct Launch<'a> {
    /// The program, as an open file; `None`: found inside by the first of the arguments.
    pub program: Option<BorrowedFd<'a>>,
    /// In place of the setup's arguments.
    pub args: Option<Vec<CString>>,
    /// Descriptors 0, 1, 2 … of the program.
    pub fds: &'a [BorrowedFd<'a>],
    /// Detached mounts (open_tree(2)) in place of the lower folders of the setup's overlay, for a child
    /// that may not search the folders above those.
    pub trees: &'a [BorrowedFd<'a>],
    /// In place of the setup's host name.
    pub hostname: Option<&'a str>,
    /// The way into its cgroups.
    pub entrance: Option<&'a Entrance>,
    /// Where it is `Some`, the program begins with the first byte read from here, and
    /// [`Compiled::start`] returns as soon as everything before is done.
    pub gate: Option<BorrowedFd<'a>>,
    /// Called in the parent with the child's process id when everything of the new root is mounted
    /// and the old one not yet left.
    pub before_root: Option<&'a (dyn Fn(i32) -> Result<(), Error> + Sync)>,
    /// Whether the program ends when the calling *thread* ends.
    pub ends_with_parent: bool,
}

/// A child that has become the program, or stands at its gate.
#[derive(Debug)]
pub struct Started {
    /// Its process id in this program's namespace.
    pub pid: i32,
    /// It, as a descriptor.
    pub pidfd: OwnedFd,
    /// Steps of its start and when each began, in nanoseconds of CLOCK_MONOTONIC.
    pub marks: Vec<(&'static str, u64)>,
}

impl Compiled {
    /// Starts an instance and returns when it has executed its program, or stands at its gate.
    /// Nothing of it is left where it fails.
    ///
    /// # Errors
    /// The step that failed, and what the system said.
    pub fn start(&self, launch: &Launch<'_>) -> Result<Started, Error> {
        if launch.fds.len() > MAX_FDS {
            return Err(Error::Invalid(format!("more than {MAX_FDS} descriptors for a container")));
        }
        let command = Command::new(launch.args.clone().unwrap_or_else(|| self.args.clone()), &self.env)?;
        let hostname = launch.hostname.map(cstring).transpose()?;
        let supervision = Supervision { setup: self, before_root: launch.before_root };
        let is_supervised = self.needs_parent() || launch.before_root.is_some();
        let slots = self.mounts.slots();

        let start = |arena: &Arena, mut aside: Aside<'_>| {
            let fds = launch.fds.iter().map(|fd| aside.put(*fd)).collect::<Result<Vec<_>, _>>()?;
            let trees = launch.trees.iter().map(|fd| aside.put(*fd)).collect::<Result<Vec<_>, _>>()?;
            let tasks = launch.entrance.into_iter().flat_map(Entrance::files);
            let tasks = tasks.map(|fd| aside.put(fd)).collect::<Result<Vec<_>, _>>()?;
            let child = Child {
                setup: self,
                command: &command,
                env: &self.envp,
                report: arena.report(),
                fds: &fds,
                program: launch.program.map(|fd| aside.put(fd)).transpose()?,
                tasks: &tasks,
                trees: &trees,
                hostname: hostname.as_deref(),
                slots: &slots,
                is_supervised,
                holds: launch.before_root.is_some(),
                gate: launch.gate.map(|fd| aside.put(fd)).transpose()?,
                parent: put_thread(&mut aside)?,
                ends_with_parent: launch.ends_with_parent,
                // Who shares them takes none but those aside along: that closes descriptors, too.
                shared_until: aside.end().filter(|_| self.may_share_memory && self.close_descriptors),
            };
            self.clone(&child, launch, arena)
        };
        if launch.gate.is_some() {
            // The child outlives this call on memory of its own.
            let arena = Arena::new()?;
            let (pid, pidfd) = start(&arena, Aside::anywhere())?;
            let settled = supervision.run(pid, arena.report(), &|| !has_ended(&pidfd));
            await_gate(arena.report(), &pidfd);
            return self.conclude(pid, pidfd, settled, arena.report());
        }
        with_partner(|partner| {
            let arena = partner.arena();
            // Suspends this thread until the child has executed or ended; the partner serves it meanwhile.
            let (cloned, settled) = partner.serve(&supervision, || start(arena, Aside::at(partner.kept())));
            let (pid, pidfd) = cloned?;
            crate::dumpable::give_back();
            self.conclude(pid, pidfd, settled, arena.report())
        })?
    }

    /// Ends what failed, and tells why.
    fn conclude(
        &self,
        pid: i32,
        pidfd: OwnedFd,
        settled: Result<(), Error>,
        report: &Report,
    ) -> Result<Started, Error> {
        let failure = report.failure(&self.labels).map(|(action, source)| Error::System { action, source });
        // What the parent failed at is the cause of what the child then did.
        let Some(error) = settled.err().or(failure) else {
            return Ok(Started { pid, pidfd, marks: report.marks() });
        };
        let _ = rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL);
        let options = rustix::process::WaitIdOptions::EXITED;
        let id = rustix::process::WaitId::PidFd(std::os::fd::AsFd::as_fd(&pidfd));
        let _ = rustix::process::waitid(id, options);
        Err(error)
    }

    fn clone(&self, child: &Child<'_>, launch: &Launch<'_>, arena: &Arena) -> Result<(i32, OwnedFd), Error> {
        let mut pidfd: c_int = -1;
        let mut flags = self.namespaces.born | libc::CLONE_PIDFD as u64 | libc::CLONE_PARENT_SETTID as u64;
        if child.gate.is_none() {
            flags |= libc::CLONE_VFORK as u64;
            if self.may_share_memory {
                flags |= libc::CLONE_VM as u64;
                if child.shared_until.is_some() {
                    flags |= libc::CLONE_FILES as u64;
                }
            }
        }
        // SAFETY: plain data for which all zeroes is valid.
        let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
        if let Some(cgroup) = launch.entrance.and_then(Entrance::born_into) {
            flags |= CLONE_INTO_CGROUP;
            arguments.cgroup = cgroup.as_raw_fd() as u64;
        }
        arguments.flags = flags;
        arguments.pidfd = (&raw mut pidfd) as u64;
        arguments.parent_tid = arena.report().pid_address() as u64;
        arguments.exit_signal = libc::SIGCHLD as u64;
        (arguments.stack, arguments.stack_size) = arena.stack();
        arena.report().clear();
        let born = Born::into(self.namespaces.born_pid.as_ref())?;
        let blocked = crate::spawn::Blocked::all();
        // SAFETY: `child` and the stack outlive the child's use of them: without a gate this thread is
        // suspended until it has executed or ended, with one it has memory of its own. What it does
        // is sound beside other threads, see `child`.
        let answer = unsafe { syscall::clone3(&mut arguments, begin, std::ptr::from_ref(child).cast()) };
        drop(blocked);
        drop(born);
        match answer {
            // SAFETY: CLONE_PIDFD has stored a fresh descriptor that nobody else owns.
            Ok(pid) => Ok((pid as i32, unsafe { OwnedFd::from_raw_fd(pidfd) })),
            Err(Errno(errno)) => Err(Error::System {
                action: "clone a container into its namespaces".into(),
                source: io::Error::from_raw_os_error(errno),
            }),
        }
    }
}

/// This thread's children are born into another process id namespace while this lives.
struct Born(Option<OwnedFd>);

impl Born {
    fn into(namespace: Option<&OwnedFd>) -> Result<Born, Error> {
        let Some(namespace) = namespace else { return Ok(Born(None)) };
        let own =
            std::fs::File::open("/proc/self/ns/pid").map_err(Error::system("open /proc/self/ns/pid"))?;
        set_children_namespace(namespace).map_err(Error::system("join a pid namespace"))?;
        Ok(Born(Some(own.into())))
    }
}

impl Drop for Born {
    fn drop(&mut self) {
        if let Some(own) = &self.0 {
            // Its own is always allowed (setns(2)).
            let _ = set_children_namespace(own);
        }
    }
}

fn set_children_namespace(namespace: &OwnedFd) -> io::Result<()> {
    // SAFETY: changes only where children of this thread are born.
    match unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWPID) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Puts this thread aside, as a descriptor: the kernel takes it for the child's parent, which is to see its end.
fn put_thread(aside: &mut Aside<'_>) -> Result<c_int, Error> {
    thread_local! {
        static THREAD: OnceCell<OwnedFd> = const { OnceCell::new() };
    }
    THREAD.with(|thread| {
        if thread.get().is_none() {
            let opened = pidfd_open(rustix::thread::gettid(), PIDFD_THREAD)
                // Before Linux 6.9 there are only those of whole processes.
                .or_else(|_| pidfd_open(rustix::process::getpid(), PidfdFlags::empty()));
            let _ = thread.set(opened.map_err(Error::system("open a pidfd of bench itself"))?);
        }
        let thread = thread.get().ok_or_else(|| Error::Invalid("bench has no pidfd of itself".into()))?;
        aside.put(thread.as_fd())
    })
}

fn has_ended(pidfd: &OwnedFd) -> bool {
    let mut poll = [rustix::event::PollFd::new(pidfd, rustix::event::PollFlags::IN)];
    let no_time = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    !matches!(rustix::event::poll(&mut poll, Some(&no_time)), Ok(0))
}

/// Waits until the child stands at its gate or has ended.
fn await_gate(report: &Report, pidfd: &OwnedFd) {
    while !report.gated.is_over() && !has_ended(pidfd) {
        report.gated.wait_for(Duration::from_millis(20));
    }
}
