//! What a sibling sees of another although each has all the usual namespaces: exact channels, byte for
//! byte or count for count. None of them needs a privilege, a network or a shared file.
//!
//! Seen on Linux 6.18: a lock on a namespace file is seen by everyone in that namespace, and most
//! containers share the time namespace, and without a user namespace of their own the user namespace. Counters of the kernel
//! (open files, processes made, cookies of sockets) are everybody's; inotify instances are charged to the
//! user id in the parent user namespace.

use guest::probe::Request;
use nix::libc;
use runtime::container::Mechanism;

use super::super::check::{Absent, Check, Company, Expect, Finding, HostPlant, Missing, OnHost, Scene, Twin};
use super::super::judge;
use super::super::kind::Kind;
use super::super::nonce::Nonce;

const CLAIM: &str = "ns-unaware";
const COUNTER: &str = "the kernel counts for all its instances together";

/// Numbers a processor takes at once (include/linux/cookie.h).
const COOKIE_BATCH: i64 = 4096;

/// A kernel of another make has none of these files and counters.
fn not_in_sandboxes(kind: Kind, other: Expect) -> Expect {
    match kind {
        Kind::Sandbox => Expect::Pointless("its own kernel has no such thing"),
        _ => other,
    }
}

const fn lock(
    id: &'static str,
    question: &'static str,
    expect: fn(Kind) -> Expect,
    plant: fn(&super::super::nonce::Nonce) -> Vec<Request>,
    look: fn(&Scene<'_>) -> Vec<Request>,
    twin: Twin,
) -> Check {
    Check {
        id,
        claim: CLAIM,
        question,
        source: "fcntl(2): locks belong to the inode, and a namespace has one (nsfs)",
        expect,
        plant: Some(plant),
        look: Some(look),
        judge: |scene| {
            let seen = scene.look(0)?;
            let (errno, by) = (seen.number("errno")?, seen.number("held").unwrap_or(0));
            Ok(match (errno, by) {
                (0, 0) => Finding::Apart("unlocked".into()),
                (0, _) => Finding::Open(format!("locked, by process {}", seen.number("by")?)),
                _ => Finding::Wrong(judge::name(errno)),
            })
        },
        twin,
        ..Check::NOTHING
    }
}

const fn counter(
    id: &'static str,
    question: &'static str,
    source: &'static str,
    plant: fn(&super::super::nonce::Nonce) -> Vec<Request>,
    look: fn(&Scene<'_>) -> Vec<Request>,
    judge: fn(&Scene<'_>) -> Result<Finding, Missing>,
) -> Check {
    Check {
        id,
        claim: CLAIM,
        question,
        source,
        expect: |kind| not_in_sandboxes(kind, Expect::of_kernel(kind, COUNTER)),
        company: Company::Quiet,
        looks_before: true,
        plant: Some(plant),
        look: Some(look),
        judge,
        ..Check::NOTHING
    }
}

pub(super) const ALL: &[Check] = &[
    lock(
        "sibling-lock-time",
        "does a sibling see a lock on the file of the time namespace?",
        |kind| not_in_sandboxes(kind, Expect::usual(kind)),
        |_| vec![Request::LockPlant { path: "/proc/self/ns/time".into() }],
        |_| vec![Request::LockLook { path: "/proc/self/ns/time".into() }],
        Twin::Without(&[Mechanism::TimeNamespace]),
    ),
    lock(
        "sibling-lock-user",
        "does a sibling see a lock on the file of the user namespace?",
        |kind| not_in_sandboxes(kind, Expect::usual(kind)),
        |_| vec![Request::LockPlant { path: "/proc/self/ns/user".into() }],
        |_| vec![Request::LockLook { path: "/proc/self/ns/user".into() }],
        Twin::Without(&[Mechanism::UserNamespace]),
    ),
    lock(
        "sibling-lock-uts",
        "does a sibling see a lock on the file of the UTS namespace?",
        |kind| not_in_sandboxes(kind, Expect::usual(kind)),
        |_| vec![Request::LockPlant { path: "/proc/self/ns/uts".into() }],
        |_| vec![Request::LockLook { path: "/proc/self/ns/uts".into() }],
        Twin::Without(&[Mechanism::UtsNamespace]),
    ),
    lock(
        "sibling-lock-net",
        "does a sibling see a lock on the file of the network namespace?",
        |kind| not_in_sandboxes(kind, Expect::usual(kind)),
        |_| vec![Request::LockPlant { path: "/proc/self/ns/net".into() }],
        |_| vec![Request::LockLook { path: "/proc/self/ns/net".into() }],
        Twin::Without(&[Mechanism::NetworkNamespace]),
    ),
    lock(
        "sibling-lock-ipc",
        "does a sibling see a lock on the file of the IPC namespace?",
        |kind| not_in_sandboxes(kind, Expect::usual(kind)),
        |_| vec![Request::LockPlant { path: "/proc/self/ns/ipc".into() }],
        |_| vec![Request::LockLook { path: "/proc/self/ns/ipc".into() }],
        Twin::Without(&[Mechanism::IpcNamespace]),
    ),
    lock(
        "sibling-lock-pid",
        "does a sibling see a lock on the file of the PID namespace?",
        |kind| not_in_sandboxes(kind, Expect::usual(kind)),
        |_| vec![Request::LockPlant { path: "/proc/self/ns/pid".into() }],
        |_| vec![Request::LockLook { path: "/proc/self/ns/pid".into() }],
        Twin::Without(&[Mechanism::PidNamespace]),
    ),
    lock(
        "sibling-lock-cgroup",
        "does a sibling see a lock on the file of the cgroup namespace?",
        |kind| not_in_sandboxes(kind, Expect::usual(kind)),
        |_| vec![Request::LockPlant { path: "/proc/self/ns/cgroup".into() }],
        |_| vec![Request::LockLook { path: "/proc/self/ns/cgroup".into() }],
        Twin::Without(&[Mechanism::CgroupNamespace]),
    ),
    counter(
        "sibling-open-files",
        "does a sibling see in /proc/sys/fs/file-nr how many files another has opened?",
        "Documentation/admin-guide/sysctl/fs.rst: file-nr",
        |nonce| vec![Request::OpenMany { count: nonce.amplitude(600, 900) as u32 }],
        |_| vec![Request::Read { path: "/proc/sys/fs/file-nr".into(), most: 200 }],
        |scene| {
            let read = |text: &str| first_number(text);
            grown(scene, read(scene.before(0)?.text("text")?), read(scene.look(0)?.text("text")?))
        },
    ),
    counter(
        "sibling-processes",
        "does a sibling see in /proc/stat how many processes another has made?",
        "proc_stat(5): processes",
        |nonce| vec![Request::ForkMany { count: nonce.amplitude(400, 700) as u32 }],
        // Far behind the interrupts, of which there are many on large hosts.
        |_| {
            let (path, word) = ("/proc/stat".into(), "processes ".to_owned());
            vec![Request::FindLine { path, own: word.clone(), word }]
        },
        |scene| {
            let read = |line: &str| line.strip_prefix("processes ").and_then(first_number);
            grown(scene, read(scene.before(0)?.text("line")?), read(scene.look(0)?.text("line")?))
        },
    ),
    counter(
        "sibling-socket-cookies",
        "does a sibling learn from its own cookie how many sockets another has made?",
        "socket(7): SO_COOKIE; one counter of the kernel",
        |nonce| vec![Request::Cookies { count: nonce.amplitude(600, 900) as u32 }],
        |_| vec![Request::Cookies { count: 1 }],
        |scene| {
            let (before, after) = (scene.before(0)?.number("value")?, scene.look(0)?.number("value")?);
            // Between two of a processor's batches are those of the others.
            grown(scene, Some(0), Some((after - before).rem_euclid(COOKIE_BATCH)))
        },
    ),
    counter(
        "sibling-connections",
        "does a sibling see in /proc/net/sockstat how many TCP connections another holds?",
        "proc_pid_net(5): sockstat, TCP alloc",
        |nonce| vec![Request::Connections { count: nonce.amplitude(100, 200) as u32 }],
        |_| vec![Request::Read { path: "/proc/net/sockstat".into(), most: 4096 }],
        |scene| {
            let read = |text: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix("TCP:"))?;
                let (_, alloc) = line.split_once("alloc ")?;
                first_number(alloc)
            };
            let (before, after) = (read(scene.before(0)?.text("text")?), read(scene.look(0)?.text("text")?));
            // Two sockets a connection.
            let half = |number: Option<i64>| number.map(|number| number / 2);
            grown(scene, half(before), half(after))
        },
    ),
    Check {
        id: "sibling-inotify",
        claim: CLAIM,
        question: "can one instance use up another's inotify instances?",
        source: "inotify(7): max_user_instances, charged to the user id in the parent user namespace",
        expect: |kind| {
            let why =
                "charged to the user id in the parent user namespace, which is the same for all instances";
            not_in_sandboxes(kind, Expect::of_kernel(kind, why))
        },
        company: Company::Quiet,
        plant: Some(|_| vec![Request::Inotify { count: 4096 }]),
        look: Some(|_| vec![Request::Inotify { count: 1 }]),
        witness: |scene| {
            let (made, end) = scene
                .plant(0)
                .and_then(|seen| Ok((seen.number("made")?, seen.number("end")?)))
                .map_err(|Missing(what)| what)?;
            match end as i32 {
                libc::EMFILE => Ok(format!("{made} instances used up the limit")),
                _ => Err(format!("{made} instances, then {}: the limit was not reached", judge::name(end))),
            }
        },
        judge: |scene| {
            let (made, end) = (scene.look(0)?.number("made")?, scene.look(0)?.number("end")?);
            Ok(match (made, end as i32) {
                (1, _) => Finding::Apart("it got one of its own".into()),
                (_, libc::EMFILE) => Finding::Open("EMFILE: none is left for it".into()),
                (_, errno) => Finding::Wrong(judge::name(errno.into())),
            })
        },
        ..Check::NOTHING
    },
    Check {
        id: "sibling-user-keyring",
        claim: CLAIM,
        question: "does a sibling find a key in the user's keyring?",
        source: "user-keyring(7): one for each user id and user namespace",
        company: Company::Alone,
        plant: Some(|nonce| vec![Request::KeyPlant { name: nonce.word() }]),
        look: Some(|scene| vec![Request::KeyLook { name: scene.nonce.word(), of_session: false }]),
        // Where the calls are refused there is nothing to find; that no key can be made is the canary then.
        witness: |scene| {
            let errno = scene.plant(0).and_then(|seen| seen.number("errno")).map_err(|Missing(what)| what)?;
            Ok(format!("add_key: {}", judge::name(errno)))
        },
        judge: |scene| {
            let (planted, seen) = (scene.plant(0)?.number("errno")?, scene.look(0)?);
            let errno = seen.number("errno")?;
            let is_refused = |errno: i64| [libc::EPERM, libc::EACCES].contains(&(errno as i32));
            Ok(match (planted, errno) {
                (0, 0) => Finding::Open("the sibling finds the key".into()),
                (0, _) if seen.number("own")? == 1 => Finding::Apart(judge::name(errno)),
                (planted, errno) if is_refused(planted) && is_refused(errno) => {
                    Finding::Apart(format!("the calls are refused: {}", judge::name(errno)))
                }
                (planted, errno) => {
                    Finding::Wrong(format!("add_key {}, search {}", judge::name(planted), judge::name(errno)))
                }
            })
        },
        twin: Twin::Without(&[Mechanism::UserNamespace, Mechanism::Seccomp]),
        ..Check::NOTHING
    },
    Check {
        id: "host-session-keyring",
        claim: CLAIM,
        question: "is a key of this program's session keyring found inside?",
        source: "session-keyring(7): inherited through clone(2) and execve(2), in every namespace",
        company: Company::Alone,
        on_host: Some(SessionKey::plant),
        look: Some(|scene| vec![Request::KeyLook { name: scene.nonce.word(), of_session: true }]),
        judge: |scene| {
            let seen = scene.look(0)?;
            let errno = seen.number("errno")?;
            Ok(match errno as i32 {
                0 => Finding::Open("the key is found".into()),
                libc::EPERM | libc::EACCES => {
                    Finding::Apart(format!("the call is refused: {}", judge::name(errno)))
                }
                _ if seen.number("own")? == 1 => {
                    Finding::Apart(format!("{}; its own is found", judge::name(errno)))
                }
                _ => Finding::Wrong(format!("{}, and not even its own is found", judge::name(errno))),
            })
        },
        twin: Twin::Without(&[Mechanism::Keyring, Mechanism::UserNamespace, Mechanism::Seccomp]),
        ..Check::NOTHING
    },
];

/// A key in the session keyring of this thread, which what it starts inherits.
struct SessionKey {
    number: libc::c_long,
    name: std::ffi::CString,
}

/// keyctl(2), linux/keyctl.h.
const SESSION_KEYRING: libc::c_long = -3;
const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
const KEYCTL_UNLINK: libc::c_long = 9;
const KEYCTL_SEARCH: libc::c_long = 10;

impl SessionKey {
    /// In a new keyring, that of this program's own user is not to be touched.
    fn plant(nonce: &Nonce) -> HostPlant {
        let name = std::ffi::CString::new(nonce.word()).map_err(|error| Absent(error.to_string()))?;
        // SAFETY: strings and the payload live through the calls.
        let number = unsafe {
            let none = std::ptr::null::<libc::c_char>();
            match libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, none) {
                -1 => -1,
                _ => libc::syscall(
                    libc::SYS_add_key,
                    c"user".as_ptr(),
                    name.as_ptr(),
                    c"x".as_ptr(),
                    1usize,
                    SESSION_KEYRING,
                ),
            }
        };
        match number {
            -1 => Err(Absent(format!("a key: {}", std::io::Error::last_os_error()))),
            number => Ok(Box::new(SessionKey { number, name })),
        }
    }
}

impl OnHost for SessionKey {
    fn witness(&self) -> Result<String, String> {
        // SAFETY: the strings live through the call.
        let found = unsafe {
            let name = self.name.as_ptr();
            libc::syscall(libc::SYS_keyctl, KEYCTL_SEARCH, SESSION_KEYRING, c"user".as_ptr(), name, 0)
        };
        match found == self.number {
            true => Ok(format!("key {found:x} is in the session keyring")),
            false => Err(format!("the session keyring: {}", std::io::Error::last_os_error())),
        }
    }
}

impl Drop for SessionKey {
    fn drop(&mut self) {
        // SAFETY: no memory is involved.
        unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_UNLINK, self.number, SESSION_KEYRING) };
    }
}

fn first_number(text: &str) -> Option<i64> {
    text.split_whitespace().next()?.parse().ok()
}

/// Whether a counter grew by what the sibling did, within three tenths, for what the instances' own start does; or
/// hardly at all: then nothing else has moved it either, which could hide what the sibling did.
fn grown(scene: &Scene<'_>, before: Option<i64>, after: Option<i64>) -> Result<Finding, Missing> {
    let amplitude = scene.plant(0)?.number("made")?;
    let (Some(before), Some(after)) = (before, after) else {
        return Ok(Finding::Apart("the counter is not there inside, or counts nothing".into()));
    };
    let grown = after - before;
    Ok(match (grown - amplitude).abs() * 10 <= amplitude * 3 {
        true => Finding::Open(format!("grew by {grown} where the sibling made {amplitude}")),
        false if grown.abs() * 20 < amplitude => {
            Finding::Apart(format!("grew by {grown} where the sibling made {amplitude}"))
        }
        false => Finding::Wrong(format!("grew by {grown} where the sibling made {amplitude}")),
    })
}
