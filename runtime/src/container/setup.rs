//! What a container is to be, as data.
//!
//! A [`Setup`] is written once: by the backend from its own standard, or from an OCI bundle. It is
//! compiled once per run into what the child carries out, and each instance adds only what differs
//! (program, arguments, descriptors, host name, cgroup). Each mechanism is a field, so that a test can switch exactly one off.
//! What cannot be carried out is refused when it is compiled, never ignored.

use std::ffi::CString;
use std::path::PathBuf;

/// A whole container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Which namespaces it has of its own.
    pub namespaces: Namespaces,
    /// Ids inside its new user namespace; needed there, refused elsewhere.
    pub id_maps: Option<IdMaps>,
    /// Its file system.
    pub root: Root,
    /// Mounted in this order after the root and before anything of it is hidden.
    pub mounts: Vec<Mount>,
    /// Device nodes in the root.
    pub devices: Vec<Device>,
    /// Symbolic links in the root, made after the devices: (text, path inside).
    pub links: Vec<(CString, PathBuf)>,
    /// Paths inside covered by nothing: a file by /dev/null, a folder by an empty read-only file
    /// system. What is not there is not hidden.
    pub masked: Vec<PathBuf>,
    /// Paths inside that can be read only. What is not there is left out.
    pub read_only: Vec<PathBuf>,
    /// Host name; one given at launch goes before it. Needs a new UTS namespace.
    pub hostname: Option<String>,
    /// NIS domain name. Needs a new UTS namespace.
    pub domainname: Option<String>,
    /// Kernel parameters as files below /proc/sys, dots or slashes between their parts.
    pub sysctls: Vec<(String, String)>,
    /// Whether the loopback interface of a new network namespace is brought up.
    pub loopback: bool,
    /// The program.
    pub process: Process,
}

/// For each kind: the host's, a new one, or somebody's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// Process ids.
    pub pid: Namespace,
    /// Interfaces, routes, rules, abstract sockets.
    pub network: Namespace,
    /// Host and domain name.
    pub uts: Namespace,
    /// Mounts.
    pub mount: Namespace,
    /// System V objects and POSIX message queues.
    pub ipc: Namespace,
    /// User ids and capabilities.
    pub user: Namespace,
    /// The visible root of the cgroup hierarchies.
    pub cgroup: Namespace,
    /// Monotonic and boot-time clocks.
    pub time: Namespace,
    /// Offsets of the clocks of a new time namespace.
    pub time_offsets: TimeOffsets,
}

/// Where one kind of namespace comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Namespace {
    /// That of the caller.
    #[default]
    Host,
    /// A new one.
    New,
    /// The one behind this file (`/proc/<pid>/ns/<kind>` or a bind mount of it).
    Join(PathBuf),
}

/// Offsets of a time namespace (time_namespaces(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeOffsets {
    /// CLOCK_MONOTONIC: seconds and nanoseconds.
    pub monotonic: Option<(i64, u32)>,
    /// CLOCK_BOOTTIME: seconds and nanoseconds.
    pub boottime: Option<(i64, u32)>,
}

/// Maps of a user namespace (user_namespaces(7)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMaps {
    /// User ids.
    pub uids: Vec<IdRange>,
    /// Group ids.
    pub gids: Vec<IdRange>,
    /// Who writes them.
    pub writer: MapWriter,
}

/// One line of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// First id inside.
    pub inside: u32,
    /// First id outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// Who writes the maps of a new user namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MapWriter {
    /// This program: as root, or as a user who maps the own id only.
    #[default]
    Own,
    /// newuidmap(1) and newgidmap(1), for the ranges of /etc/subuid and /etc/subgid.
    NewIdMap,
    /// This program as root, for a user who could have either of the above write them.
    ForUser,
}

/// The file system of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// What it is made of.
    pub source: RootSource,
    /// Whether it can be read only, once everything in it is in place.
    pub read_only: bool,
    /// How mounts made later spread between it and the host (mount_namespaces(7)).
    pub propagation: Propagation,
    /// How the old root is left. [`Leave::Pivot`], but for tests.
    pub leave: Leave,
}

/// What a root is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootSource {
    /// Nothing but the mount points: a small file system in memory.
    Empty,
    /// Folders that stay as they are below one that takes what is written.
    Overlay {
        /// The lower folders, topmost first.
        lower: Vec<PathBuf>,
        /// The upper one.
        upper: Upper,
    },
    /// A folder as it is; what is written stays in it.
    Folder(PathBuf),
    /// The host's own root.
    Host,
}

/// What takes the writes of an overlay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upper {
    /// A file system in memory that ends with the container.
    Memory {
        /// Its size.
        size_bytes: u64,
    },
    /// Two folders of one file system.
    Folders {
        /// Upper folder.
        upper: PathBuf,
        /// Empty folder for overlayfs's own use.
        work: PathBuf,
    },
}

/// How mounts spread (mount_namespaces(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// Neither way.
    #[default]
    Private,
    /// From the host inwards.
    Slave,
    /// Both ways.
    Shared,
    /// Neither way, and cannot be bound.
    Unbindable,
}

/// How the old root is left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leave {
    /// pivot_root(2), then the old root is unmounted.
    #[default]
    Pivot,
    /// chroot(2) only, which is no boundary: the control of the checks that look for a way out.
    Chroot,
}

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Mount point inside; made where it is missing.
    pub target: PathBuf,
    /// What is mounted there.
    pub source: MountSource,
    /// Attributes.
    pub attributes: MountAttributes,
    /// Set on the mount point once it is in place; `None`: as it comes.
    pub propagation: Option<(Propagation, Reach)>,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountSource {
    /// A file system of the kernel.
    Kind {
        /// Its type, as in /proc/filesystems.
        kind: String,
        /// The device or name.
        source: String,
        /// Its own options: `name` or `name=value`.
        options: Vec<String>,
    },
    /// A file or folder of the host.
    Bind {
        /// Where it is outside.
        path: PathBuf,
        /// With or without the mounts below it.
        reach: Reach,
        /// Whether to seal it to the ids inside (idmapped mount).
        id_mapped: bool,
    },
}

/// A mount alone or with all below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// This one only.
    #[default]
    One,
    /// All below too.
    Tree,
}

/// Attributes of a mount, each `None`: as it comes (mount_setattr(2)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MountAttributes {
    /// Cannot be written through.
    pub read_only: Option<bool>,
    /// set-user-ID and file capabilities have no effect.
    pub nosuid: Option<bool>,
    /// Device nodes have no effect.
    pub nodev: Option<bool>,
    /// Nothing is executed from it.
    pub noexec: Option<bool>,
    /// Symbolic links are not followed.
    pub nosymfollow: Option<bool>,
    /// Access times of folders are not updated.
    pub nodiratime: Option<bool>,
    /// Access times.
    pub atime: Option<AccessTime>,
    /// Whether they apply to all mounts below too.
    pub reach: Reach,
}

/// When access times are updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessTime {
    /// Where older than the last change, or a day.
    Relative,
    /// Never.
    Never,
    /// At each access.
    Strict,
}

/// A device node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Where it is inside.
    pub path: PathBuf,
    /// What it is.
    pub kind: DeviceKind,
    /// Permissions and owner inside.
    pub mode: u32,
    /// User id inside.
    pub uid: u32,
    /// Group id inside.
    pub gid: u32,
    /// In a user namespace, where mknod(2) is refused, the host's node that is bound there instead.
    pub host: Option<PathBuf>,
}

/// What a node stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// Character device.
    Character {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// Block device.
    Block {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// Named pipe.
    Fifo,
}

/// The program of a container and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Program and arguments. Without a slash the program is looked for in the PATH of `env`, inside.
    /// Those given at launch go before it.
    pub args: Vec<CString>,
    /// Environment, `NAME=value`.
    pub env: Vec<CString>,
    /// Working directory inside: absolute; made where it is missing.
    pub cwd: PathBuf,
    /// User id inside.
    pub uid: u32,
    /// Group id inside.
    pub gid: u32,
    /// Supplementary groups inside.
    pub groups: Vec<u32>,
    /// File mode creation mask.
    pub umask: u32,
    /// Capabilities; `None`: as they come, which is all of them inside.
    pub capabilities: Option<Capabilities>,
    /// Whether executing can give no privileges (PR_SET_NO_NEW_PRIVS).
    pub no_new_privs: bool,
    /// The compiled system call filter.
    pub seccomp: Option<Seccomp>,
    /// Limits per process.
    pub rlimits: Vec<Rlimit>,
    /// How readily the kernel ends it when memory is out; `None`: as bench itself.
    pub oom_score_adj: Option<i32>,
    /// Scheduling niceness, -20 to 19; `None`: as it comes.
    pub nice: Option<i32>,
    /// Whether it gets a session keyring of its own (keyrings(7)).
    pub own_keyring: bool,
    /// Whether all descriptors but those given at launch are closed. `true`, but for tests.
    pub close_descriptors: bool,
}

/// The five sets as bit masks by capability number (capabilities(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// What no execution can exceed.
    pub bounding: u64,
    /// What the threads have in effect.
    pub effective: u64,
    /// What they may put in effect.
    pub permitted: u64,
    /// What they may pass on through files that ask for it.
    pub inheritable: u64,
    /// What passes on through any file.
    pub ambient: u64,
}

/// A system call filter (seccomp(2)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seccomp {
    /// The classic BPF program, one instruction a number as the kernel has it in memory.
    pub program: Vec<u64>,
    /// Flags of SECCOMP_SET_MODE_FILTER (SECCOMP_FILTER_FLAG_*).
    pub flags: u32,
}

/// One limit per process (getrlimit(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlimit {
    /// Its number, RLIMIT_*.
    pub resource: u32,
    /// The limit in force.
    pub soft: u64,
    /// How far it can be raised.
    pub hard: u64,
}
