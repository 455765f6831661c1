//! Device nodes and links of a container.

use std::ffi::{CStr, CString};
use std::path::Path;

use super::mount::{self, Bind};
use super::place::{Links, Parents, Place};
use super::report::{Label, Labels, Report};
use super::setup::{Device, DeviceKind, MountAttributes, Namespace, Reach, Setup};
use super::syscall::{Answer, Errno, raw};
use crate::Error;

/// Nodes, then links.
#[derive(Debug)]
pub(super) struct Devices {
    nodes: Vec<(Label, Place, Node)>,
    links: Vec<(Label, Place, CString)>,
}

#[derive(Debug)]
enum Node {
    /// Made here: only where this user namespace owns the devices' (mknod(2)).
    Made { mode: u32, device: u64, uid: u32, gid: u32 },
    /// The host's, shown here.
    Bound(Bind),
}

impl Devices {
    pub(super) fn new(setup: &Setup, labels: &mut Labels) -> Result<Devices, Error> {
        let has_own_users = setup.namespaces.user != Namespace::Host;
        let nodes = setup.devices.iter().map(|device| {
            let label = labels.add(format!("make the device {} inside", device.path.display()));
            let place = Place::new(&device.path, Links::Followed)?;
            Ok((label, place, if has_own_users { bound(device)? } else { made(device) }))
        });
        let nodes = nodes.collect::<Result<_, Error>>()?;
        let links = setup.links.iter().map(|(text, path)| {
            let label = labels.add(format!("make the link {} inside", path.display()));
            Ok((label, Place::new(path, Links::Followed)?, text.clone()))
        });
        Ok(Devices { nodes, links: links.collect::<Result<_, Error>>()? })
    }

    /// Makes them below `root`.
    ///
    /// # Safety
    /// In the child, before it has left the host's root.
    pub(super) unsafe fn make(&self, root: usize, report: &Report) -> Answer<()> {
        let mut parents = Parents::default();
        // SAFETY: passed on; descriptors are this child's.
        unsafe {
            for (label, place, node) in &self.nodes {
                report.at(*label);
                let within = parents.of(place, root)?;
                match node {
                    Node::Made { mode, device, uid, gid } => make_node(within, *mode, *device, *uid, *gid)?,
                    Node::Bound(source) => {
                        let target = place.ensure_file(root, within)?;
                        let tree = source.open()?;
                        mount::attach(tree, target)?;
                        let _ = raw!(SYS_close, tree);
                        let _ = raw!(SYS_close, target);
                    }
                }
            }
            for (label, place, text) in &self.links {
                report.at(*label);
                let (folder, name) = parents.of(place, root)?;
                match raw!(SYS_symlinkat, text.as_ptr(), folder, name.as_ptr()) {
                    // The image's or a mount's own.
                    Ok(_) | Err(Errno(libc::EEXIST)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

fn made(device: &Device) -> Node {
    let (kind, number) = match device.kind {
        DeviceKind::Character { major, minor } => (libc::S_IFCHR, libc::makedev(major, minor)),
        DeviceKind::Block { major, minor } => (libc::S_IFBLK, libc::makedev(major, minor)),
        DeviceKind::Fifo => (libc::S_IFIFO, 0),
    };
    Node::Made { mode: kind | device.mode & 0o7777, device: number, uid: device.uid, gid: device.gid }
}

fn bound(device: &Device) -> Result<Node, Error> {
    if device.kind == DeviceKind::Fifo {
        return Ok(made(device));
    }
    let host = device.host.as_deref().ok_or_else(|| {
        Error::Invalid(format!(
            "the device {} cannot be made in a user namespace and no node of the host is named for it",
            device.path.display()
        ))
    })?;
    check_host(host, device.kind)?;
    Ok(Node::Bound(Bind::new(host, Reach::One, MountAttributes::default())?))
}

/// The host's node must be the device it is taken for.
fn check_host(host: &Path, kind: DeviceKind) -> Result<(), Error> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let found = std::fs::symlink_metadata(host)
        .map_err(Error::system(format!("look at the device {}", host.display())))?;
    let (is_kind, number) = match kind {
        DeviceKind::Character { major, minor } => {
            (found.file_type().is_char_device(), libc::makedev(major, minor))
        }
        DeviceKind::Block { major, minor } => {
            (found.file_type().is_block_device(), libc::makedev(major, minor))
        }
        DeviceKind::Fifo => (found.file_type().is_fifo(), found.rdev()),
    };
    if is_kind && found.rdev() == number {
        return Ok(());
    }
    Err(Error::Invalid(format!("{} on this host is not the device {kind:?}", host.display())))
}

unsafe fn make_node(
    (folder, name): (usize, &CStr),
    mode: u32,
    device: u64,
    uid: u32,
    gid: u32,
) -> Answer<()> {
    // SAFETY: strings and data live through the calls; descriptors are this child's.
    unsafe {
        match raw!(SYS_mknodat, folder, name.as_ptr(), mode, device) {
            Ok(_) => {
                // The mode again: the mask has taken from it.
                let flags = libc::AT_SYMLINK_NOFOLLOW;
                raw!(SYS_fchownat, folder, name.as_ptr(), uid, gid, flags)
                    .and_then(|_| raw!(SYS_fchmodat, folder, name.as_ptr(), mode & 0o7777))
                    .map(drop)
            }
            Err(Errno(libc::EEXIST)) => same_node(folder, name, mode, device),
            Err(error) => Err(error),
        }
    }
}

/// A node that is there already must be the same device itself, not a link to something (CVE-2025-31133).
unsafe fn same_node(folder: usize, name: &CStr, mode: u32, device: u64) -> Answer<()> {
    // SAFETY: as in `make_node`; the result is plain data.
    unsafe {
        let mut found: libc::statx = std::mem::zeroed();
        let flags = libc::AT_SYMLINK_NOFOLLOW;
        raw!(SYS_statx, folder, name.as_ptr(), flags, libc::STATX_BASIC_STATS, &raw mut found)?;
        let is_kind = u32::from(found.stx_mode) & libc::S_IFMT == mode & libc::S_IFMT;
        let number = libc::makedev(found.stx_rdev_major, found.stx_rdev_minor);
        if is_kind && number == device { Ok(()) } else { Err(Errno(libc::EEXIST)) }
    }
}
