//! What a probe can be asked.

use serde::{Deserialize, Serialize};

/// A kind of object that is found by a key or a name (sysvipc(7), mq_overview(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IpcKind {
    /// System V shared memory segment.
    Memory,
    /// System V semaphore set.
    Semaphore,
    /// System V message queue.
    Queue,
    /// POSIX message queue.
    PosixQueue,
    /// POSIX shared memory: a file in /dev/shm.
    PosixMemory,
}

/// One request. Each is carried out in a process of its own with a deadline; the facts it answers
/// with stand beside it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Own host and domain name: `host`, `domain`.
    Names,
    /// Sets both: `errno`, and `own` where they read back so.
    SetNames {
        /// Host name.
        host: String,
        /// Domain name.
        domain: String,
    },
    /// Own process id and the parent's: `pid`, `parent`, and all of /proc's: `count`, `pids`.
    Processes,
    /// A process called `name` that lives until the end: `errno`, `pid`.
    Sleeper {
        /// Name of at most 15 bytes (PR_SET_NAME).
        name: String,
    },
    /// Looks through /proc for processes called `name`: `found`, the number; `own`: whether one
    /// started by this very probe under another name is found the same way.
    FindProcess {
        /// Name of at most 15 bytes.
        name: String,
    },
    /// kill(2): `errno`. Signal 0 asks only whether it could.
    Signal {
        /// To whom.
        pid: i32,
        /// What.
        signal: i32,
    },
    /// Makes an object and keeps it: `errno`, `own`.
    IpcPlant {
        /// Of which kind.
        kind: IpcKind,
        /// Key, and number in the name of POSIX objects.
        key: i32,
    },
    /// Looks for such an object without making it: `errno`; `own`: whether one made by this very
    /// probe under another key is found.
    IpcLook {
        /// Of which kind.
        kind: IpcKind,
        /// Key.
        key: i32,
    },
    /// Reads a file: `errno`, `text`, `bytes`.
    Read {
        /// Which.
        path: String,
        /// Bytes at most.
        most: u32,
    },
    /// Opens a file for writing, and writes where the text is not empty: `open`, `errno`.
    Write {
        /// Which.
        path: String,
        /// What.
        text: String,
    },
    /// Names in a folder: `errno`, `names`.
    List {
        /// Which.
        path: String,
    },
    /// stat(2) without following: `errno`, `inode`, `device`, `mode`, `uid`, `gid`, `bytes`; `link`
    /// where it is one.
    Stat {
        /// Which.
        path: String,
    },
    /// A system call with numbers: `result`, `errno`. Not for calls that end the caller.
    Call {
        /// Its number on x86-64.
        number: i64,
        /// Arguments.
        arguments: Vec<i64>,
    },
    /// Listens on an abstract socket: `errno`, `own`.
    AbstractPlant {
        /// Its name.
        name: String,
    },
    /// Connects to one: `errno`; `own`: to one of its own.
    AbstractLook {
        /// Its name.
        name: String,
    },
    /// Listens on a TCP port of the loopback: `errno`, `own`.
    PortPlant {
        /// Which.
        port: u16,
    },
    /// Connects to one: `errno`; listens there itself: `bind`, and connects again: `own`.
    PortLook {
        /// Which.
        port: u16,
    },
    /// Makes sockets one after the other and asks for their cookies: `errno`, `made`, `value` (the last).
    Cookies {
        /// How many.
        count: u32,
    },
    /// Holds TCP connections over the loopback: `errno`, `made`.
    Connections {
        /// How many.
        count: u32,
    },
    /// Holds a POSIX read lock on a file: `errno`.
    LockPlant {
        /// Which.
        path: String,
    },
    /// Whether somebody else holds one: `errno`, `held`, `by`; `own`: whether a child's is seen.
    LockLook {
        /// Which.
        path: String,
    },
    /// Holds open files: `errno`, `made`.
    OpenMany {
        /// How many.
        count: u32,
    },
    /// Makes and ends processes: `errno`, `made`.
    ForkMany {
        /// How many.
        count: u32,
    },
    /// Holds inotify instances until there are `count` or no more: `made`, `end` (the error number).
    Inotify {
        /// At most.
        count: u32,
    },
    /// Puts a key into the user's keyring: `errno`, `own`.
    KeyPlant {
        /// Its description.
        name: String,
    },
    /// Looks for one there: `errno`, `own`.
    KeyLook {
        /// Its description.
        name: String,
    },
    /// Leaves a root with chroot(2) and looks for a path from there: `errno`, `step` and `failed` where
    /// it came no further.
    ChrootEscape {
        /// Which.
        path: String,
    },
    /// Goes up from the root and looks for a path: `errno`, `own`.
    DotsEscape {
        /// Which.
        path: String,
    },
    /// Goes up from what open descriptors lead to and looks for a path: `errno`, `through`, `own`.
    DescriptorEscape {
        /// Which.
        path: String,
    },
    /// What process 1 has open: `descriptors`, and the working directory: `cwd`.
    Descriptors,
    /// Descriptors of this program that lead to folders: `folders`; how many from 3 on are `open`.
    OpenFolders,
    /// mount(2) of a tmpfs: `errno`.
    Mount {
        /// Where.
        path: String,
    },
    /// Makes a device node and opens it: `errno`, `mknod`, `open`.
    Device {
        /// Block, else character.
        block: bool,
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// open_by_handle_at(2) of the root of the file system `/` is on: `errno`.
    Handle,
    /// Makes a file: `errno`.
    Create {
        /// Which.
        path: String,
    },
    /// Clocks in nanoseconds: `realtime`, `monotonic`, `boottime`.
    Clocks,
    /// Never answers.
    Hang,
    /// Ends by this signal.
    Crash {
        /// Which.
        signal: i32,
    },
}

impl Request {
    /// Whether what it makes lasts as long as the process that made it, which therefore stays.
    pub fn holds(&self) -> bool {
        matches!(
            self,
            Request::Sleeper { .. }
                | Request::IpcPlant { .. }
                | Request::SetNames { .. }
                | Request::AbstractPlant { .. }
                | Request::PortPlant { .. }
                | Request::Connections { .. }
                | Request::LockPlant { .. }
                | Request::OpenMany { .. }
                | Request::Inotify { .. }
                | Request::KeyPlant { .. }
                | Request::Mount { .. }
        )
    }
}
