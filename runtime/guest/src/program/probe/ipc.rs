//! Objects found by key or name: System V (sysvipc(7)) and POSIX (mq_overview(7), shm_overview(7)).

use std::ffi::CString;

use guest::probe::{Facts, IpcKind};

use super::{errno_of, facts, number};

/// Makes an object and looks whether it is found.
pub fn plant(kind: IpcKind, key: i32) -> Facts {
    let made = errno_of(make(kind, key));
    facts([("errno", number(made)), ("own", number(i64::from(find(kind, key) >= 0)))])
}

/// Looks for an object, and for one of its own under the next key.
pub fn look(kind: IpcKind, key: i32) -> Facts {
    let found = errno_of(find(kind, key));
    let own = key ^ 1;
    let made = errno_of(make(kind, own));
    let seen = find(kind, own) >= 0;
    remove(kind, own);
    facts([("errno", number(found)), ("own", number(i64::from(seen))), ("own_errno", number(made))])
}

fn name(key: i32) -> CString {
    CString::new(format!("/bench-{key:x}")).unwrap_or_default()
}

fn memory_path(key: i32) -> CString {
    CString::new(format!("/dev/shm/bench-{key:x}")).unwrap_or_default()
}

/// A non-negative number, or what the failed call returned.
fn make(kind: IpcKind, key: i32) -> i64 {
    let flags = libc::IPC_CREAT | libc::IPC_EXCL | 0o666;
    // SAFETY: names end with NUL and live through the calls.
    unsafe {
        match kind {
            IpcKind::Memory => libc::shmget(key, 4096, flags).into(),
            IpcKind::Semaphore => libc::semget(key, 1, flags).into(),
            IpcKind::Queue => libc::msgget(key, flags).into(),
            IpcKind::PosixQueue => libc::syscall(
                libc::SYS_mq_open,
                name(key).as_ptr().add(1),
                libc::O_CREAT | libc::O_RDWR,
                0o666,
                0,
            ),
            IpcKind::PosixMemory => {
                libc::open(memory_path(key).as_ptr(), libc::O_CREAT | libc::O_RDWR | libc::O_CLOEXEC, 0o666)
                    .into()
            }
        }
    }
}

fn find(kind: IpcKind, key: i32) -> i64 {
    // SAFETY: as in `make`.
    unsafe {
        match kind {
            IpcKind::Memory => libc::shmget(key, 0, 0).into(),
            IpcKind::Semaphore => libc::semget(key, 0, 0).into(),
            IpcKind::Queue => libc::msgget(key, 0).into(),
            IpcKind::PosixQueue => {
                libc::syscall(libc::SYS_mq_open, name(key).as_ptr().add(1), libc::O_RDONLY, 0, 0)
            }
            IpcKind::PosixMemory => {
                libc::open(memory_path(key).as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC).into()
            }
        }
    }
}

fn remove(kind: IpcKind, key: i32) {
    let id = find(kind, key) as i32;
    // SAFETY: as in `make`; the commands take no buffer.
    unsafe {
        match kind {
            IpcKind::Memory => drop(libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut())),
            IpcKind::Semaphore => drop(libc::semctl(id, 0, libc::IPC_RMID)),
            IpcKind::Queue => drop(libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut())),
            IpcKind::PosixQueue => {
                libc::syscall(libc::SYS_mq_unlink, name(key).as_ptr().add(1));
            }
            IpcKind::PosixMemory => drop(libc::unlink(memory_path(key).as_ptr())),
        }
    }
}
