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

/// Memory that a process can make a kernel spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryKind {
    /// Its own pages.
    Anonymous,
    /// Pages of a shared mapping.
    Shared,
    /// The kernel's own, for page tables: no process has them in its resident set.
    PageTables,
}

/// What a task does, for who measures it and who is a nuisance by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Computes.
    Compute,
    /// Goes through more memory than caches hold.
    Memory,
    /// Sends datagrams over the loopback, and receives them.
    Loopback,
    /// Writes a small block to storage, has it synced, and reads it.
    Block,
    /// Writes a large piece to storage, and has it synced.
    Bulk,
}

impl Work {
    /// Whether it writes to storage.
    pub fn is_on_storage(self) -> bool {
        matches!(self, Work::Block | Work::Bulk)
    }
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
    /// Leaves two processes behind whose parent has ended: one called `name` that lives until the end, with its
    /// `pid` and its `parent` then, and one that ends at once; whether somebody waits for that: `reaped`.
    /// `errno` where they could not be made.
    Orphan {
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
    /// kill(2) of everyone, by a user of this id: `errno`, `step`; `own`: whether a process of its own
    /// is reached.
    SignalAll {
        /// A user id that owns nothing else.
        uid: u32,
        /// What; whom it does not reach does not notice.
        signal: i32,
    },
    /// Another process's memory (process_vm_readv(2)): `errno`, `text`.
    Peek {
        /// Whose.
        pid: i32,
        /// Where.
        address: i64,
        /// How much.
        bytes: u32,
    },
    /// Executes, as a user of this id, a file that gives the rights of root: `ran`, `gained`; or `errno`,
    /// `step`.
    SetuidFile {
        /// Not root.
        uid: u32,
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
    /// Looks through a text of any length for lines with a word: `errno`, `lines`, `found`, the number of them, and
    /// the first as `line`; `own`: whether a line has the other word, where there is one.
    FindLine {
        /// Which file.
        path: String,
        /// What is looked for.
        word: String,
        /// What is there in any case.
        own: String,
    },
    /// Opens a file for writing, and writes where the text is not empty: `open`, `errno`.
    Write {
        /// Which.
        path: String,
        /// What.
        text: String,
    },
    /// access(2) of a file, whether it might be written: `errno`.
    Access {
        /// Which.
        path: String,
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
    /// Sends messages of netlink(7) and hears all that is answered: `errno`, of the socket or of the answer;
    /// `text`: the bytes of it that are letters, digits and signs; `bytes`.
    Netlink {
        /// Which family of it.
        protocol: i32,
        /// As the kernel takes them.
        messages: Vec<u8>,
    },
    /// Listens to all frames (packet(7)): `errno`, `frames`, and how many have the word: `found`; `own`: whether
    /// one of its own on the loopback is heard.
    Sniff {
        /// Which.
        word: String,
        /// For how long.
        wall_ms: u32,
    },
    /// Takes part in the network its interface is at until the end: answers the word on a TCP `port` that is free,
    /// and every datagram to the same port with itself, the last one again and again. `errno`; `address` and
    /// `hardware` of the interface.
    Peer {
        /// What it answers, at most 15 bytes.
        word: String,
    },
    /// Connects to an address that its network does not have: as it is, `plain`; past its routes, by its
    /// interface alone, `bound`; by a route of its own making, `route` (the error number of making it) and
    /// `routed`. What comes after a connection is not tried. `own`: whether a peer answers its word.
    Reach {
        /// `a.b.c.d:port`.
        to: String,
        /// Through whom its route leads.
        gateway: String,
        /// `a.b.c.d:port` of a peer.
        peer: String,
        /// What that answers.
        word: String,
    },
    /// Sends datagrams: one of its own, `WORD-own`: `errno`; and `WORD-forged` with another's address as its
    /// source, from a socket that is given that (`bound`) and written by itself (`raw`): error numbers.
    Forge {
        /// Another's address.
        source: String,
        /// `a.b.c.d:port`.
        to: String,
        /// What is in them.
        word: String,
    },
    /// As [`Request::Sniff`], while it sends frames with another's hardware address as their source.
    Impersonate {
        /// `aa:bb:cc:dd:ee:ff`.
        hardware: String,
        /// What others say to the other.
        word: String,
        /// For how long.
        wall_ms: u32,
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
    /// Looks for one there, or in the session's: `errno`, `own`.
    KeyLook {
        /// Its description.
        name: String,
        /// In the session's keyring.
        of_session: bool,
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
    /// What process 1, or this program, has open that is called so: `found`; of so many: `count`.
    Descriptors {
        /// A part of what a descriptor leads to.
        mark: String,
    },
    /// Descriptors of this program that lead to folders: `folders`; how many from 3 on are `open`.
    OpenFolders,
    /// mount(2) of a tmpfs: `errno`.
    Mount {
        /// Where.
        path: String,
    },
    /// Takes a mount's being read-only away: `errno`.
    Remount {
        /// Where it is mounted.
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
    /// A child takes memory: `touched` bytes until it ended, by which `signal` (0: it got all), `errno`.
    Hog {
        /// Of which kind.
        kind: MemoryKind,
        /// How much.
        bytes: u64,
    },
    /// Memory of its own that it keeps: `errno`, `touched`.
    Keep {
        /// How much.
        bytes: u64,
    },
    /// The same in a shared mapping: `errno`, `touched`.
    KeepShared {
        /// How much.
        bytes: u64,
    },
    /// Looks for a word of the host's: `errno` of reading `path`; among the devices a machine is given,
    /// if it is one: `scanned`, the number of them, and `found`, the number of those that have it;
    /// `own`: whether what the host has told this machine is found that way.
    FindWord {
        /// A file of the host with it, backwards: not to be found in what carries this request.
        path: String,
        /// The word, backwards too.
        word: String,
        /// Whether this is a machine, whose ports are its own.
        is_machine: bool,
    },
    /// Ends the machine, after having answered. For machines only.
    End {
        /// By a panic of its kernel, else by a reset (a triple fault on x86 with `reboot=t`).
        panic: bool,
    },
    /// Puts the clock of the day ahead; for machines only: `errno`, and its readings `before_ns`, `after_ns`.
    SetClock {
        /// By how much.
        ahead_s: u32,
    },
    /// Small tasks one after the other: the time each takes, as `median_ns`, `p90_ns`, `p99_ns`, `most_ns`, and the
    /// number of them, `count`; `errno` where one fails.
    Latency {
        /// What a task is.
        of: Work,
        /// For how long altogether, on the wall's clock.
        wall_ms: u32,
    },
    /// A process called `name` that does such tasks until the end: `errno`.
    Busy {
        /// Name of at most 15 bytes (PR_SET_NAME).
        name: String,
        /// What a task is.
        with: Work,
    },
    /// Writes to the way out, past the protocol, and answers: `errno`, `bytes`. For tests of those
    /// who listen.
    Shout {
        /// What, again and again.
        text: String,
        /// How much.
        bytes: u64,
    },
    /// Computes: `cpu_ns` of it within `wall_ns`.
    Compute {
        /// For how long, on the wall's clock.
        wall_ms: u32,
    },
    /// A process called `name` that computes until the end: `errno`.
    Spinner {
        /// Name of at most 15 bytes (PR_SET_NAME).
        name: String,
        /// Not a child, but left behind by one that has ended, in a session of its own.
        orphan: bool,
    },
    /// A process called `name` that makes processes, one after the other, until the end: `errno`.
    Forker {
        /// Name of at most 15 bytes (PR_SET_NAME).
        name: String,
    },
    /// A process called `name` that writes to a terminal and reads from it until the end: `errno`.
    Terminal {
        /// Name of at most 15 bytes (PR_SET_NAME).
        name: String,
    },
    /// Writes to storage, past the page cache: `errno`, `bytes` of it within `wall_ns`.
    WriteDisk {
        /// How much.
        bytes: u64,
    },
    /// Writes to storage through the page cache: `errno`, `bytes`, and how many of them are in memory then:
    /// `resident`.
    WriteCached {
        /// How much.
        bytes: u64,
    },
    /// Makes processes until there are no more to be had: `made`, `end` (the error number), and all that
    /// /proc then lists: `count`.
    ForkBomb {
        /// At most.
        most: u32,
    },
    /// The processors it can be bound to, and then runs on: `processors`.
    Processors,
    /// Looks for cgroup hierarchies, mounted here or to be mounted: `mounted`, the number of them;
    /// `mount` (error number of the last attempt); in how many the group of this name is found:
    /// `found`; of those, in how many a process can be moved to the root: `moved`; files with limits
    /// there that open for writing: `limits`; release_agent files that do: `agents`.
    Cgroups {
        /// A group the host has made in each of its hierarchies, relative to their roots.
        group: String,
    },
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
                | Request::Peer { .. }
                | Request::LockPlant { .. }
                | Request::OpenMany { .. }
                | Request::Inotify { .. }
                | Request::KeyPlant { .. }
                | Request::Mount { .. }
                | Request::Keep { .. }
                | Request::KeepShared { .. }
                | Request::End { .. }
                | Request::Spinner { .. }
                | Request::Orphan { .. }
                | Request::Forker { .. }
                | Request::Busy { .. }
                | Request::Terminal { .. }
        )
    }
}
