//! This program's own file, out of the containers' reach.
//!
//! What joins a container's namespaces before it executes is to be found there as /proc/<pid>/exe.
//! A container that holds on to it could write to the file once nobody executes it any more, and so
//! change what the host's root runs next (CVE-2019-5736). Therefore the commands that enter
//! containers run from a mount of the file that cannot be written through, which is in no mount
//! namespace where that could be changed; or, without the right to make one, from a sealed copy in memory.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{
    MemfdFlags, SealFlags, StatVfsMountFlags, fcntl_add_seals, fcntl_get_seals, fstatvfs, memfd_create,
};

use crate::Error;

const OWN: &std::ffi::CStr = c"/proc/self/exe";
/// Set in the program executed anew, so that it does not go on like this for ever.
const AGAIN: &str = "BENCH_OCI_SEALED";

/// Executes this program anew from a file that cannot be written, unless it is executed from one
/// already. To be called before anything else.
///
/// # Errors
/// Where the system refuses that.
pub fn ensure() -> Result<(), Error> {
    let refused = || Error::system("protect this program's file from the container");
    if is_protected().map_err(refused())? {
        return Ok(());
    }
    if std::env::var_os(AGAIN).is_some() {
        return Err(Error::Invalid("this program's file cannot be protected from the container".into()));
    }
    let file = read_only_mount().or_else(|_| copy()).map_err(refused())?;
    Err(refused()(execute(&file)))
}

/// Whether the file executed is on a mount for reading only, or sealed.
fn is_protected() -> io::Result<bool> {
    let file = File::open("/proc/self/exe")?;
    let is_sealed = fcntl_get_seals(&file).is_ok_and(|seals| seals.contains(SealFlags::WRITE));
    Ok(is_sealed || fstatvfs(&file)?.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// The file on a mount of its own (open_tree(2), mount_setattr(2)).
fn read_only_mount() -> io::Result<OwnedFd> {
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
    // SAFETY: plain data for which all zeroes is valid.
    let mut attributes: libc::mount_attr = unsafe { std::mem::zeroed() };
    attributes.attr_set = libc::MOUNT_ATTR_RDONLY;
    // SAFETY: constant strings and attributes that live through the calls.
    unsafe {
        let tree = libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, OWN.as_ptr(), flags);
        if tree < 0 {
            return Err(io::Error::last_os_error());
        }
        let tree = OwnedFd::from_raw_fd(tree as i32);
        let size = size_of::<libc::mount_attr>();
        let path = c"".as_ptr();
        let set = libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            path,
            libc::AT_EMPTY_PATH,
            &attributes,
            size,
        );
        if set == 0 { Ok(tree) } else { Err(io::Error::last_os_error()) }
    }
}

fn copy() -> io::Result<OwnedFd> {
    let mut copy = File::from(memfd_create("bench-oci", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    io::copy(&mut File::open("/proc/self/exe")?, &mut copy)?;
    fcntl_add_seals(&copy, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    // A file open for writing cannot be executed (ETXTBSY).
    Ok(File::open(format!("/proc/self/fd/{}", copy.as_raw_fd()))?.into())
}

/// Comes back only with the reason why not.
fn execute(file: &OwnedFd) -> io::Error {
    let string = |text: &OsStr| CString::new(text.as_bytes()).unwrap_or_default();
    let arguments: Vec<CString> = std::env::args_os().map(|argument| string(&argument)).collect();
    let variables =
        std::env::vars_os().map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat());
    let again = format!("{AGAIN}=1").into_bytes();
    let environment: Vec<CString> =
        variables.chain([again]).map(|variable| CString::new(variable).unwrap_or_default()).collect();
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (arguments, environment) = (pointers(&arguments), pointers(&environment));
    // SAFETY: both lists end with a null pointer, and the strings live through the call.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_raw_fd(),
            c"".as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
    }
    io::Error::last_os_error()
}
