//! Whether others of this program's user may look into it (prctl(2), PR_SET_DUMPABLE).
//!
//! A child that shares this program's memory and changes its user, and a thread that does, take that
//! from all of it, and with it its own files in /proc from a user other than root (proc(5)). To such a
//! user it is given back. Root's program goes without from then on: whoever has the other user's id could
//! reach root's memory through that child or thread (ptrace(2), "Ptrace access mode checking").

use std::sync::OnceLock;

/// The kernel's SUID_DUMP_USER.
const BY_ITS_USER: libc::c_int = 1;

/// Whether this program is root's. Asked for the first time before any thread of it is another's.
pub(crate) fn is_roots() -> bool {
    static ROOTS: OnceLock<bool> = OnceLock::new();
    *ROOTS.get_or_init(|| rustix::process::geteuid().is_root())
}

/// Gives it back where it may be.
pub(crate) fn give_back() {
    if is_roots() {
        return;
    }
    // SAFETY: no memory is involved.
    unsafe {
        if libc::prctl(libc::PR_GET_DUMPABLE) != BY_ITS_USER {
            libc::prctl(libc::PR_SET_DUMPABLE, BY_ITS_USER);
        }
    }
}
