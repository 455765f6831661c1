//! What "the host" is for the rounds of one thread: namespaces of its own, so that a bare process
//! that sets the host name, makes objects or mounts something does it to nobody.

use std::ffi::CStr;

use nix::libc;

/// The calling thread goes into namespaces of its own (unshare(2) acts on the thread alone, and clone(2)
/// hands them on to what the thread starts). Mounts spread neither from nor to the real host, and within
/// the world as systemd has them: shared.
///
/// # Errors
/// What the system said; the thread may have some of them.
pub fn enter() -> Result<(), String> {
    let flags = libc::CLONE_NEWNS | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC | libc::CLONE_NEWNET;
    // SAFETY: no memory is involved.
    check("make namespaces", unsafe { libc::unshare(flags) })?;
    for (what, propagation) in [("private", libc::MS_PRIVATE), ("shared", libc::MS_SHARED)] {
        mount(what, None, c"/", libc::MS_REC | propagation)?;
    }
    mount("/dev/shm", Some(c"tmpfs"), c"/dev/shm", libc::MS_NOSUID | libc::MS_NODEV)
}

/// Whether the calling thread has a namespace of this kind of its own: what it sets there is nobody else's.
/// Where it has none (engines live in the real host), parameters of the kernel are left alone.
pub fn has_own(kind: &str) -> bool {
    let of = |who: &str| std::fs::read_link(format!("/proc/{who}/ns/{kind}"));
    matches!((of("thread-self"), of("self")), (Ok(own), Ok(main)) if own != main)
}

fn mount(what: &str, kind: Option<&CStr>, target: &CStr, flags: libc::c_ulong) -> Result<(), String> {
    let kind = kind.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: the strings are constants that end with NUL; the data argument may be null.
    check(what, unsafe { libc::mount(kind, target.as_ptr(), kind, flags, std::ptr::null()) })
}

fn check(what: &str, result: libc::c_int) -> Result<(), String> {
    match result {
        0 => Ok(()),
        _ => Err(format!("cannot make a world for the checks ({what}): {}", std::io::Error::last_os_error())),
    }
}
