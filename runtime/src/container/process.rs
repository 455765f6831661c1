//! The program itself: where it is found, what it is given, its limits.

use std::ffi::{CStr, CString, c_char};
use std::ptr;

use super::namespace::write_file;
use super::place::{Links, Missing, Place, cstring};
use super::report::{Label, Labels, Report};
use super::setup::{Namespace, Setup};
use super::syscall::{Answer, Errno, raw};
use crate::Error;

/// Where programs are looked for when the environment does not say (execvp(3)).
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// What is set on the process before its privileges go.
#[derive(Debug)]
pub(super) struct Process {
    sysctls: Vec<(Label, CString, CString)>,
    hostname: Option<CString>,
    domainname: Option<CString>,
    names: Label,
    cwd: Place,
    cwd_path: CString,
    cwd_label: Label,
    rlimits: Vec<(Label, u32, [u64; 2])>,
    nice: Option<i32>,
    umask: u32,
    own_keyring: bool,
}

impl Process {
    pub(super) fn new(setup: &Setup, labels: &mut Labels) -> Result<Process, Error> {
        let process = &setup.process;
        if setup.namespaces.uts == Namespace::Host && (setup.hostname.is_some() || setup.domainname.is_some())
        {
            return Err(Error::Invalid("a host or domain name needs a UTS namespace of its own".into()));
        }
        let sysctls = setup.sysctls.iter().map(|(name, value)| sysctl(setup, name, value, labels));
        let sysctls = sysctls.collect::<Result<_, _>>()?;
        let name = |name: &Option<String>| name.as_deref().map(cstring).transpose();
        let rlimits = process.rlimits.iter().map(|limit| {
            let label = labels.add(format!("set the resource limit {}", limit.resource));
            (label, limit.resource, [limit.soft, limit.hard])
        });
        let rlimits = rlimits.collect();
        Ok(Process {
            sysctls,
            hostname: name(&setup.hostname)?,
            domainname: name(&setup.domainname)?,
            names: labels.add("set the host and domain name"),
            cwd: Place::new(&process.cwd, Links::Followed)?,
            cwd_path: cstring(process.cwd.as_os_str().as_encoded_bytes())?,
            cwd_label: labels.add(format!("enter the working directory {} inside", process.cwd.display())),
            rlimits,
            nice: process.nice,
            umask: process.umask,
            own_keyring: process.own_keyring,
        })
    }

    /// Session, keyring and names.
    ///
    /// # Safety
    /// In the child, in its namespaces; `hostname` goes before the setup's.
    pub(super) unsafe fn name(&self, hostname: Option<&CStr>, report: &Report) -> Answer<()> {
        // SAFETY: strings live through the calls.
        unsafe {
            raw!(SYS_setsid)?;
            if self.own_keyring {
                raw!(SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)?;
            }
            report.at(self.names);
            if let Some(name) = hostname.or(self.hostname.as_deref()) {
                raw!(SYS_sethostname, name.as_ptr(), name.count_bytes())?;
            }
            if let Some(name) = &self.domainname {
                raw!(SYS_setdomainname, name.as_ptr(), name.count_bytes())?;
            }
        }
        Ok(())
    }

    /// Kernel parameters, through the host's own /proc, which no image can have replaced (CVE-2025-52881).
    /// The kernel takes the writer's namespaces.
    ///
    /// # Safety
    /// In the child, before it has left the host's root.
    pub(super) unsafe fn set_parameters(&self, report: &Report) -> Answer<()> {
        for (label, path, value) in &self.sysctls {
            report.at(*label);
            // SAFETY: passed on.
            unsafe { write_file(path, value) }?;
        }
        Ok(())
    }

    /// Makes the working directory where the image has none.
    ///
    /// # Safety
    /// In the child; `root` is its root.
    pub(super) unsafe fn make_cwd(&self, root: usize, report: &Report) -> Answer<()> {
        report.at(self.cwd_label);
        // SAFETY: passed on; the descriptor is this child's.
        unsafe {
            match self.cwd.ensure(root, Missing::Folder) {
                Ok(folder) => raw!(SYS_close, folder).map(drop),
                // It may be there behind a mount that ensures itself; entering it decides.
                Err(Errno(libc::EROFS | libc::EACCES)) => Ok(()),
                Err(error) => Err(error),
            }
        }
    }

    /// Enters the working directory, as the program's user. It must be one of this root: the
    /// kernel names others "(unreachable)" (CVE-2024-21626).
    ///
    /// # Safety
    /// In the child, in its root.
    pub(super) unsafe fn enter_cwd(&self, report: &Report) -> Answer<()> {
        report.at(self.cwd_label);
        let mut path = [0u8; libc::PATH_MAX as usize];
        // SAFETY: the string and the buffer live through the calls.
        unsafe {
            raw!(SYS_chdir, self.cwd_path.as_ptr())?;
            raw!(SYS_getcwd, path.as_mut_ptr(), path.len())?;
        }
        if path.first() == Some(&b'/') { Ok(()) } else { Err(Errno(libc::ENOENT)) }
    }

    /// Resource limits, niceness and mask.
    ///
    /// # Safety
    /// In the child.
    pub(super) unsafe fn limit(&self, report: &Report) -> Answer<()> {
        // SAFETY: the limit has the layout of prlimit64 (getrlimit(2)) and lives through the call.
        unsafe {
            for (label, resource, limit) in &self.rlimits {
                report.at(*label);
                raw!(SYS_prlimit64, 0, *resource, limit.as_ptr(), 0)?;
            }
            if let Some(nice) = self.nice {
                raw!(SYS_setpriority, libc::PRIO_PROCESS, 0, nice)?;
            }
            let _ = raw!(SYS_umask, self.umask);
        }
        Ok(())
    }
}

fn sysctl(
    setup: &Setup,
    name: &str,
    value: &str,
    labels: &mut Labels,
) -> Result<(Label, CString, CString), Error> {
    // Either separator, as sysctl(8): where a slash comes first dots are part of names.
    let separator = name.find(['.', '/']).and_then(|at| name[at..].chars().next()).unwrap_or('.');
    let path: String = name
        .chars()
        .map(|sign| match sign {
            '.' | '/' if sign == separator => '/',
            '/' => '.',
            other => other,
        })
        .collect();
    let own = |namespace: &Namespace| *namespace != Namespace::Host;
    let belongs = if path.starts_with("net/") {
        own(&setup.namespaces.network)
    } else if path == "kernel/domainname" || path == "kernel/hostname" {
        own(&setup.namespaces.uts)
    } else {
        let objects = ["kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem", "kernel/shmall"];
        let objects = objects.contains(&path.as_str())
            || ["kernel/shmmax", "kernel/shmmni", "kernel/shm_rmid_forced"].contains(&path.as_str())
            || path.starts_with("fs/mqueue/");
        objects && own(&setup.namespaces.ipc)
    };
    if !belongs || path.split('/').any(|part| part.is_empty() || part == "..") {
        return Err(Error::Invalid(format!(
            "the kernel parameter {name} is not one of the container's own namespaces"
        )));
    }
    let label = labels.add(format!("set the kernel parameter {name} to {value:?}"));
    Ok((label, cstring(format!("/proc/sys/{path}"))?, cstring(value)?))
}

/// Arguments, environment and the names under which the program may be found.
#[derive(Debug)]
pub(super) struct Command {
    args: Vec<CString>,
    argv: Vec<*const c_char>,
    candidates: Vec<CString>,
}

// SAFETY: the pointers are to the strings beside them, which do not change.
unsafe impl Send for Command {}
// SAFETY: as above.
unsafe impl Sync for Command {}

impl Command {
    /// # Errors
    /// Where there is no program.
    pub(super) fn new(args: Vec<CString>, env: &[CString]) -> Result<Command, Error> {
        let program = args.first().filter(|name| !name.is_empty());
        let program = program.ok_or_else(|| Error::Invalid("a container needs a program to run".into()))?;
        let candidates = if program.as_bytes().contains(&b'/') {
            vec![program.clone()]
        } else {
            let path = env.iter().find_map(|variable| variable.to_bytes().strip_prefix(b"PATH="));
            let folders = path.unwrap_or(DEFAULT_PATH.as_bytes()).split(|byte| *byte == b':');
            let joined = folders.filter(|folder| !folder.is_empty()).map(|folder| {
                let mut path = folder.to_vec();
                path.push(b'/');
                path.extend_from_slice(program.as_bytes());
                cstring(path)
            });
            joined.collect::<Result<_, _>>()?
        };
        let argv = pointers(&args);
        Ok(Command { args, argv, candidates })
    }

    /// Becomes the program. Comes back only with the reason why not.
    ///
    /// # Safety
    /// In the child; `file` is the program where it is not to be looked for inside.
    pub(super) unsafe fn execute(&self, file: Option<usize>, env: &[*const c_char]) -> Errno {
        debug_assert_eq!(self.args.len() + 1, self.argv.len());
        let mut reason = Errno(libc::ENOENT);
        // SAFETY: all strings live through the calls; both lists end with a null pointer.
        unsafe {
            if let Some(file) = file {
                let flags = libc::AT_EMPTY_PATH;
                let path = c"".as_ptr();
                return match raw!(SYS_execveat, file, path, self.argv.as_ptr(), env.as_ptr(), flags) {
                    Ok(_) => reason,
                    Err(error) => error,
                };
            }
            for path in &self.candidates {
                if let Err(error) = raw!(SYS_execve, path.as_ptr(), self.argv.as_ptr(), env.as_ptr()) {
                    // What was there and could not be run is the better reason.
                    match error {
                        Errno(libc::ENOENT | libc::ENOTDIR) => {}
                        Errno(libc::EACCES) => reason = error,
                        other => return other,
                    }
                }
            }
        }
        reason
    }
}

/// Pointers to strings, with the null that ends the list.
pub(super) fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| CStr::as_ptr(string)).chain([ptr::null()]).collect()
}
