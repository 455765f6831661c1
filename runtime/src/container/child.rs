//! From clone3(2) to execveat(2).
//!
//! Between the two the child makes system calls only: it is a copy of a program with several
//! threads, whose allocator and locks may be in any state (signal-safety(7)). Everything it needs
//! is made by the parent beforehand, on the parent's stack and heap, of which it has a copy.

use std::ffi::{CStr, CString, c_char, c_int};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use super::report::{Report, STEPS};
use super::{MAP_COUNT, MAP_FIRST};
use crate::Error;
use crate::cgroup::Cgroup;

/// Hidden from the inside: the OCI engines' usual list.
pub(super) const MASKED: [&str; 9] = [
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
/// Visible, not writable.
pub(super) const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
/// Numbers of the capabilities kept (capabilities(7)): chown, dac_override, fowner, kill, setgid,
/// setuid, net_bind_service. All of them count in the container's own user namespace only.
pub(super) const KEPT_CAPABILITIES: [u32; 7] = [0, 1, 3, 5, 6, 7, 10];

/// The last capability the kernel may know; PR_CAPBSET_DROP answers EINVAL beyond its own last.
const LAST_CAPABILITY: u32 = 63;
/// Lowest descriptor number of the copies made before the child arranges its own.
const ASIDE: c_int = 64;
/// The working directory is the image's folder; the upper layer goes away with the mount namespace.
const OVERLAY: &CStr = c"userxattr,upperdir=/tmp/up,workdir=/tmp/work,lowerdir=.";
const DEVICES: [&str; 6] = ["full", "null", "random", "tty", "urandom", "zero"];

/// What is to be started.
pub(super) struct Request<'a> {
    pub(super) program: BorrowedFd<'a>,
    pub(super) plan: String,
    /// Descriptors 0, 1, 2 … of the program.
    pub(super) fds: &'a [BorrowedFd<'a>],
    pub(super) hostname: &'a str,
    pub(super) rootfs: Option<&'a CStr>,
    pub(super) cgroup: &'a Cgroup,
}

/// A child that has become the program.
pub(super) struct Started {
    pub(super) pid: i32,
    pub(super) pidfd: OwnedFd,
    pub(super) marks: Vec<(&'static str, u64)>,
}

/// Everything the child reads, made before it exists.
struct Child {
    program: c_int,
    argv: Vec<*const c_char>,
    fds: Vec<OwnedFd>,
    hostname: CString,
    rootfs: Option<CString>,
    mounts: Vec<Bind>,
    masked: Vec<CString>,
    read_only: Vec<CString>,
    release: OwnedFd,
    alive: OwnedFd,
}

/// A device of the host shown inside.
struct Bind {
    source: CString,
    target: CString,
}

/// Starts the child and returns once it has executed the program.
pub(super) fn start(request: &Request<'_>) -> Result<Started, Error> {
    let report = Report::new().map_err(Error::system("map a page for a container's report"))?;
    let (release_read, release_write) = pipe()?;
    let (alive_read, alive_write) = pipe()?;
    let strings = [c"guest".into(), c"fd:3".into(), cstring(request.plan.as_str())?];
    let child = Child::new(request, release_read, alive_write, &strings)?;

    let clone = clone_into_namespaces();
    let (pid, pidfd) = match clone.map_err(Error::system("clone a container into its namespaces"))? {
        Some(parent) => parent,
        None => {
            // The child. It must not keep the parent's end, or it would never see the parent's death.
            drop_raw(&release_write);
            drop_raw(&alive_read);
            become_container(&child, &report);
        }
    };
    // The parent's copies, so that the pipe below ends with the child's.
    drop(child);
    let settled = write_map(pid, "uid_map")
        .and_then(|()| write_map(pid, "gid_map"))
        .and_then(|()| request.cgroup.add(pid));
    if settled.is_ok() {
        // A child that has died meanwhile leaves EPIPE here and its reason in the report.
        let _ = rustix::io::write(&release_write, b"g");
    }
    drop(release_write);
    // Closed by the kernel at exec, or at the child's end.
    let _ = rustix::io::read(&alive_read, &mut [0u8; 1]);
    let failure = settled.err().or_else(|| {
        let (step, source) = report.failure()?;
        Some(Error::System { action: format!("start a container (step {step})"), source })
    });
    if let Some(error) = failure {
        let _ = rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL);
        let options = rustix::process::WaitIdOptions::EXITED;
        let _ = rustix::process::waitid(
            rustix::process::WaitId::PidFd(std::os::fd::AsFd::as_fd(&pidfd)),
            options,
        );
        return Err(error);
    }
    Ok(Started { pid, pidfd, marks: report.marks() })
}

impl Child {
    fn new(
        request: &Request<'_>,
        release: OwnedFd,
        alive: OwnedFd,
        strings: &[CString],
    ) -> Result<Child, Error> {
        let fds = request.fds.iter().map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, ASIDE));
        let fds =
            fds.collect::<Result<_, _>>().map_err(Error::system("duplicate a container's descriptors"))?;
        let device = |name: &&str| {
            Ok(Bind { source: cstring(format!("/dev/{name}"))?, target: cstring(format!("dev/{name}"))? })
        };
        let relative = |path: &&str| cstring(path.trim_start_matches('/'));
        Ok(Child {
            program: request.program.as_raw_fd(),
            argv: strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect(),
            fds,
            hostname: cstring(request.hostname)?,
            rootfs: request.rootfs.map(CStr::to_owned),
            mounts: DEVICES.iter().map(device).collect::<Result<_, Error>>()?,
            masked: MASKED.iter().map(relative).collect::<Result<_, _>>()?,
            read_only: READ_ONLY.iter().map(relative).collect::<Result<_, _>>()?,
            release,
            alive,
        })
    }
}

fn cstring(text: impl Into<Vec<u8>>) -> Result<CString, Error> {
    CString::new(text).map_err(|error| Error::Invalid(error.to_string()))
}

fn pipe() -> Result<(OwnedFd, OwnedFd), Error> {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(Error::system("make a pipe"))
}

fn write_map(pid: i32, file: &str) -> Result<(), Error> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::write(&path, format!("0 {MAP_FIRST} {MAP_COUNT}"))
        .map_err(Error::system(format!("write {path}")))
}

/// clone3(2) into seven namespaces: `None` in the child, its id and pidfd in the parent. All
/// signals stay blocked in the child until it executes, so that no handler of ours runs there.
fn clone_into_namespaces() -> io::Result<Option<(i32, OwnedFd)>> {
    let mut pidfd: c_int = -1;
    // The cgroup namespace is made later: its root is the cgroup at the time it is made.
    let flags = libc::CLONE_PIDFD
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUSER;
    // SAFETY: plain data for which all zeroes is valid.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = flags as u64;
    arguments.pidfd = ptr::from_mut(&mut pidfd) as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: without CLONE_VM the child runs on its own copy of this stack; the masks are
    // initialised by the calls and the parent's is restored.
    unsafe {
        let (mut all, mut before): (libc::sigset_t, libc::sigset_t) =
            (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        let pid = libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<libc::clone_args>());
        if pid == 0 {
            return Ok(None);
        }
        let error = io::Error::last_os_error();
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut());
        if pid < 0 { Err(error) } else { Ok(Some((pid as i32, OwnedFd::from_raw_fd(pidfd)))) }
    }
}

fn drop_raw(fd: &OwnedFd) {
    // SAFETY: in the child, whose copy of this descriptor nothing uses any more; it never drops.
    unsafe { libc::close(fd.as_raw_fd()) };
}

/// In the child: never returns.
fn become_container(child: &Child, report: &Report) -> ! {
    // SAFETY: this is the fresh child of clone_into_namespaces; system calls only.
    unsafe {
        let _ = steps(child, report);
        report.fail(*libc::__errno_location());
        libc::_exit(127)
    }
}

fn done(result: impl Into<i64>) -> Option<()> {
    (result.into() >= 0).then_some(())
}

/// Returns only where a system call failed, with its reason in errno.
///
/// # Safety
/// To be called in a fresh child only.
unsafe fn steps(child: &Child, report: &Report) -> Option<()> {
    // SAFETY: system calls on this child alone; every pointer was prepared by the parent.
    unsafe {
        report.begin(0);
        let mut go = 0u8;
        if libc::read(child.release.as_raw_fd(), (&raw mut go).cast(), 1) != 1 {
            // The parent is gone or has given up: there is nobody to serve.
            libc::_exit(126);
        }
        report.begin(1);
        if let Some(rootfs) = &child.rootfs {
            // As the host's root, who may search the folders above it; the overlay then takes it as
            // ".". From here and not from the parent, because a lower layer must be of this mount namespace.
            done(libc::chdir(rootfs.as_ptr()))?;
        }
        done(libc::unshare(libc::CLONE_NEWCGROUP))?;
        // By number: the C library's own versions wait for the parent's other threads, which do not
        // exist here (nptl(7), "NPTL and POSIX nonconformance").
        done(libc::syscall(libc::SYS_setgroups, 0, ptr::null::<libc::gid_t>()))?;
        done(libc::syscall(libc::SYS_setresgid, 0, 0, 0))?;
        done(libc::syscall(libc::SYS_setresuid, 0, 0, 0))?;
        // After the last change of identity, which would clear it (prctl(2)).
        done(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
        // A parent that died before that line sends nothing any more; its end of this pipe is closed.
        let mut reader = libc::pollfd { fd: child.alive.as_raw_fd(), events: 0, revents: 0 };
        if libc::poll(&mut reader, 1, 0) != 0 {
            libc::_exit(126);
        }
        done(libc::setsid())?;
        done(libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING as libc::c_long, 0, 0, 0, 0))?;
        done(libc::sethostname(child.hostname.as_ptr(), child.hostname.count_bytes()))?;
        loopback_up()?;
        report.begin(2);
        root(child)?;
        report.begin(3);
        file_systems(child)?;
        report.begin(4);
        privileges()?;
        for (number, fd) in child.fds.iter().enumerate() {
            done(libc::dup2(fd.as_raw_fd(), number as c_int))?;
        }
        let first = child.fds.len() as libc::c_uint;
        done(libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC))?;
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        report.begin(STEPS.len() - 1);
        done(libc::sigprocmask(libc::SIG_SETMASK, &none, ptr::null_mut()))?;
        let env = [ptr::null::<c_char>()];
        let argv = child.argv.as_ptr();
        libc::syscall(
            libc::SYS_execveat,
            child.program,
            c"".as_ptr(),
            argv,
            env.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
    }
    None
}

unsafe fn loopback_up() -> Option<()> {
    // SAFETY: as in `steps`; the request is plain data and lives through the call.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        done(socket)?;
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as c_char;
        request.ifr_name[1] = b'o' as c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        done(libc::ioctl(socket, libc::SIOCSIFFLAGS, &request))?;
        done(libc::close(socket))
    }
}

/// Makes the new root and stands in it; relative paths are inside, absolute ones still outside.
unsafe fn root(child: &Child) -> Option<()> {
    // SAFETY: as in `steps`.
    unsafe {
        let none = ptr::null();
        done(libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()))?;
        // /tmp of this mount namespace only: the mount is seen by nobody else.
        let flags = libc::MS_NOSUID | libc::MS_NODEV;
        let options = c"mode=0755,size=64m".as_ptr().cast();
        done(libc::mount(c"none".as_ptr(), c"/tmp".as_ptr(), c"tmpfs".as_ptr(), flags, options))?;
        let place = if child.rootfs.is_some() {
            for folder in [c"/tmp/up", c"/tmp/work", c"/tmp/root"] {
                done(libc::mkdir(folder.as_ptr(), 0o755))?;
            }
            let kind = c"overlay".as_ptr();
            let overlay = OVERLAY.as_ptr().cast();
            done(libc::mount(kind, c"/tmp/root".as_ptr(), kind, flags, overlay))?;
            c"/tmp/root"
        } else {
            c"/tmp"
        };
        done(libc::chdir(place.as_ptr()))?;
        for folder in [c"dev", c"proc", c"sys", c"tmp"] {
            real_folder(folder)?;
        }
        Some(())
    }
}

/// A folder that exists as such: an image's symbolic link in its place would lead mounts astray
/// (CVE-2019-19921, CVE-2021-30465).
unsafe fn real_folder(path: &CStr) -> Option<()> {
    // SAFETY: as in `steps`.
    unsafe {
        if libc::mkdir(path.as_ptr(), 0o755) == 0 {
            return Some(());
        }
        let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_DIRECTORY | libc::O_CLOEXEC;
        let fd = libc::open(path.as_ptr(), flags);
        done(fd)?;
        done(libc::close(fd))
    }
}

unsafe fn file_systems(child: &Child) -> Option<()> {
    // SAFETY: as in `steps`.
    unsafe {
        let none: *const c_char = ptr::null();
        let quiet = libc::MS_NOSUID | libc::MS_NOEXEC;
        let mount = |kind: &CStr, target: &CStr, flags, options: *const c_char| {
            done(libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, options.cast()))
        };
        mount(c"proc", c"proc", quiet | libc::MS_NODEV, none)?;
        mount(c"sysfs", c"sys", quiet | libc::MS_NODEV | libc::MS_RDONLY, none)?;
        mount(c"tmpfs", c"dev", libc::MS_NOSUID, c"mode=0755,size=64k".as_ptr())?;
        for device in &child.mounts {
            let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY | libc::O_CLOEXEC;
            let fd = libc::open(device.target.as_ptr(), flags, 0o666);
            done(fd)?;
            done(libc::close(fd))?;
            bind(&device.source, &device.target)?;
        }
        for folder in [c"dev/pts", c"dev/shm", c"dev/mqueue"] {
            done(libc::mkdir(folder.as_ptr(), 0o755))?;
        }
        mount(c"devpts", c"dev/pts", quiet, c"newinstance,ptmxmode=0666,mode=0620".as_ptr())?;
        mount(c"tmpfs", c"dev/shm", quiet | libc::MS_NODEV, c"mode=1777,size=64m".as_ptr())?;
        mount(c"mqueue", c"dev/mqueue", quiet | libc::MS_NODEV, none)?;
        for (text, link) in [(c"/proc/self/fd", c"dev/fd"), (c"pts/ptmx", c"dev/ptmx")] {
            done(libc::symlink(text.as_ptr(), link.as_ptr()))?;
        }
        for path in &child.read_only {
            absent_or(bind(path, path))?;
            absent_or(read_only(path))?;
        }
        for path in &child.masked {
            // A file is covered by /dev/null, a folder by an empty file system.
            if bind(c"/dev/null", path).is_none() {
                if *libc::__errno_location() == libc::ENOTDIR {
                    mount(c"tmpfs", path, quiet | libc::MS_NODEV | libc::MS_RDONLY, c"size=0k".as_ptr())?;
                } else {
                    absent_or(None)?;
                }
            }
        }
        // The old root is stacked below the new one and taken away (pivot_root(2), "pivot_root(".", ".")").
        done(libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()))?;
        done(libc::umount2(c".".as_ptr(), libc::MNT_DETACH))?;
        done(libc::chdir(c"/".as_ptr()))?;
        if child.rootfs.is_none() {
            let flags = libc::MS_REMOUNT | libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV;
            done(libc::mount(none, c"/".as_ptr(), none, flags, c"mode=0755,size=64m".as_ptr().cast()))?;
        }
        Some(())
    }
}

/// What the kernel does not have needs no hiding; anything else that failed, failed.
unsafe fn absent_or(result: Option<()>) -> Option<()> {
    // SAFETY: reads errno of this process.
    result.or_else(|| (unsafe { *libc::__errno_location() } == libc::ENOENT).then_some(()))
}

unsafe fn bind(source: &CStr, target: &CStr) -> Option<()> {
    // SAFETY: as in `steps`.
    done(unsafe { libc::mount(source.as_ptr(), target.as_ptr(), ptr::null(), libc::MS_BIND, ptr::null()) })
}

unsafe fn read_only(target: &CStr) -> Option<()> {
    let flags = libc::MS_BIND
        | libc::MS_REMOUNT
        | libc::MS_RDONLY
        | libc::MS_NOSUID
        | libc::MS_NODEV
        | libc::MS_NOEXEC;
    // SAFETY: as in `steps`.
    done(unsafe { libc::mount(ptr::null(), target.as_ptr(), ptr::null(), flags, ptr::null()) })
}

/// No way to more than the kept capabilities: not by executing, not by inheriting.
unsafe fn privileges() -> Option<()> {
    // SAFETY: as in `steps`; header and data have the layout of capset(2), version 3.
    unsafe {
        for capability in (0..=LAST_CAPABILITY).filter(|number| !KEPT_CAPABILITIES.contains(number)) {
            if libc::prctl(libc::PR_CAPBSET_DROP, capability) != 0
                && *libc::__errno_location() != libc::EINVAL
            {
                return None;
            }
        }
        let kept = KEPT_CAPABILITIES.iter().fold(0u32, |set, number| set | 1 << number);
        let header = [0x2008_0522_u32, 0];
        // effective, permitted, inheritable of capabilities 0–31, then 32–63.
        let data = [kept, kept, 0, 0, 0, 0];
        done(libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()))?;
        done(libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))?;
        done(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        libc::umask(0o022);
        Some(())
    }
}
