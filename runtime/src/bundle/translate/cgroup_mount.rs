//! A mount of type `cgroup`: what the container sees of its own groups.
//!
//! With one tree for all controllers it is that tree. With several (v1, hybrid) it is a small file
//! system with a folder per hierarchy, as on the host.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Mount as Wanted;

use super::mount::{options, target};
use crate::Error;
use crate::container::setup::{Mount, MountAttributes, MountSource, Reach};

/// What the mount becomes.
pub(super) struct Tree {
    pub(super) mounts: Vec<Mount>,
    pub(super) read_only: Vec<PathBuf>,
    pub(super) links: Vec<(CString, PathBuf)>,
}

/// `cgroups` are the container's own groups, each with the mount point of its hierarchy.
pub(super) fn tree(wanted: &Wanted, at: &str, cgroups: &[(PathBuf, PathBuf)]) -> Result<Tree, Error> {
    let target = target(wanted, at)?;
    let attributes = options(wanted, at)?.attributes;
    let bind = |group: &Path, target: PathBuf| Mount {
        target,
        source: MountSource::Bind { path: group.to_owned(), reach: Reach::One, id_mapped: false },
        attributes: MountAttributes { reach: Reach::One, ..attributes },
        propagation: None,
    };
    if let [(_, group)] = cgroups {
        return Ok(Tree { mounts: vec![bind(group, target)], read_only: Vec::new(), links: Vec::new() });
    }
    let folder = Mount {
        target: target.clone(),
        source: MountSource::Kind {
            kind: "tmpfs".into(),
            source: "cgroup".into(),
            options: vec!["mode=755".into(), "size=64k".into()],
        },
        // The folders in it are still to be made.
        attributes: MountAttributes { read_only: None, reach: Reach::One, ..attributes },
        propagation: None,
    };
    let mut mounts = vec![folder];
    let mut links = Vec::new();
    for (root, group) in cgroups {
        let Some(name) = root.file_name() else { continue };
        mounts.push(bind(group, target.join(name)));
        // `cpu,cpuacct` is known by either name too.
        let parts = name.to_str().unwrap_or_default().split(',').filter(|part| Some(*part) != name.to_str());
        for part in parts {
            if let Ok(text) = CString::new(name.as_encoded_bytes()) {
                links.push((text, target.join(part)));
            }
        }
    }
    let read_only = if attributes.read_only == Some(true) { vec![target] } else { Vec::new() };
    Ok(Tree { mounts, read_only, links })
}
