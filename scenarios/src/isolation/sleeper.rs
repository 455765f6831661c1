//! A process of the host that does nothing: what reaches it is seen by the host.

use std::ffi::CString;
use std::fs;
use std::time::{Duration, Instant};

use nix::libc;

use super::check::{Absent, HostPlant, Missing, OnHost};
use super::nonce::Nonce;
use super::processes;

/// A number that no process inside has: an instance starts with 1 and makes fewer.
const LEAST_OUTSIDE: i32 = 1000;
/// What it does not take: such a signal stays pending, for all to see.
pub const BLOCKED: i32 = libc::SIGUSR1;
/// Ids that distributions give to nobody who lasts (systemd's Users, Groups, UIDs and GIDs: 61184 to 65519 are
/// made up for a service while it runs), and that every instance with mapped ids has.
const FIRST_UID: u64 = 61_184;
const LAST_UID: u64 = 65_519;

/// Called by the nonce, which is in its memory too.
pub struct Sleeper {
    pid: i32,
    name: CString,
}

impl Sleeper {
    /// One of this program's own user.
    ///
    /// # Errors
    /// Where none can be made, or not with a number that none inside has.
    pub fn plant(nonce: &Nonce) -> HostPlant {
        Sleeper::with(nonce, None)
    }

    /// One of the user [`Sleeper::uid`], who has no other process.
    ///
    /// # Errors
    /// As [`Sleeper::plant`], and where the user has one.
    pub fn plant_of_user(nonce: &Nonce) -> HostPlant {
        let uid = Sleeper::uid(nonce);
        let owner = |pid: &i32| {
            fs::metadata(format!("/proc/{pid}")).ok().map(|found| std::os::unix::fs::MetadataExt::uid(&found))
        };
        match processes::all().iter().find(|pid| owner(pid) == Some(uid)) {
            Some(pid) => Err(Absent(format!("process {pid} belongs to user {uid}: it is not to be hit"))),
            None => Sleeper::with(nonce, Some(uid)),
        }
    }

    /// A user id of this nonce.
    pub fn uid(nonce: &Nonce) -> u32 {
        nonce.amplitude(FIRST_UID, LAST_UID) as u32
    }

    /// Whether [`BLOCKED`] has been sent to the process (proc_pid_status(5), ShdPnd).
    ///
    /// # Errors
    /// Where it is gone.
    pub fn has_pending(pid: i32) -> Result<bool, Missing> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))
            .map_err(|error| Missing(format!("process {pid}: {error}")))?;
        let pending =
            processes::field(&status, "ShdPnd:").and_then(|mask| u64::from_str_radix(mask, 16).ok());
        let pending = pending.ok_or_else(|| Missing(format!("the status of {pid} has no ShdPnd")))?;
        Ok(pending & (1 << (BLOCKED - 1)) != 0)
    }

    /// Numbers are given out in turn and begin again at the lowest after the highest
    /// (Documentation/admin-guide/sysctl/kernel.rst, pid_max): one that is too low is followed by a higher.
    fn with(nonce: &Nonce, uid: Option<u32>) -> HostPlant {
        for _ in 0..2 * LEAST_OUTSIDE {
            let sleeper = Sleeper::start(nonce, uid)?;
            if sleeper.pid >= LEAST_OUTSIDE {
                return sleeper.named();
            }
        }
        Err(Absent(format!(
            "the host has no process number from {LEAST_OUTSIDE} on: one inside could have it too"
        )))
    }

    fn start(nonce: &Nonce, uid: Option<u32>) -> Result<Sleeper, Absent> {
        let name = CString::new(nonce.word()).map_err(|error| Absent(error.to_string()))?;
        // SAFETY: between fork and its end the child makes system calls only (signal-safety(7)); the set is
        // the child's own. The plain call, for the library's setresuid(2) acts on all threads it knows of.
        let pid = unsafe {
            match libc::fork() {
                0 => {
                    let mut signals: libc::sigset_t = std::mem::zeroed();
                    libc::sigemptyset(&mut signals);
                    libc::sigaddset(&mut signals, BLOCKED);
                    libc::sigprocmask(libc::SIG_BLOCK, &signals, std::ptr::null_mut());
                    if let Some(uid) = uid
                        && libc::syscall(libc::SYS_setresuid, uid, uid, uid) != 0
                    {
                        libc::_exit(1);
                    }
                    // A change of user forgets it (prctl(2)).
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                    libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0);
                    libc::prctl(libc::PR_SET_NAME, name.as_ptr());
                    loop {
                        libc::pause();
                    }
                }
                pid => pid,
            }
        };
        match pid {
            -1 => Err(Absent(format!("cannot fork: {}", std::io::Error::last_os_error()))),
            pid => Ok(Sleeper { pid, name }),
        }
    }

    /// It takes its name when all else is done.
    fn named(self) -> HostPlant {
        let until = Instant::now() + Duration::from_secs(5);
        while self.witness().is_err() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Box::new(self))
    }
}

impl OnHost for Sleeper {
    fn witness(&self) -> Result<String, String> {
        let path = format!("/proc/{}/comm", self.pid);
        match fs::read_to_string(&path) {
            Ok(comm) if comm.trim_end().as_bytes() == self.name.as_bytes() => {
                Ok(format!("process {} is {}", self.pid, comm.trim_end()))
            }
            other => Err(format!("{path} says {other:?}")),
        }
    }

    fn number(&self) -> i64 {
        self.pid.into()
    }

    /// Where its name is in its memory: where this program had it.
    fn text(&self) -> String {
        (self.name.as_ptr() as usize).to_string()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        if self.pid > 0 {
            // SAFETY: our own child, not yet waited for, so the number is still its.
            unsafe {
                libc::kill(self.pid, libc::SIGKILL);
                libc::waitpid(self.pid, std::ptr::null_mut(), 0);
            }
        }
    }
}
