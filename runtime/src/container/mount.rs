//! Mounts, made detached and put in place by descriptor (fsopen(2), open_tree(2), move_mount(2)),
//! so that their attributes hold from the first moment and no path is looked up twice.

use std::ffi::CString;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::place::{Links, Missing, Place, cstring};
use super::report::{Label, Labels, Report};
use super::setup::{AccessTime, Mount, MountAttributes, MountSource, Propagation, Reach};
use super::syscall::{Answer, Errno, raw};
use crate::Error;

/// File systems that show the kernel's own state: a symbolic link in their place is refused.
const KERNEL_KINDS: [&str; 7] = ["proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2", "securityfs"];

/// All mounts of a setup, in order.
#[derive(Debug)]
pub(super) struct Mounts(Vec<Prepared>);

#[derive(Debug)]
struct Prepared {
    label: Label,
    target: Place,
    what: What,
    propagation: Option<(u64, Reach)>,
}

#[derive(Debug)]
enum What {
    New(FileSystem),
    Bind {
        source: Bind,
        /// Where the child keeps its descriptor until the root is there.
        slot: usize,
    },
}

impl Mounts {
    pub(super) fn new(mounts: &[Mount], labels: &mut Labels) -> Result<Mounts, Error> {
        let mut slots = 0..;
        let prepared = mounts.iter().map(|mount| {
            let target = mount.target.display();
            let (what, links, text) = match &mount.source {
                MountSource::Kind { kind, source, options } => {
                    let is_kernel =
                        KERNEL_KINDS.contains(&kind.as_str()) || mount.target == Path::new("/dev");
                    let links = if is_kernel { Links::Refused } else { Links::Followed };
                    let new = FileSystem::new(kind, source, options, mount.attributes)?;
                    (What::New(new), links, format!("mount {kind} on {target} inside"))
                }
                MountSource::Bind { id_mapped: true, path, .. } => {
                    return Err(Error::Invalid(format!(
                        "an id-mapped bind mount of {} is asked for, which is not carried out",
                        path.display()
                    )));
                }
                MountSource::Bind { path, reach, id_mapped: false } => {
                    let source = Bind::new(path, *reach, mount.attributes)?;
                    let slot = slots.next().unwrap_or(0);
                    let text = format!("bind {} to {target} inside", path.display());
                    (What::Bind { source, slot }, Links::Followed, text)
                }
            };
            Ok(Prepared {
                label: labels.add(text),
                target: Place::new(&mount.target, links)?,
                what,
                propagation: mount.propagation.map(|(kind, reach)| (propagation(kind), reach)),
            })
        });
        Ok(Mounts(prepared.collect::<Result<_, Error>>()?))
    }

    /// As many places as the child needs to keep descriptors.
    pub(super) fn slots(&self) -> Vec<AtomicUsize> {
        let binds = self.0.iter().filter(|mount| matches!(mount.what, What::Bind { .. }));
        binds.map(|_| AtomicUsize::new(usize::MAX)).collect()
    }

    /// Opens what is bound, while the child may still search the host's folders.
    ///
    /// # Safety
    /// In the child.
    pub(super) unsafe fn open(&self, slots: &[AtomicUsize], report: &Report) -> Answer<()> {
        for mount in &self.0 {
            if let What::Bind { source, slot } = &mount.what {
                report.at(mount.label);
                // SAFETY: passed on.
                let tree = unsafe { source.open() }?;
                slots.get(*slot).ok_or(Errno(libc::EBADF))?.store(tree, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Puts everything in place below `root`.
    ///
    /// # Safety
    /// In the child, whose `slots` were filled by [`Mounts::open`].
    pub(super) unsafe fn place(&self, root: usize, slots: &[AtomicUsize], report: &Report) -> Answer<()> {
        for mount in &self.0 {
            report.at(mount.label);
            // SAFETY: passed on; the descriptors are this child's.
            unsafe {
                let (tree, missing) = match &mount.what {
                    What::New(new) => (new.make()?, Missing::Folder),
                    What::Bind { slot, .. } => {
                        let tree = slots.get(*slot).ok_or(Errno(libc::EBADF))?.load(Ordering::Relaxed);
                        (tree, if is_folder(tree)? { Missing::Folder } else { Missing::File })
                    }
                };
                let target = mount.target.ensure(root, missing)?;
                attach(tree, target)?;
                if let Some((kind, reach)) = mount.propagation {
                    let attributes = libc::mount_attr { propagation: kind, ..no_attributes() };
                    set_attributes(tree, &attributes, reach)?;
                }
                let _ = raw!(SYS_close, target);
                let _ = raw!(SYS_close, tree);
            }
        }
        Ok(())
    }
}

/// A file system to be made.
#[derive(Debug)]
pub(super) struct FileSystem {
    kind: CString,
    options: Vec<(CString, Option<CString>)>,
    attributes: u64,
}

impl FileSystem {
    pub(super) fn new(
        kind: &str,
        source: &str,
        options: &[String],
        attributes: MountAttributes,
    ) -> Result<FileSystem, Error> {
        let option = |option: &String| {
            Ok(match option.split_once('=') {
                Some((name, value)) => (cstring(name)?, Some(cstring(value)?)),
                None => (cstring(option.as_str())?, None),
            })
        };
        let source = Ok((CString::from(c"source"), Some(cstring(source)?)));
        let options = [source].into_iter().chain(options.iter().map(option));
        let options = options.collect::<Result<_, Error>>()?;
        Ok(FileSystem { kind: cstring(kind)?, options, attributes: changes(attributes).0 })
    }

    /// Makes it, mounted nowhere yet.
    ///
    /// # Safety
    /// In the child.
    pub(super) unsafe fn make(&self) -> Answer {
        // SAFETY: strings live through the calls; descriptors are this child's.
        unsafe {
            let context = raw!(SYS_fsopen, self.kind.as_ptr(), libc::FSOPEN_CLOEXEC)?;
            for (name, value) in &self.options {
                let (command, value) = match value {
                    Some(value) => (libc::FSCONFIG_SET_STRING, value.as_ptr()),
                    None => (libc::FSCONFIG_SET_FLAG, std::ptr::null()),
                };
                raw!(SYS_fsconfig, context, command, name.as_ptr(), value, 0)?;
            }
            raw!(SYS_fsconfig, context, libc::FSCONFIG_CMD_CREATE, 0, 0, 0)?;
            let tree = raw!(SYS_fsmount, context, libc::FSMOUNT_CLOEXEC, self.attributes)?;
            let _ = raw!(SYS_close, context);
            Ok(tree)
        }
    }
}

/// A file or folder of the host to be shown elsewhere.
#[derive(Debug)]
pub(super) struct Bind {
    path: CString,
    reach: Reach,
    attributes: libc::mount_attr,
    attributes_reach: Reach,
}

impl Bind {
    pub(super) fn new(path: &Path, reach: Reach, attributes: MountAttributes) -> Result<Bind, Error> {
        let (set, clear) = changes(attributes);
        Ok(Bind {
            path: cstring(path.as_os_str().as_encoded_bytes())?,
            reach,
            attributes: libc::mount_attr { attr_set: set, attr_clr: clear, ..no_attributes() },
            attributes_reach: attributes.reach,
        })
    }

    /// A copy of the mount, in place nowhere yet.
    ///
    /// # Safety
    /// In the child, before it has left the host's root.
    pub(super) unsafe fn open(&self) -> Answer {
        let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | recursive(self.reach);
        // SAFETY: the path lives through the call; the descriptor is this child's.
        unsafe {
            let tree = raw!(SYS_open_tree, libc::AT_FDCWD, self.path.as_ptr(), flags)?;
            if self.attributes.attr_set | self.attributes.attr_clr != 0 {
                set_attributes(tree, &self.attributes, self.attributes_reach)?;
            }
            Ok(tree)
        }
    }
}

/// A copy of the mount that `place` (O_PATH) is on, from there downwards.
///
/// # Safety
/// In the child.
pub(super) unsafe fn copy(place: usize, reach: Reach) -> Answer {
    let flags =
        libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_EMPTY_PATH as u32 | recursive(reach);
    // SAFETY: a constant path and a descriptor of this child.
    unsafe { raw!(SYS_open_tree, place, c"".as_ptr(), flags) }
}

/// Puts the detached `tree` on `target` (O_PATH).
///
/// # Safety
/// In the child.
pub(super) unsafe fn attach(tree: usize, target: usize) -> Answer<()> {
    let flags = libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: constant paths and descriptors of this child.
    unsafe { raw!(SYS_move_mount, tree, c"".as_ptr(), target, c"".as_ptr(), flags).map(drop) }
}

/// Changes the attributes of the mount behind `tree`.
///
/// # Safety
/// In the child.
pub(super) unsafe fn set_attributes(tree: usize, attributes: &libc::mount_attr, reach: Reach) -> Answer<()> {
    let flags = libc::AT_EMPTY_PATH as u32 | recursive(reach);
    let size = size_of::<libc::mount_attr>();
    // SAFETY: a constant path, attributes that live through the call, a descriptor of this child.
    unsafe { raw!(SYS_mount_setattr, tree, c"".as_ptr(), flags, &raw const *attributes, size).map(drop) }
}

/// Makes the mount behind `tree` one that cannot be written through.
///
/// # Safety
/// In the child.
pub(super) unsafe fn make_read_only(tree: usize, reach: Reach) -> Answer<()> {
    let attributes = libc::mount_attr { attr_set: libc::MOUNT_ATTR_RDONLY, ..no_attributes() };
    // SAFETY: passed on.
    unsafe { set_attributes(tree, &attributes, reach) }
}

/// Whether a folder is behind `file`.
///
/// # Safety
/// In the child.
pub(super) unsafe fn is_folder(file: usize) -> Answer<bool> {
    // SAFETY: plain data for which all zeroes is valid, written by the call.
    unsafe {
        let mut found: libc::statx = std::mem::zeroed();
        raw!(SYS_statx, file, c"".as_ptr(), libc::AT_EMPTY_PATH, libc::STATX_TYPE, &raw mut found)?;
        Ok(libc::mode_t::from(found.stx_mode) & libc::S_IFMT == libc::S_IFDIR)
    }
}

/// The kernel's word for a propagation.
pub(super) fn propagation(kind: Propagation) -> u64 {
    match kind {
        Propagation::Private => libc::MS_PRIVATE,
        Propagation::Slave => libc::MS_SLAVE,
        Propagation::Shared => libc::MS_SHARED,
        Propagation::Unbindable => libc::MS_UNBINDABLE,
    }
}

pub(super) fn no_attributes() -> libc::mount_attr {
    libc::mount_attr { attr_set: 0, attr_clr: 0, propagation: 0, userns_fd: 0 }
}

fn recursive(reach: Reach) -> u32 {
    if reach == Reach::Tree { libc::AT_RECURSIVE as u32 } else { 0 }
}

/// Attributes to set and to clear.
fn changes(attributes: MountAttributes) -> (u64, u64) {
    let switches = [
        (attributes.read_only, libc::MOUNT_ATTR_RDONLY),
        (attributes.nosuid, libc::MOUNT_ATTR_NOSUID),
        (attributes.nodev, libc::MOUNT_ATTR_NODEV),
        (attributes.noexec, libc::MOUNT_ATTR_NOEXEC),
        (attributes.nosymfollow, libc::MOUNT_ATTR_NOSYMFOLLOW),
        (attributes.nodiratime, libc::MOUNT_ATTR_NODIRATIME),
    ];
    let bits = |wanted: bool| {
        switches
            .iter()
            .filter(move |(switch, _)| *switch == Some(wanted))
            .fold(0, |bits, (_, bit)| bits | bit)
    };
    let atime = attributes.atime.map(|atime| match atime {
        AccessTime::Relative => libc::MOUNT_ATTR_RELATIME,
        AccessTime::Never => libc::MOUNT_ATTR_NOATIME,
        AccessTime::Strict => libc::MOUNT_ATTR_STRICTATIME,
    });
    // Access times are a number, not bits: cleared as a whole where one is set (mount_setattr(2)).
    let clear_atime = if atime.is_some() { libc::MOUNT_ATTR__ATIME } else { 0 };
    (bits(true) | atime.unwrap_or(0), bits(false) | clear_atime)
}
