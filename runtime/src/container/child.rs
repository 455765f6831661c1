//! From clone3(2) to the program: what the child does, in order.
//!
//! The child runs on the memory of this program, beside its other threads, or on a copy of it.
//! Either way it makes system calls only: it allocates nothing, takes no lock, and touches neither
//! errno nor anything else that belongs to the launching thread. Everything it reads was made by
//! the parent beforehand.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::AtomicUsize;

use super::compiled::Compiled;
use super::loopback;
use super::process::Command;
use super::report::{Report, Step};
use super::syscall::{Answer, Errno, raw};

/// What the child reads.
pub(super) struct Child<'a> {
    pub(super) setup: &'a Compiled,
    pub(super) command: &'a Command,
    pub(super) env: &'a [*const c_char],
    pub(super) report: &'a Report,
    /// Where it is born with this program's own descriptors: the number all it needs are below.
    pub(super) shared_until: Option<c_int>,
    /// To become descriptors 0, 1, 2 …; none of them among those numbers.
    pub(super) fds: &'a [c_int],
    /// The program, where it is not one inside.
    pub(super) program: Option<c_int>,
    /// Files of cgroups that take who writes to them.
    pub(super) tasks: &'a [c_int],
    /// Detached mounts in place of the root's lower folders.
    pub(super) trees: &'a [c_int],
    pub(super) hostname: Option<&'a CStr>,
    /// Where it keeps descriptors of mounts.
    pub(super) slots: &'a [AtomicUsize],
    /// Whether the parent writes maps or wants to be asked before the root changes.
    pub(super) is_supervised: bool,
    pub(super) holds: bool,
    /// A byte from here lets the program begin.
    pub(super) gate: Option<c_int>,
    /// The parent as a pidfd: the thread where the kernel has those, else the process.
    pub(super) parent: c_int,
    pub(super) ends_with_parent: bool,
}

/// Status of a child whose parent is gone or has given up: there is nobody to serve.
const ABANDONED: c_int = 126;
/// Status of a child that failed; the report says why.
const FAILED: c_int = 127;

/// The child's first and only function.
///
/// # Safety
/// Called by clone3(2) in the fresh child with a pointer to its [`Child`].
pub(super) unsafe extern "C" fn begin(argument: *const c_void) -> ! {
    // SAFETY: the parent passed a Child that lives until this child has executed or ended.
    unsafe {
        let child = &*argument.cast::<Child<'_>>();
        let Errno(errno) = match steps(child) {
            Ok(()) => Errno(libc::ENOEXEC),
            Err(error) => error,
        };
        child.report.fail(errno);
        child.report.held.give_up();
        child.report.gated.give_up();
        exit(FAILED)
    }
}

/// Comes back only where a system call failed.
///
/// # Safety
/// As [`begin`].
unsafe fn steps(child: &Child<'_>) -> Answer<()> {
    let (setup, report) = (child.setup, child.report);
    // SAFETY: system calls on this child alone; every pointer was prepared by the parent.
    unsafe {
        report.begin(Step::Join);
        if let Some(end) = child.shared_until {
            raw!(SYS_close_range, end, libc::c_uint::MAX, libc::CLOSE_RANGE_UNSHARE)?;
        }
        end_with_parent(child)?;
        if child.is_supervised {
            report.call();
        }
        for tasks in child.tasks {
            raw!(SYS_write, *tasks, c"0".as_ptr(), 1)?;
        }

        report.begin(Step::Namespaces);
        setup.namespaces.enter(report)?;
        // As the host's root, who may search the folders above what is shown inside.
        let folder = setup.root.open(child.trees, report)?;
        setup.mounts.open(child.slots, report)?;
        setup.process.name(child.hostname, report)?;
        if setup.loopback {
            loopback::bring_up()?;
        }

        report.begin(Step::Identity);
        if child.is_supervised && !report.mapped.wait_while(|| lives(child.parent)) {
            exit(ABANDONED);
        }
        setup.identity.become_root()?;
        // The kernel forgets it at a change of identity (prctl(2)).
        end_with_parent(child)?;

        report.begin(Step::Root);
        let root = setup.root.make(folder, child.trees, report)?;

        report.begin(Step::FileSystems);
        setup.mounts.place(root, child.slots, report)?;
        setup.devices.make(root, report)?;
        setup.process.set_parameters(report)?;
        setup.process.make_cwd(root, report)?;
        setup.hidden.apply(root, report)?;
        if child.holds {
            report.held.set();
            if !report.resumed.wait_while(|| lives(child.parent)) {
                exit(ABANDONED);
            }
        }
        setup.root.enter(root, report)?;

        report.begin(Step::Privileges);
        setup.process.limit(report)?;
        setup.privileges.bound(report)?;
        setup.identity.become_user(report)?;
        end_with_parent(child)?;
        setup.process.enter_cwd(report)?;
        // Before the filter of calls, which may forbid these.
        for (number, fd) in child.fds.iter().enumerate() {
            raw!(SYS_dup3, *fd, number, 0)?;
        }
        if setup.close_descriptors {
            raw!(SYS_close_range, child.fds.len(), libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)?;
        }
        setup.privileges.drop(report)?;
        if !child.ends_with_parent {
            raw!(SYS_prctl, libc::PR_SET_PDEATHSIG, 0, 0, 0, 0)?;
        }
        if let Some(gate) = child.gate {
            wait_at(gate, child)?;
        }

        report.begin(Step::Exec);
        restore_signals()?;
        setup.privileges.filter_last(report)?;
        if child.ends_with_parent && !lives(child.parent) {
            exit(ABANDONED);
        }
        report.at(setup.executed);
        Err(child.command.execute(child.program.map(|file| file as usize), child.env))
    }
}

/// From here on the parent's death is this child's. One that has died before sends nothing any more.
unsafe fn end_with_parent(child: &Child<'_>) -> Answer<()> {
    // SAFETY: no memory is involved.
    unsafe {
        raw!(SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0)?;
        if !lives(child.parent) {
            exit(ABANDONED);
        }
    }
    Ok(())
}

/// Whether the parent does. While it ends it still does for a moment, and its signal may have been sent before
/// it was asked for: who waits, and who is about to execute, asks again.
fn lives(parent: c_int) -> bool {
    let mut parent = libc::pollfd { fd: parent, events: libc::POLLIN, revents: 0 };
    let no_time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the poll structure and the time live through the call.
    let ended = unsafe { raw!(SYS_ppoll, &raw mut parent, 1, &raw const no_time, 0, 0) };
    ended == Ok(0)
}

/// Waits for the word to begin.
unsafe fn wait_at(gate: c_int, child: &Child<'_>) -> Answer<()> {
    // SAFETY: the byte lives through the call.
    unsafe {
        child.report.gated.set();
        let mut byte = 0u8;
        loop {
            match raw!(SYS_read, gate, &raw mut byte, 1) {
                Ok(1) => return Ok(()),
                Err(Errno(libc::EINTR)) => {}
                _ => exit(ABANDONED),
            }
        }
    }
}

/// What Rust programs ignore (SIGPIPE) and what the launcher holds back would stay so in the program.
unsafe fn restore_signals() -> Answer<()> {
    // The kernel's sigaction and sigset, all zeroes: the default action, no signal.
    let (default, none) = ([0usize; 4], 0u64);
    // SAFETY: both live through the calls and have the kernel's sizes.
    unsafe {
        raw!(SYS_rt_sigaction, libc::SIGPIPE, default.as_ptr(), 0, size_of_val(&none))?;
        raw!(SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const none, 0, size_of_val(&none)).map(drop)
    }
}

unsafe fn exit(status: c_int) -> ! {
    loop {
        // SAFETY: ends this process, whose only thread this is.
        let _ = unsafe { raw!(SYS_exit_group, status) };
    }
}
