//! Other processes by their number, all of them at once, and a file that gives its owner's rights.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use guest::probe::{Fact, Facts};

use super::{errno, errno_of, facts, last_errno, number, text};

/// How long a signal to everyone may take to arrive, in seconds.
const PATIENCE_S: i64 = 3;
/// Most that is read of another's memory.
const MOST_BYTES: usize = 64;

/// kill(2) of everyone, by a user who may only signal what is his: `own` where it reached a process of his.
pub fn signal_all(uid: u32, signal: i32) -> Facts {
    // SAFETY: the program has one thread; sets and times are local; the child waits and ends.
    unsafe {
        let mut signals: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut signals);
        libc::sigaddset(&mut signals, signal);
        libc::sigprocmask(libc::SIG_BLOCK, &signals, std::ptr::null_mut());
        if libc::setresuid(uid, uid, uid) != 0 {
            return facts([("errno", number(last_errno())), ("step", Fact::Text("setresuid".into()))]);
        }
        let child = libc::fork();
        if child == 0 {
            let longest = libc::timespec { tv_sec: PATIENCE_S, tv_nsec: 0 };
            let came = libc::sigtimedwait(&signals, std::ptr::null_mut(), &longest);
            libc::_exit(i32::from(came != signal));
        }
        let errno = errno_of(libc::kill(-1, signal).into());
        let mut status = -1;
        libc::waitpid(child, &mut status, 0);
        facts([
            ("errno", number(errno)),
            ("step", Fact::Text("kill".into())),
            ("own", number(i64::from(status == 0))),
        ])
    }
}

/// process_vm_readv(2): what is in another's memory.
pub fn peek(pid: i32, address: i64, bytes: u32) -> Facts {
    let mut found = vec![0u8; (bytes as usize).min(MOST_BYTES)];
    let here = libc::iovec { iov_base: found.as_mut_ptr().cast(), iov_len: found.len() };
    let there = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: found.len() };
    // SAFETY: `here` describes a buffer that lives through the call; `there` is for the kernel to check.
    let read = unsafe { libc::process_vm_readv(pid, &here, 1, &there, 1, 0) };
    facts([("errno", number(errno_of(read as i64))), ("text", text(&found))])
}

/// Makes a program that belongs to root and gives root's rights to whom executes it (execve(2)), and
/// executes it as `uid`: `ran`, `gained`; else the `step` that went wrong.
pub fn setuid_file(uid: u32) -> Facts {
    let mut last = facts([("errno", number(libc::ENOENT)), ("step", Fact::Text("no folder".into()))]);
    for folder in ["/tmp", "/root", "/dev"] {
        let path = format!("{folder}/bench-setuid");
        let made = fs::write(&path, TELLS_ROOT)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o4755)));
        last = match made {
            Err(error) => facts([("errno", errno(&error)), ("step", Fact::Text(path.clone()))]),
            Ok(()) => execute(&path, uid),
        };
        let _ = fs::remove_file(&path);
        if last.contains_key("ran") {
            break;
        }
    }
    last
}

fn execute(path: &str, uid: u32) -> Facts {
    let Ok(name) = CString::new(path) else { return Facts::new() };
    let arguments = [name.as_ptr(), std::ptr::null()];
    // SAFETY: the program has one thread; strings and arrays live through the calls.
    let status = unsafe {
        let child = libc::fork();
        if child == 0 {
            if libc::setresuid(uid, uid, uid) != 0 {
                libc::_exit(NO_USER);
            }
            libc::execve(name.as_ptr(), arguments.as_ptr(), [std::ptr::null()].as_ptr());
            libc::_exit(NOT_RUN);
        }
        let mut status = -1;
        libc::waitpid(child, &mut status, 0);
        status
    };
    match libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)) {
        Some(IS_ROOT) => facts([("errno", number(0)), ("ran", number(1)), ("gained", number(1))]),
        Some(IS_OTHER) => facts([("errno", number(0)), ("ran", number(1)), ("gained", number(0))]),
        Some(NO_USER) => facts([("errno", number(libc::EPERM)), ("step", Fact::Text("setresuid".into()))]),
        _ => facts([("errno", number(libc::ENOEXEC)), ("step", Fact::Text(format!("execve {path}")))]),
    }
}

/// Exit status where the effective user is root, and where it is another.
const IS_ROOT: i32 = 42;
const IS_OTHER: i32 = 43;
const NO_USER: i32 = 44;
const NOT_RUN: i32 = 45;

/// The smallest program that tells whether its effective user is root: an ELF header, one segment (elf(5)),
/// and `geteuid`, `exit`.
const TELLS_ROOT: &[u8] = &[
    // e_ident: 64 bit, little endian, version 1.
    0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    // e_type executable, e_machine x86-64, e_version, e_entry, e_phoff, e_shoff.
    2, 0, 62, 0, 1, 0, 0, 0, 0x78, 0, 0x40, 0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    // e_flags, e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx.
    0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0,
    // p_type load, p_flags read and execute, p_offset, p_vaddr, p_paddr.
    1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0,
    // p_filesz, p_memsz, p_align.
    148, 0, 0, 0, 0, 0, 0, 0, 148, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0,
    // mov eax, 107 (geteuid); syscall; xor edi, edi; test eax, eax; setne dil; add edi, 42.
    0xb8, 107, 0, 0, 0, 0x0f, 0x05, 0x31, 0xff, 0x85, 0xc0, 0x40, 0x0f, 0x95, 0xc7, 0x83, 0xc7, 42,
    // mov eax, 60 (exit); syscall, and three that fill up.
    0xb8, 60, 0, 0, 0, 0x0f, 0x05, 0x90, 0x90, 0x90,
];
