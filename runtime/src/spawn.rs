//! Starting a plain program without copying this one.
//!
//! fork(2) copies the page tables of the parent, whose size then becomes part of every start that
//! is measured. A child that shares the memory until it executes (vfork(2)'s way) costs the same
//! whatever the parent has grown to.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use crate::cgroup::{CLONE_INTO_CGROUP, Entrance};
use crate::container::syscall::{Errno, clone3};

/// Lowest descriptor number of the copies made before the child arranges its own.
const ASIDE: c_int = 64;
/// Bytes of stack for the child between clone and exec.
const STACK_BYTES: usize = 64 * 1024;
/// [`crate::victim::OOM_SCORE_ADJ`] as the kernel reads it.
const GO_FIRST: &str = "1000";
const _: () = assert!(crate::victim::OOM_SCORE_ADJ == 1000);
/// Most descriptors a child gets.
const MAX_FDS: usize = 32;

/// What to execute and what it gets.
pub(crate) struct Program<'a> {
    /// The program file.
    pub(crate) file: BorrowedFd<'a>,
    /// Arguments, the program's name first.
    pub(crate) argv: &'a [CString],
    /// Environment.
    pub(crate) env: &'a [CString],
    /// The child's descriptors 0, 1, 2 …: at least the first three.
    pub(crate) fds: &'a [BorrowedFd<'a>],
    /// Whom it runs as, without a way back; `None` = as this program.
    pub(crate) user: Option<&'a User>,
    /// The groups it is in from its beginning.
    pub(crate) cgroup: Option<&'a Entrance>,
}

/// A user of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: libc::uid_t,
    pub(crate) gid: libc::gid_t,
    /// Supplementary groups.
    pub(crate) groups: Vec<libc::gid_t>,
}

/// A program to be executed by its path, in another mount namespace. By its path, because a script
/// cannot be executed as an open file that closes on exec (execveat(2), "BUGS").
pub(crate) struct Elsewhere<'a> {
    /// A mount namespace (`/proc/PID/ns/mnt`), which becomes the child's.
    pub(crate) mounts: BorrowedFd<'a>,
    /// The program's absolute path in it.
    pub(crate) path: &'a CStr,
    /// As of [`Program`].
    pub(crate) argv: &'a [CString],
    /// As of [`Program`].
    pub(crate) env: &'a [CString],
    /// As of [`Program`].
    pub(crate) fds: &'a [BorrowedFd<'a>],
}

/// Everything the child touches, made before it exists.
struct Child<'a> {
    mounts: Option<c_int>,
    file: c_int,
    path: *const c_char,
    flags: c_int,
    argv: Vec<*const c_char>,
    env: Vec<*const c_char>,
    fds: Vec<OwnedFd>,
    user: Option<&'a User>,
    cgroup: Option<&'a Entrance>,
    parent: libc::pid_t,
    errno: c_int,
}

/// Starts the program in a session of its own, to be killed when the calling thread ends, and
/// returns its pidfd.
///
/// # Errors
/// What clone(2) or the child's steps up to execveat(2) answered.
pub(crate) fn spawn(program: &Program<'_>) -> io::Result<OwnedFd> {
    start(Child {
        mounts: None,
        file: program.file.as_raw_fd(),
        path: c"".as_ptr(),
        flags: libc::AT_EMPTY_PATH,
        argv: pointers(program.argv),
        env: pointers(program.env),
        fds: aside(program.fds)?,
        user: program.user,
        cgroup: program.cgroup,
        parent: own_pid(),
        errno: 0,
    })
}

/// [`spawn`] in another mount namespace.
///
/// # Errors
/// As [`spawn`].
pub(crate) fn spawn_elsewhere(program: &Elsewhere<'_>) -> io::Result<OwnedFd> {
    start(Child {
        mounts: Some(program.mounts.as_raw_fd()),
        file: libc::AT_FDCWD,
        path: program.path.as_ptr(),
        flags: 0,
        argv: pointers(program.argv),
        env: pointers(program.env),
        fds: aside(program.fds)?,
        user: None,
        cgroup: None,
        parent: own_pid(),
        errno: 0,
    })
}

fn own_pid() -> libc::pid_t {
    // SAFETY: always succeeds (getpid(2)).
    unsafe { libc::getpid() }
}

/// Copies of the descriptors, out of the way of the numbers they will get.
fn aside(fds: &[BorrowedFd<'_>]) -> io::Result<Vec<OwnedFd>> {
    debug_assert!((3..=MAX_FDS).contains(&fds.len()));
    fds.iter().map(|fd| crate::descriptor::copy_above(fd, ASIDE)).collect()
}

fn start(mut child: Child<'_>) -> io::Result<OwnedFd> {
    let mut stack = vec![0u8; STACK_BYTES];
    let mut pidfd: RawFd = -1;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD;
    // SAFETY: plain data for which all zeroes is valid.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = flags as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    arguments.pidfd = (&raw mut pidfd) as u64;
    arguments.stack = stack.as_mut_ptr() as u64;
    // The end of the stack is where the child begins: on a multiple of 16 (System V ABI, 3.2.2).
    arguments.stack_size = (stack.as_ptr_range().end.addr() & !0xf) as u64 - arguments.stack;
    if let Some(cgroup) = child.cgroup.and_then(Entrance::born_into) {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = cgroup.as_raw_fd() as u64;
    }
    let blocked = Blocked::all();
    // SAFETY: CLONE_VFORK suspends this thread until the child has executed or ended, so `child` and
    // the stack outlive it and nobody else touches them; the child makes system calls only.
    let answer = unsafe { clone3(&mut arguments, begin, (&raw mut child).cast::<c_void>()) };
    crate::dumpable::give_back();
    drop(blocked);
    answer.map_err(|Errno(errno)| io::Error::from_raw_os_error(errno))?;
    // SAFETY: CLONE_PIDFD has stored a fresh descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    // SAFETY: written by the child before it ended; volatile because this thread did not write it.
    let errno = unsafe { ptr::read_volatile(&child.errno) };
    if errno != 0 {
        let options = rustix::process::WaitIdOptions::EXITED;
        let _ = rustix::process::waitid(
            rustix::process::WaitId::PidFd(std::os::fd::AsFd::as_fd(&pidfd)),
            options,
        );
        return Err(io::Error::from_raw_os_error(errno));
    }
    Ok(pidfd)
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| CStr::as_ptr(string)).chain([ptr::null()]).collect()
}

unsafe extern "C" fn begin(argument: *const c_void) -> ! {
    let child = argument.cast_mut().cast::<Child<'_>>();
    // SAFETY: the parent passed a Child that it does not touch while it is suspended. System calls
    // only; errno is the suspended parent's and is overwritten, which it expects.
    unsafe {
        let _ = become_program(&*child);
        ptr::write_volatile(&raw mut (*child).errno, *libc::__errno_location());
        libc::_exit(127)
    }
}

/// Returns only where a step failed, with its reason in errno.
///
/// # Safety
/// To be called in a fresh child only.
unsafe fn become_program(child: &Child<'_>) -> Option<()> {
    let done = |result: c_int| (result >= 0).then_some(());
    // SAFETY: system calls on this child alone; all pointers were prepared by the parent.
    unsafe {
        done(libc::setsid())?;
        go_first()?;
        // While it has the right to.
        child.cgroup.map_or(Some(()), Entrance::enter)?;
        if let Some(user) = &child.user {
            // The system calls themselves: the C library's functions of these names would change
            // the parent's threads too (nptl(7)), whose memory this is.
            let call = |result: libc::c_long| done(result as c_int);
            call(libc::syscall(libc::SYS_setgroups, user.groups.len(), user.groups.as_ptr()))?;
            call(libc::syscall(libc::SYS_setresgid, user.gid, user.gid, user.gid))?;
            call(libc::syscall(libc::SYS_setresuid, user.uid, user.uid, user.uid))?;
            done(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        }
        // Behind the change of user, which clears it (prctl(2)).
        done(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
        // The parent may have ended before the line above: then nobody will send the signal.
        if libc::getppid() != child.parent {
            *libc::__errno_location() = libc::ECHILD;
            return None;
        }
        if let Some(mounts) = child.mounts {
            done(libc::setns(mounts, libc::CLONE_NEWNS))?;
        }
        for (number, fd) in child.fds.iter().enumerate() {
            done(libc::dup2(fd.as_raw_fd(), number as c_int))?;
        }
        let first = child.fds.len() as libc::c_uint;
        done(libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
            as c_int)?;
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        // SIGPIPE is ignored in Rust programs, and what is ignored stays so across execve(2).
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        done(libc::sigprocmask(libc::SIG_SETMASK, &none, ptr::null_mut()))?;
        libc::syscall(
            libc::SYS_execveat,
            child.file,
            child.path,
            child.argv.as_ptr(),
            child.env.as_ptr(),
            child.flags,
        );
    }
    None
}

/// Makes this child one that ends before its parent where memory is out.
///
/// # Safety
/// In the child.
unsafe fn go_first() -> Option<()> {
    // SAFETY: constant strings; the descriptor is this child's.
    unsafe {
        let file = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        let written = if file < 0 { -1 } else { libc::write(file, GO_FIRST.as_ptr().cast(), GO_FIRST.len()) };
        libc::close(file);
        (written > 0).then_some(())
    }
}

/// All signals of this thread held back: a handler that ran in the child would run on our memory.
pub(crate) struct Blocked(libc::sigset_t);

impl Blocked {
    /// From now until it is dropped.
    pub(crate) fn all() -> Blocked {
        // SAFETY: both sets are initialised by the calls; acts on this thread's mask only.
        unsafe {
            let (mut all, mut before): (libc::sigset_t, libc::sigset_t) =
                (std::mem::zeroed(), std::mem::zeroed());
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
            Blocked(before)
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: restores the mask that was read from the same thread.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, ptr::null_mut()) };
    }
}
