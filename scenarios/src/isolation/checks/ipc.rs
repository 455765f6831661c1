//! IPC namespace: System V objects and POSIX message queues; /dev/shm beside it (ipc_namespaces(7)).

use guest::probe::{IpcKind, Request};
use nix::libc;
use runtime::container::Mechanism;

use super::super::check::{Absent, Check, Finding, HostPlant, Missing, OnHost, Scene, Twin};
use super::super::judge;
use super::super::nonce::Nonce;
use super::super::world;

const CLAIM: &str = "ns-ipc";
const SYSTEM_V: &str = "ipc_namespaces(7), sysvipc(7)";
const TWIN: Twin = Twin::Without(&[Mechanism::IpcNamespace]);

/// A sibling looks for an object of `kind` by its key.
const fn sibling(
    id: &'static str,
    question: &'static str,
    source: &'static str,
    plant: fn(&Nonce) -> Vec<Request>,
    look: fn(&Scene<'_>) -> Vec<Request>,
) -> Check {
    Check {
        id,
        claim: CLAIM,
        question,
        source,
        plant: Some(plant),
        look: Some(look),
        judge: |scene| judge::not_found(scene.look(0)?, libc::ENOENT),
        twin: TWIN,
        ..Check::NOTHING
    }
}

pub(super) const ALL: &[Check] = &[
    sibling(
        "ipc-memory-sibling",
        "does a sibling find another's System V shared memory by its key?",
        SYSTEM_V,
        |nonce| plant(IpcKind::Memory, nonce),
        |scene| look(IpcKind::Memory, scene),
    ),
    sibling(
        "ipc-semaphore-sibling",
        "does a sibling find another's System V semaphores by their key?",
        SYSTEM_V,
        |nonce| plant(IpcKind::Semaphore, nonce),
        |scene| look(IpcKind::Semaphore, scene),
    ),
    sibling(
        "ipc-queue-sibling",
        "does a sibling find another's System V message queue by its key?",
        SYSTEM_V,
        |nonce| plant(IpcKind::Queue, nonce),
        |scene| look(IpcKind::Queue, scene),
    ),
    sibling(
        "ipc-posix-queue-sibling",
        "does a sibling find another's POSIX message queue by its name?",
        "ipc_namespaces(7), mq_overview(7)",
        |nonce| plant(IpcKind::PosixQueue, nonce),
        |scene| look(IpcKind::PosixQueue, scene),
    ),
    Check {
        id: "ipc-memory-host-in",
        claim: CLAIM,
        question: "is the host's System V shared memory found inside?",
        source: SYSTEM_V,
        on_host: Some(Segment::plant),
        look: Some(|scene| look(IpcKind::Memory, scene)),
        judge: |scene| judge::not_found(scene.look(0)?, libc::ENOENT),
        twin: TWIN,
        ..Check::NOTHING
    },
    Check {
        id: "ipc-memory-inside-out",
        claim: CLAIM,
        question: "does the host find an instance's System V shared memory?",
        source: SYSTEM_V,
        plant: Some(|nonce| plant(IpcKind::Memory, nonce)),
        judge: |scene| match find(scene.nonce.key()) {
            Ok(_) => Ok(Finding::Open("the host finds it".into())),
            Err(libc::ENOENT) => Ok(Finding::Apart("the host has no such key".into())),
            Err(errno) => Err(Missing(format!("the host's own look: {}", judge::name(errno.into())))),
        },
        twin: TWIN,
        ..Check::NOTHING
    },
    Check {
        id: "ipc-limit",
        claim: CLAIM,
        question: "has an instance the host's limit of System V shared memory?",
        source: "ipc_namespaces(7): /proc/sys/kernel/shmmni; sysvipc(7)",
        on_host: Some(Limit::plant),
        look: Some(|_| vec![Request::Read { path: LIMIT.into(), most: 32 }]),
        judge: |scene| {
            let seen = scene.look(0)?;
            let errno = seen.number("errno")?;
            if errno == i64::from(libc::ENOENT) && !scene.kind.shares_kernel() {
                return Ok(Finding::Absent(format!("the kernel inside has no {LIMIT}")));
            }
            let text = seen.text("text").map_err(|_| Missing(format!("{LIMIT}: {}", judge::name(errno))))?;
            Ok(judge::differs("limit", text.trim(), &scene.host()?.text()))
        },
        twin: TWIN,
        ..Check::NOTHING
    },
];

/// Segments there may be; what is set is more than any instance begins with, and harms nobody.
const LIMIT: &str = "/proc/sys/kernel/shmmni";

/// The world's limit, changed to a random one.
struct Limit(String);

impl Limit {
    fn plant(nonce: &Nonce) -> HostPlant {
        if !world::has_own("ipc") {
            return Err(Absent("this is the real host's IPC namespace, which is left as it is".into()));
        }
        let value = nonce.amplitude(4097, 30_000).to_string();
        std::fs::write(LIMIT, &value).map_err(|error| Absent(format!("{LIMIT}: {error}")))?;
        Ok(Box::new(Limit(value)))
    }
}

impl OnHost for Limit {
    fn witness(&self) -> Result<String, String> {
        match std::fs::read_to_string(LIMIT) {
            Ok(text) if text.trim() == self.0 => Ok(format!("{LIMIT} of the host is {}", self.0)),
            other => Err(format!("{LIMIT} of the host is {other:?}")),
        }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

fn plant(kind: IpcKind, nonce: &Nonce) -> Vec<Request> {
    vec![Request::IpcPlant { kind, key: nonce.key() }]
}

fn look(kind: IpcKind, scene: &Scene<'_>) -> Vec<Request> {
    vec![Request::IpcLook { kind, key: scene.nonce.key() }]
}

/// shmget(2) of what is there already.
fn find(key: i32) -> Result<i32, i32> {
    // SAFETY: no memory is involved.
    match unsafe { libc::shmget(key, 0, 0) } {
        -1 => Err(nix::errno::Errno::last_raw()),
        id => Ok(id),
    }
}

/// A segment of the host.
struct Segment {
    key: i32,
    id: i32,
}

impl Segment {
    fn plant(nonce: &Nonce) -> HostPlant {
        let key = nonce.key();
        // SAFETY: no memory is involved.
        match unsafe { libc::shmget(key, 4096, libc::IPC_CREAT | libc::IPC_EXCL | 0o666) } {
            -1 => Err(Absent(format!("shmget: {}", std::io::Error::last_os_error()))),
            id => Ok(Box::new(Segment { key, id })),
        }
    }
}

impl OnHost for Segment {
    fn witness(&self) -> Result<String, String> {
        match find(self.key) {
            Ok(id) if id == self.id => Ok(format!("segment {id} has key {:#x}", self.key)),
            other => Err(format!("key {:#x}: {other:?}", self.key)),
        }
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: the command takes no buffer.
        unsafe { libc::shmctl(self.id, libc::IPC_RMID, std::ptr::null_mut()) };
    }
}
