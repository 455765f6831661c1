//! Ways out of a root: as seen from inside, each with the path it leads to.

use std::ffi::CString;

use guest::probe::{Fact, Facts};

use super::{errno, errno_of, facts, last_errno, number};

/// chroot(2) into a folder with a working directory outside it, then up (chroot(2), "Notes"): whether
/// `path` is found from there.
pub fn chroot(path: &str) -> Facts {
    let folder = c"/dev/shm/bench-chroot";
    let _ = std::fs::create_dir_all("/dev/shm");
    // SAFETY: constant strings; acts on this process alone, which ends after it.
    let (step, failed) = unsafe {
        libc::mkdir(folder.as_ptr(), 0o755);
        if libc::chroot(folder.as_ptr()) != 0 {
            ("chroot", last_errno())
        } else {
            for _ in 0..64 {
                libc::chdir(c"..".as_ptr());
            }
            if libc::chroot(c".".as_ptr()) != 0 { ("second chroot", last_errno()) } else { ("", 0) }
        }
    };
    found(path, step, failed)
}

/// `..` from the root, more often than any path is deep: whether `path` is found from there.
pub fn dots(path: &str) -> Facts {
    let up = format!("/{}{}", "../".repeat(64), path.trim_start_matches('/'));
    found(&up, "", 0)
}

fn found(path: &str, step: &str, failed: i32) -> Facts {
    let seen = std::fs::symlink_metadata(path);
    let own = std::fs::symlink_metadata("/").is_ok();
    facts([
        ("errno", seen.map_or_else(|error| errno(&error), |_| number(0))),
        ("step", Fact::Text(step.into())),
        ("failed", number(failed)),
        ("own", number(i64::from(own))),
    ])
}

/// The descriptors the guest program was started with: how many, and how many lead to something called
/// so. Those of process 1 where they may be seen, else the copies this probe has.
pub fn descriptors(mark: &str) -> Facts {
    let entries = std::fs::read_dir("/proc/1/fd").or_else(|_| std::fs::read_dir("/proc/self/fd"));
    let (mut count, mut marked) = (0, 0);
    for entry in entries.into_iter().flatten().flatten() {
        count += 1;
        let target = std::fs::read_link(entry.path()).unwrap_or_default();
        marked += i64::from(target.to_string_lossy().contains(mark));
    }
    facts([("errno", number(0)), ("count", number(count)), ("found", number(marked))])
}

/// Of this very process, which its parent's descriptors were copied to: those that lead to a folder.
pub fn folders() -> Facts {
    let mut open = Vec::new();
    let mut checked = 0;
    for number in 3..1024 {
        // SAFETY: the descriptor may not be open, which the call says; stat is plain data.
        let (result, mode) = unsafe {
            let mut stat: libc::stat = std::mem::zeroed();
            (libc::fstat(number, &mut stat), stat.st_mode)
        };
        if result == 0 {
            checked += 1;
            if mode & libc::S_IFMT == libc::S_IFDIR {
                let path = std::fs::read_link(format!("/proc/self/fd/{number}"));
                open.push(format!("{number} {}", path.unwrap_or_default().to_string_lossy()));
            }
        }
    }
    facts([("errno", number(0)), ("folders", Fact::List(open)), ("open", number(checked))])
}

/// Opens what a descriptor of process 1 and of itself lead to, and goes up from there.
pub fn through_descriptors(path: &str) -> Facts {
    let tail = path.trim_start_matches('/');
    for number in 3..64 {
        let way = format!("/proc/self/fd/{number}/{}{tail}", "../".repeat(32));
        if std::fs::symlink_metadata(&way).is_ok() {
            return facts([
                ("errno", super::number(0)),
                ("through", super::number(number)),
                ("own", super::number(1)),
            ]);
        }
    }
    facts([
        ("errno", number(libc::ENOENT)),
        ("own", number(i64::from(std::fs::symlink_metadata("/proc/self").is_ok()))),
    ])
}

/// mount(2) of a tmpfs on `path`.
pub fn mount(path: &str) -> Facts {
    let _ = std::fs::create_dir_all(path);
    let Ok(target) = CString::new(path) else { return Facts::new() };
    // SAFETY: strings that end with NUL; no data is passed.
    let result =
        unsafe { libc::mount(c"tmpfs".as_ptr(), target.as_ptr(), c"tmpfs".as_ptr(), 0, std::ptr::null()) };
    facts([("errno", number(errno_of(result.into())))])
}

/// mount(2) with MS_REMOUNT and MS_BIND: the flags of the mount at `path` without MS_RDONLY.
pub fn remount(path: &str) -> Facts {
    let Ok(target) = CString::new(path) else { return Facts::new() };
    let flags = libc::MS_REMOUNT | libc::MS_BIND | libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    let none = std::ptr::null();
    // SAFETY: a string that ends with NUL; nothing else is passed.
    let result = unsafe { libc::mount(none, target.as_ptr(), none, flags, none.cast()) };
    facts([("errno", number(errno_of(result.into())))])
}

/// mknod(2) of a device and open(2) of it.
pub fn device(is_block: bool, major: u32, minor: u32) -> Facts {
    let mut made = 0;
    for folder in ["/dev", "/dev/shm", "/tmp", "/run", "/"] {
        let path = format!("{folder}/bench-device");
        let Ok(name) = CString::new(path) else { continue };
        let kind = if is_block { libc::S_IFBLK } else { libc::S_IFCHR };
        // SAFETY: the name ends with NUL and lives through the calls.
        unsafe {
            if libc::mknod(name.as_ptr(), kind | 0o600, libc::makedev(major, minor)) != 0 {
                // That it is refused says more than that this folder is read-only or missing.
                if made != libc::EPERM {
                    made = last_errno();
                }
                continue;
            }
            let file = libc::open(name.as_ptr(), libc::O_RDONLY | libc::O_NONBLOCK | libc::O_CLOEXEC);
            let opened = if file < 0 { last_errno() } else { 0 };
            libc::unlink(name.as_ptr());
            return facts([("errno", number(opened)), ("mknod", number(0)), ("open", number(opened))]);
        }
    }
    facts([("errno", number(made)), ("mknod", number(made))])
}

/// open_by_handle_at(2) of the second inode, which is the root of most file systems.
pub fn handle() -> Facts {
    #[repr(C)]
    struct Handle {
        bytes: u32,
        kind: i32,
        data: [u32; 2],
    }
    // FILEID_INO32_GEN: inode, generation (include/linux/exportfs.h).
    let mut handle = Handle { bytes: 8, kind: 1, data: [2, 0] };
    let Ok(root) = std::fs::File::open("/") else { return Facts::new() };
    use std::os::fd::AsRawFd;
    // SAFETY: the handle has the layout of struct file_handle and lives through the call.
    let file = unsafe {
        libc::syscall(libc::SYS_open_by_handle_at, root.as_raw_fd(), &raw mut handle, libc::O_RDONLY)
    };
    facts([("errno", number(errno_of(file)))])
}
