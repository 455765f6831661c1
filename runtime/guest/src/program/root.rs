//! The image as a disk: read-only below, what is written stays in memory.

use std::ffi::CString;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// The first virtio disk, with the image in it as the host's `vm::disk::root` makes it.
const DISK: &str = "/dev/vda";
/// How long the kernel may take to find it behind the driver's loading.
const FOUND_WITHIN: Duration = Duration::from_secs(2);
/// What is mounted already and goes along.
const ALONG: [&str; 3] = ["proc", "sys", "dev"];

/// Makes the disk the root of this program and of all it starts.
pub fn change() -> Result<(), String> {
    let until = Instant::now() + FOUND_WITHIN;
    while !Path::new(DISK).exists() {
        if Instant::now() > until {
            return Err(format!("the kernel has found no {DISK}: is the driver of its disks missing?"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    for folder in ["/image", "/written", "/root"] {
        make(folder)?;
    }
    mount(DISK, "/image", "ext4", libc::MS_RDONLY, "")?;
    mount("none", "/written", "tmpfs", 0, "mode=0755")?;
    for folder in ["/written/files", "/written/work"] {
        make(folder)?;
    }
    mount("none", "/root", "overlay", 0, "lowerdir=/image,upperdir=/written/files,workdir=/written/work")?;
    for name in ALONG {
        let target = format!("/root/{name}");
        make(&target)?;
        mount(&format!("/{name}"), &target, "", libc::MS_MOVE, "")?;
    }
    // The first file system of all cannot be unmounted or pivoted away from: what is to be the root is
    // mounted over it (Documentation/filesystems/ramfs-rootfs-initramfs.rst).
    enter("/root")?;
    mount(".", "/", "", libc::MS_MOVE, "")?;
    // SAFETY: the string is NUL-terminated.
    if unsafe { libc::chroot(c".".as_ptr()) } != 0 {
        return Err(format!("cannot change the root: {}", io::Error::last_os_error()));
    }
    enter("/")
}

fn make(folder: &str) -> Result<(), String> {
    std::fs::create_dir_all(folder).map_err(|error| format!("cannot make {folder}: {error}"))
}

fn enter(folder: &str) -> Result<(), String> {
    std::env::set_current_dir(folder).map_err(|error| format!("cannot go to {folder}: {error}"))
}

fn mount(source: &str, target: &str, kind: &str, flags: libc::c_ulong, options: &str) -> Result<(), String> {
    let text = |text: &str| CString::new(text).map_err(|error| error.to_string());
    let (source_c, target_c, kind_c, options_c) = (text(source)?, text(target)?, text(kind)?, text(options)?);
    // SAFETY: all strings are NUL-terminated and live through the call.
    let result = unsafe {
        libc::mount(source_c.as_ptr(), target_c.as_ptr(), kind_c.as_ptr(), flags, options_c.as_ptr().cast())
    };
    match result {
        0 => Ok(()),
        _ => Err(format!("cannot mount {kind} {source} on {target}: {}", io::Error::last_os_error())),
    }
}
