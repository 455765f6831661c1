//! What the kernel counts, locks and keeps beside all namespaces.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsRawFd;

use guest::probe::Facts;

use super::{errno, errno_of, facts, last_errno, number};

/// The user's keyring (keyrings(7)).
const KEY_SPEC_USER_KEYRING: libc::c_long = -4;
const KEY_SPEC_SESSION_KEYRING: libc::c_long = -3;
const KEYCTL_SEARCH: libc::c_long = 10;
const KEYCTL_UNLINK: libc::c_long = 9;

/// Holds a read lock on a file (fcntl(2), POSIX).
pub fn lock_plant(path: &str) -> Facts {
    match File::open(path) {
        Err(error) => facts([("errno", errno(&error))]),
        Ok(file) => {
            let locked = errno_of(lock(&file, libc::F_SETLK, libc::F_RDLCK).0.into());
            // Its descriptor has to stay open: closing any to the file lets the lock go.
            std::mem::forget(file);
            facts([("errno", number(locked))])
        }
    }
}

/// Whether somebody else holds a lock on a file, and as a control whether the lock of a child of this
/// probe on a file of its own is seen.
pub fn lock_look(path: &str) -> Facts {
    let own = own_lock_is_seen();
    match File::open(path) {
        Err(error) => facts([("errno", errno(&error)), ("own", number(i64::from(own)))]),
        Ok(file) => {
            let (result, found) = lock(&file, libc::F_GETLK, libc::F_WRLCK);
            let is_held = found.l_type != libc::F_UNLCK as libc::c_short;
            facts([
                ("errno", number(errno_of(result.into()))),
                ("held", number(i64::from(is_held))),
                ("by", number(if is_held { found.l_pid } else { 0 })),
                ("own", number(i64::from(own))),
            ])
        }
    }
}

fn lock(file: &File, command: libc::c_int, kind: libc::c_int) -> (libc::c_int, libc::flock) {
    // SAFETY: plain data; the lock lives through the call.
    unsafe {
        let mut lock: libc::flock = std::mem::zeroed();
        lock.l_type = kind as libc::c_short;
        let result = libc::fcntl(file.as_raw_fd(), command, &mut lock);
        (result, lock)
    }
}

fn own_lock_is_seen() -> bool {
    use std::os::fd::FromRawFd;
    // SAFETY: the descriptors are this process's own; the child makes system calls only.
    unsafe {
        let memory = libc::memfd_create(c"own-lock".as_ptr(), libc::MFD_CLOEXEC);
        if memory < 0 {
            return false;
        }
        let file = File::from_raw_fd(memory);
        let mut ends = [0; 2];
        if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            return false;
        }
        let child = libc::fork();
        if child == 0 {
            let (result, _) = lock(&file, libc::F_SETLK, libc::F_RDLCK);
            let answer = [u8::from(result == 0)];
            libc::write(ends[1], answer.as_ptr().cast(), 1);
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            loop {
                libc::pause();
            }
        }
        let mut answer = [0u8];
        libc::read(ends[0], answer.as_mut_ptr().cast(), 1);
        let (result, found) = lock(&file, libc::F_GETLK, libc::F_WRLCK);
        libc::kill(child, libc::SIGKILL);
        libc::waitpid(child, std::ptr::null_mut(), 0);
        answer[0] == 1 && result == 0 && found.l_type != libc::F_UNLCK as libc::c_short
    }
}

/// Opens /dev/null or, where there is none, a memory file so often, and keeps them.
pub fn open_many(count: u32) -> Facts {
    raise_descriptors();
    let mut made = 0;
    for _ in 0..count {
        // SAFETY: makes descriptors that are kept on purpose. A new open file each time: a duplicate
        // would not be counted.
        let file = unsafe { libc::memfd_create(c"many".as_ptr(), libc::MFD_CLOEXEC) };
        if file < 0 {
            return facts([("errno", number(last_errno())), ("made", number(made))]);
        }
        made += 1;
    }
    facts([("errno", number(0)), ("made", number(made))])
}

/// Makes and ends so many processes.
pub fn fork_many(count: u32) -> Facts {
    let mut made = 0;
    for _ in 0..count {
        // SAFETY: the child ends at once.
        unsafe {
            match libc::fork() {
                -1 => return facts([("errno", number(last_errno())), ("made", number(made))]),
                0 => libc::_exit(0),
                child => drop(libc::waitpid(child, std::ptr::null_mut(), 0)),
            }
        }
        made += 1;
    }
    facts([("errno", number(0)), ("made", number(made))])
}

/// Takes inotify instances, `count` at most, and keeps them.
pub fn inotify(count: u32) -> Facts {
    raise_descriptors();
    let mut made = 0;
    for _ in 0..count {
        // SAFETY: makes descriptors that are kept on purpose.
        if unsafe { libc::inotify_init1(libc::IN_CLOEXEC) } < 0 {
            // That they are used up is what is asked for.
            return facts([("errno", number(0)), ("made", number(made)), ("end", number(last_errno()))]);
        }
        made += 1;
    }
    facts([("errno", number(0)), ("made", number(made)), ("end", number(0))])
}

/// Adds a key to the user's keyring.
pub fn key_plant(name: &str) -> Facts {
    let made = errno_of(add_key(name, KEY_SPEC_USER_KEYRING));
    facts([("errno", number(made)), ("own", number(i64::from(search(name, KEY_SPEC_USER_KEYRING) >= 0)))])
}

/// Looks for a key in the user's keyring, or the session's, and for one of its own.
pub fn key_look(name: &str, of_session: bool) -> Facts {
    let keyring = if of_session { KEY_SPEC_SESSION_KEYRING } else { KEY_SPEC_USER_KEYRING };
    let found = errno_of(search(name, keyring));
    let own = format!("{name}-own");
    let made = add_key(&own, keyring);
    let refused = made < 0 && matches!(last_errno(), libc::EPERM | libc::EACCES);
    let seen = search(&own, keyring) >= 0;
    if made >= 0 {
        // SAFETY: no memory is involved.
        unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_UNLINK, made, keyring) };
    }
    let mut told = facts([("errno", number(found))]);
    // Where no key may be made there is none of its own to be found.
    if !refused {
        told.insert("own".into(), number(i64::from(seen)));
    }
    told
}

fn add_key(name: &str, keyring: libc::c_long) -> i64 {
    let Ok(name) = CString::new(name) else { return -1 };
    // SAFETY: the strings live through the call, the payload with its length.
    unsafe {
        libc::syscall(libc::SYS_add_key, c"user".as_ptr(), name.as_ptr(), c"x".as_ptr(), 1usize, keyring)
    }
}

fn search(name: &str, keyring: libc::c_long) -> i64 {
    let Ok(name) = CString::new(name) else { return -1 };
    // SAFETY: the strings live through the call.
    unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_SEARCH, keyring, c"user".as_ptr(), name.as_ptr(), 0) }
}

/// As many descriptors as the process may have.
fn raise_descriptors() {
    // SAFETY: plain data that lives through the calls.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}
