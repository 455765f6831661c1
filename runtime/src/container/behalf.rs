//! Whom root starts containers for that are to be an ordinary user's, and the threads that do it.
//!
//! Credentials belong to threads (credentials(7)). A launching thread of root's has a companion that
//! becomes the user for good and keeps no capability, no group and no key of root's: what it starts is
//! started by that user. What is left of root's part is done elsewhere, and gives no more than the user
//! could have: the id map is written by the companion's partner, since a program of root's that one of
//! its threads has left cannot be looked into by that thread (see [`crate::dumpable`]).

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc;

use super::partner::with_partner;
use super::standard;
use super::syscall::{Answer, Errno, raw};
use crate::{Error, dumpable};

/// The kernel's overflow id, which distributions call nobody.
const NOBODY: u32 = 65_534;
/// _LINUX_CAPABILITY_VERSION_3 (capset(2)).
const VERSION_3: u32 = 0x2008_0522;

/// An ordinary user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// How it was chosen.
    pub(super) why: &'static str,
}

impl User {
    /// Whom root starts containers for; `None` where this program is not root's.
    pub(super) fn of_root() -> Option<User> {
        if !dumpable::is_roots() {
            return None;
        }
        let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok().filter(|id| *id > 0);
        let uid_map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        Some(chosen(number("SUDO_UID").zip(number("SUDO_GID")), &uid_map))
    }

    /// Who it is, as a phrase.
    pub(super) fn described(&self) -> String {
        format!("user id {} ({}), for whom root starts them", self.uid, self.why)
    }

    /// Carries `work` out as this user, on a thread for it alone.
    ///
    /// # Errors
    /// Where no thread can become the user.
    pub(super) fn carry_out<T: Send>(self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        Companion::new(self)?.carry_out(work)
    }

    /// The same on the companion of the calling thread, which ends with it: what it starts is told so
    /// when the calling thread ends.
    ///
    /// # Errors
    /// As [`User::carry_out`].
    pub(super) fn carry_out_beside<T: Send>(self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        thread_local! {
            static COMPANION: RefCell<Option<Companion>> = const { RefCell::new(None) };
        }
        COMPANION.with_borrow_mut(|kept| {
            if kept.as_ref().is_none_or(|companion| companion.user != self) {
                *kept = Some(Companion::new(self)?);
            }
            kept.as_ref().map_or_else(|| Err(is_gone()), |companion| companion.carry_out(work))
        })
    }
}

/// The one who called sudo(8), else an id next to those of containers, which belongs to nobody; nobody's
/// itself where this program's own user namespace has no such.
fn chosen(sudo: Option<(u32, u32)>, uid_map: &str) -> User {
    let apart = standard::MAP.outside + standard::MAP.count;
    let is_mapped = |id: u32| {
        uid_map.lines().any(|line| {
            let mut numbers = line.split_whitespace().map(|number| number.parse::<u32>().unwrap_or(0));
            let (inside, _, count) = (numbers.next(), numbers.next(), numbers.next());
            inside.zip(count).is_some_and(|(first, count)| id >= first && id - first < count)
        })
    };
    match sudo {
        Some((uid, gid)) => User { uid, gid, why: "who called sudo" },
        None if is_mapped(apart) => User { uid: apart, gid: apart, why: "an id of nobody's" },
        None => User { uid: NOBODY, gid: NOBODY, why: "nobody" },
    }
}

type Work = Box<dyn FnOnce() + Send>;

/// A thread that has become the user.
struct Companion {
    user: User,
    work: Option<mpsc::Sender<Work>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Companion {
    fn new(user: User) -> Result<Companion, Error> {
        // Before any thread is another's.
        dumpable::is_roots();
        let (work, received) = mpsc::channel::<Work>();
        let (said, become_result) = mpsc::channel();
        let thread = std::thread::Builder::new().name("companion".into()).spawn(move || {
            // Its partner stays root's.
            let become_user = || {
                with_partner(|_| ())?;
                become_user(user).map_err(|Errno(errno)| {
                    let source = std::io::Error::from_raw_os_error(errno);
                    Error::System { action: format!("become the user {} on a thread", user.uid), source }
                })
            };
            let became = become_user();
            let is_ready = became.is_ok();
            if said.send(became).is_ok() && is_ready {
                received.into_iter().for_each(|work| work());
            }
        });
        let thread = thread.map_err(Error::system("start a thread for another user"))?;
        let companion = Companion { user, work: Some(work), thread: Some(thread) };
        become_result.recv().unwrap_or_else(|_| Err(is_gone()))?;
        Ok(companion)
    }

    fn carry_out<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        let (done, result) = mpsc::channel();
        let work: Box<dyn FnOnce() + Send + '_> = Box::new(move || {
            // The caller is no longer there only if it has ended, which it does not before this.
            let _ = done.send(catch_unwind(AssertUnwindSafe(work)));
        });
        // SAFETY: what `work` borrows lives until this function returns, and it does not return before
        // `work` has been carried out or dropped: either ends the channel that it waits for.
        let work: Work = unsafe { std::mem::transmute(work) };
        let sent = self.work.as_ref().is_some_and(|queue| queue.send(work).is_ok());
        match result.recv() {
            Ok(Ok(value)) if sent => Ok(value),
            Ok(Err(panic)) => resume_unwind(panic),
            _ => Err(is_gone()),
        }
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        drop(self.work.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn is_gone() -> Error {
    Error::Invalid("the thread that starts containers for another user has ended".into())
}

/// This thread becomes the user, without a way back. By the system calls themselves: the C library's
/// functions of these names change every thread (nptl(7)).
fn become_user(user: User) -> Answer<()> {
    let header = [VERSION_3, 0];
    // Effective, permitted, inheritable of the lower half, then of the upper half: none.
    let (none, mut left) = ([0u32; 6], [u32::MAX; 6]);
    let mut ids = [0u32; 3];
    // SAFETY: all arguments live through the calls and have the kernel's layouts.
    unsafe {
        raw!(SYS_setgroups, 0, 0)?;
        raw!(SYS_setresgid, user.gid, user.gid, user.gid)?;
        raw!(SYS_setresuid, user.uid, user.uid, user.uid)?;
        raw!(SYS_capset, header.as_ptr(), none.as_ptr())?;
        raw!(SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)?;
        let [real, effective, saved] = &mut ids;
        raw!(SYS_getresuid, &raw mut *real, &raw mut *effective, &raw mut *saved)?;
        raw!(SYS_capget, header.as_ptr(), left.as_mut_ptr())?;
    }
    if ids == [user.uid; 3] && left == none { Ok(()) } else { Err(Errno(libc::EPERM)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_who_called_sudo_or_nobody() {
        let whole = "         0          0 4294967295\n";
        assert_eq!(chosen(Some((1000, 100)), whole).uid, 1000);
        assert_eq!(chosen(None, whole).uid, 1_000_065_536);
        assert_eq!(chosen(None, "0 100000 65536\n").uid, NOBODY);
    }

    #[test]
    fn a_companion_has_no_privilege_and_the_others_keep_theirs() {
        let Some(user) = User::of_root() else {
            eprintln!("skipped: only root can start something for another user");
            return;
        };
        let status = || std::fs::read_to_string("/proc/thread-self/status").expect("readable");
        let line = |text: &str, name: &str| {
            let found = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
            found.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let before = status();
        let its = user.carry_out(status).expect("carried out");
        let id = user.uid;
        assert_eq!(line(&its, "Uid:"), format!("{id} {id} {id} {id}"));
        assert_eq!(line(&its, "Gid:"), format!("{id} {id} {id} {id}"));
        assert_eq!(line(&its, "Groups:"), "");
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(line(&its, set), "0000000000000000", "{set}");
        }
        // What the user may not do it may not, and others may.
        let read = || std::fs::read("/etc/shadow").map(drop).map_err(|error| error.kind());
        assert_eq!(user.carry_out(read).expect("carried out"), Err(std::io::ErrorKind::PermissionDenied));
        assert_eq!(read(), Ok(()));
        for name in ["Uid:", "Gid:", "Groups:", "CapEff:", "CapPrm:"] {
            assert_eq!(line(&status(), name), line(&before, name), "{name}");
        }
        // Nor may anybody of that id look into root's memory through it.
        // SAFETY: no memory is involved.
        assert_ne!(unsafe { libc::prctl(libc::PR_GET_DUMPABLE) }, 1);
    }
}
