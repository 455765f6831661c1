//! Which namespaces the child is born into, makes itself, or joins (namespaces(7)).

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::place::cstring;
use super::report::{Label, Labels, Report};
use super::setup::{Namespace, Namespaces as Wanted, Setup};
use super::syscall::{Answer, raw};
use crate::Error;

/// From this kernel on a program that is executed gets the time namespace made for its children ("fs/exec:
/// switch timens when a task gets a new mm"). Before, as in Debian's 6.1, it stays in the old one, where it
/// cannot even begin a thread (clone(2), EINVAL): it has to be brought there, from memory of its own.
const TIME_KERNEL: (u32, u32) = (6, 3);

/// What to do about namespaces.
#[derive(Debug)]
pub(super) struct Namespaces {
    /// Flags of clone3(2): user and process ids have to be new at birth.
    pub(super) born: u64,
    /// The process id namespace of somebody to be born into.
    pub(super) born_pid: Option<OwnedFd>,
    joined: Vec<(Label, OwnedFd)>,
    made: Label,
    /// Flags of unshare(2).
    unshared: u64,
    /// To enter the time namespace that was made, where executing does not.
    time_entered: Option<Label>,
    time_offsets: Option<(Label, CString)>,
}

impl Namespaces {
    pub(super) fn new(setup: &Setup, labels: &mut Labels) -> Result<Namespaces, Error> {
        let wanted = &setup.namespaces;
        if wanted.user == Namespace::New && setup.id_maps.is_none() {
            return Err(Error::Invalid("a new user namespace needs id maps".into()));
        }
        if wanted.user != Namespace::New && setup.id_maps.is_some() {
            return Err(Error::Invalid("id maps need a new user namespace".into()));
        }
        let flag =
            |namespace: &Namespace, flag: i32| if *namespace == Namespace::New { flag as u64 } else { 0 };
        let unshared = [
            (&wanted.network, libc::CLONE_NEWNET),
            (&wanted.uts, libc::CLONE_NEWUTS),
            (&wanted.mount, libc::CLONE_NEWNS),
            (&wanted.ipc, libc::CLONE_NEWIPC),
            (&wanted.cgroup, libc::CLONE_NEWCGROUP),
            (&wanted.time, libc::CLONE_NEWTIME),
        ];
        // Users first: who joins them may join what they own.
        let joined = [
            (&wanted.user, "user"),
            (&wanted.network, "net"),
            (&wanted.uts, "uts"),
            (&wanted.ipc, "ipc"),
            (&wanted.cgroup, "cgroup"),
            (&wanted.mount, "mnt"),
        ];
        if matches!(wanted.time, Namespace::Join(_)) {
            return Err(Error::Invalid("joining a time namespace is not carried out".into()));
        }
        let joined = joined.iter().filter_map(|(namespace, kind)| match namespace {
            Namespace::Join(path) => {
                let label = labels.add(format!("join the {kind} namespace {}", path.display()));
                Some(open(path, kind).map(|file| (label, file)))
            }
            Namespace::Host | Namespace::New => None,
        });
        Ok(Namespaces {
            born: flag(&wanted.user, libc::CLONE_NEWUSER) | flag(&wanted.pid, libc::CLONE_NEWPID),
            born_pid: match &wanted.pid {
                Namespace::Join(path) => Some(open(path, "pid")?),
                Namespace::Host | Namespace::New => None,
            },
            joined: joined.collect::<Result<_, _>>()?,
            made: labels.add("make new namespaces"),
            unshared: unshared.iter().fold(0, |flags, (namespace, bit)| flags | flag(namespace, *bit)),
            time_entered: (wanted.time == Namespace::New && !execution_enters_time())
                .then(|| labels.add("enter the new time namespace")),
            time_offsets: time_offsets(wanted, labels)?,
        })
    }

    /// Whether any is somebody else's.
    pub(super) fn joins(&self) -> bool {
        self.born_pid.is_some() || !self.joined.is_empty()
    }

    /// Whether the child needs memory of its own: no other may enter a time namespace (setns(2), EUSERS).
    pub(super) fn needs_memory(&self) -> bool {
        self.time_entered.is_some()
    }

    /// Joins and makes what is not there since birth.
    ///
    /// # Safety
    /// In the child.
    pub(super) unsafe fn enter(&self, report: &Report) -> Answer<()> {
        // SAFETY: constant strings; the descriptors were copied into this child.
        unsafe {
            for (label, file) in &self.joined {
                report.at(*label);
                raw!(SYS_setns, file.as_raw_fd(), 0)?;
            }
            report.at(self.made);
            if self.unshared != 0 {
                raw!(SYS_unshare, self.unshared)?;
            }
            if let Some((label, text)) = &self.time_offsets {
                report.at(*label);
                write_file(c"/proc/self/timens_offsets", text)?;
            }
            if let Some(label) = self.time_entered {
                report.at(label);
                let path = c"/proc/self/ns/time_for_children".as_ptr();
                let file = raw!(SYS_openat, libc::AT_FDCWD, path, libc::O_RDONLY | libc::O_CLOEXEC)?;
                let entered = raw!(SYS_setns, file, libc::CLONE_NEWTIME);
                let _ = raw!(SYS_close, file);
                entered?;
            }
        }
        Ok(())
    }
}

/// Writes a text to a file of the kernel's, at once.
///
/// # Safety
/// In the child.
pub(super) unsafe fn write_file(path: &std::ffi::CStr, text: &std::ffi::CStr) -> Answer<()> {
    // SAFETY: both strings live through the calls; the descriptor is this child's.
    unsafe {
        let flags = libc::O_WRONLY | libc::O_CLOEXEC;
        let file = raw!(SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags)?;
        let written = raw!(SYS_write, file, text.as_ptr(), text.count_bytes());
        let _ = raw!(SYS_close, file);
        written.map(drop)
    }
}

fn open(path: &Path, kind: &str) -> Result<OwnedFd, Error> {
    // Without waiting: in the place of a namespace there may be a pipe.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = file.map_err(Error::system(format!("open the {kind} namespace {}", path.display())))?;
    // NS_GET_NSTYPE (ioctl_nsfs(2)): a path of another kind must not be joined in its place.
    // SAFETY: the request takes no argument.
    let found = unsafe { libc::ioctl(file.as_raw_fd(), libc::NS_GET_NSTYPE) };
    let wanted = match kind {
        "user" => libc::CLONE_NEWUSER,
        "net" => libc::CLONE_NEWNET,
        "uts" => libc::CLONE_NEWUTS,
        "ipc" => libc::CLONE_NEWIPC,
        "cgroup" => libc::CLONE_NEWCGROUP,
        "pid" => libc::CLONE_NEWPID,
        _ => libc::CLONE_NEWNS,
    };
    if found == wanted {
        return Ok(file.into());
    }
    Err(Error::Invalid(format!("{} is not a namespace of kind {kind}", path.display())))
}

/// Whether a program can have a time namespace of its own here: what locks its file is else seen by
/// every other container.
pub(super) fn has_time() -> bool {
    Path::new("/proc/self/ns/time").exists()
}

#[cfg(test)]
thread_local! {
    /// Whether this thread is to do as on a kernel older than [`TIME_KERNEL`].
    pub(super) static OF_OLD_KERNEL: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Not told to be older than [`TIME_KERNEL`].
fn execution_enters_time() -> bool {
    #[cfg(test)]
    if OF_OLD_KERNEL.get() {
        return false;
    }
    let release = rustix::system::uname();
    let release = release.release().to_string_lossy();
    let mut numbers = release.split(|sign: char| !sign.is_ascii_digit()).map(|number| number.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(Some(major)), Some(Some(minor))) => (major, minor) >= TIME_KERNEL,
        _ => true,
    }
}

fn time_offsets(wanted: &Wanted, labels: &mut Labels) -> Result<Option<(Label, CString)>, Error> {
    let offsets = wanted.time_offsets;
    let clocks = [("monotonic", offsets.monotonic), ("boottime", offsets.boottime)];
    if wanted.time != Namespace::New {
        if clocks.iter().any(|(_, offset)| offset.is_some()) {
            return Err(Error::Invalid("time offsets need a new time namespace".into()));
        }
        return Ok(None);
    }
    let lines = clocks.iter().filter_map(|(clock, offset)| {
        offset.map(|(seconds, nanoseconds)| format!("{clock} {seconds} {nanoseconds}\n"))
    });
    let text: String = lines.collect();
    if text.is_empty() {
        return Ok(None);
    }
    Ok(Some((labels.add("write /proc/self/timens_offsets"), cstring(text)?)))
}
