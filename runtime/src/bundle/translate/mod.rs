//! A configuration as what the container runtime carries out: config-linux.md to [`Setup`].

mod cgroup_mount;
mod device;
mod mount;
mod namespace;
mod process;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use oci_spec::runtime::Linux;

use super::config::{Bundle, refuse};
use crate::Error;
use crate::container::setup::{Leave, Mount, Namespace, Namespaces, Propagation, Root, RootSource, Setup};

pub use mount::names as mount_options;
pub(super) use namespace::namespaces;
pub use process::{capability_names, process};

/// The container that the bundle describes. `cgroups` are the folders its cgroup has on this host,
/// each with the mount point of its hierarchy.
///
/// # Errors
/// The first field that cannot be carried out, by its JSON path.
pub fn setup(bundle: &Bundle, cgroups: &[(PathBuf, PathBuf)]) -> Result<Setup, Error> {
    let spec = &bundle.spec;
    let linux = spec.linux().clone().unwrap_or_default_empty();
    let namespaces = namespace::namespaces(&linux)?;
    if namespaces.mount == Namespace::Host {
        let why = "has no mount namespace, without which the root would be the host's";
        return Err(refuse("linux.namespaces", why));
    }
    let id_maps = namespace::id_maps(&linux, &namespaces)?;
    let mut mounts = Vec::new();
    let mut read_only = paths(linux.readonly_paths().as_deref(), "linux.readonlyPaths")?;
    let mut links = Vec::new();
    for (index, mount) in spec.mounts().iter().flatten().enumerate() {
        let at = format!("mounts[{index}]");
        match mount.typ().as_deref() {
            Some("cgroup") => {
                let tree = cgroup_mount::tree(mount, &at, cgroups)?;
                mounts.extend(tree.mounts);
                read_only.extend(tree.read_only);
                links.extend(tree.links);
            }
            _ => mounts.push(mount::mount(mount, &at, bundle)?),
        }
    }
    let devices = device::devices(&linux, &mounts)?;
    if !devices.is_empty() {
        links.extend(device::links());
    }
    for (field, name) in [("hostname", spec.hostname()), ("domainname", spec.domainname())] {
        if name.as_ref().is_some_and(|name| !name.is_empty()) && namespaces.uts == Namespace::Host {
            return Err(refuse(field, "would be the host's: linux.namespaces has no uts"));
        }
    }
    let name = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
    let propagation = propagation(&linux, &mounts)?;
    Ok(Setup {
        id_maps,
        root: Root {
            source: RootSource::Folder(bundle.rootfs.clone()),
            read_only: spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false),
            propagation,
            leave: Leave::Pivot,
        },
        mounts,
        devices,
        links,
        masked: paths(linux.masked_paths().as_deref(), "linux.maskedPaths")?,
        read_only,
        hostname: name(spec.hostname()),
        domainname: name(spec.domainname()),
        sysctls: sysctls(&linux, &namespaces)?,
        loopback: namespaces.network == Namespace::New,
        process: process::process(bundle.process()?, linux.seccomp().as_ref())?,
        namespaces,
    })
}

fn paths(list: Option<&[String]>, field: &str) -> Result<Vec<PathBuf>, Error> {
    let list = list.unwrap_or_default().iter().enumerate();
    list.map(|(index, text)| inside(Path::new(text), &format!("{field}[{index}]"))).collect()
}

/// A path inside: absolute and not climbing.
fn inside(path: &Path, at: &str) -> Result<PathBuf, Error> {
    if !path.is_absolute() {
        return Err(refuse(at, format!("{} is not absolute", path.display())));
    }
    if path.components().any(|part| part == std::path::Component::ParentDir) {
        return Err(refuse(at, format!("{} has .. in it", path.display())));
    }
    if path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(refuse(at, "has a NUL"));
    }
    Ok(path.to_owned())
}

/// How the root spreads mounts. Where nothing is asked for, it is private, unless a mount wants to
/// follow the host's: then what the host does must reach it.
fn propagation(linux: &Linux, mounts: &[Mount]) -> Result<Propagation, Error> {
    match linux.rootfs_propagation().as_deref() {
        None | Some("") => {
            let follows = |mount: &Mount| {
                matches!(mount.propagation, Some((Propagation::Slave | Propagation::Shared, _)))
            };
            Ok(if mounts.iter().any(follows) { Propagation::Slave } else { Propagation::Private })
        }
        Some("private" | "rprivate") => Ok(Propagation::Private),
        Some("slave" | "rslave") => Ok(Propagation::Slave),
        Some("shared" | "rshared") => Ok(Propagation::Shared),
        Some("unbindable" | "runbindable") => Ok(Propagation::Unbindable),
        Some(other) => Err(refuse("linux.rootfsPropagation", format!("{other:?} is no propagation"))),
    }
}

/// Kernel parameters, those of the container's own namespaces only: any other is the whole host's.
fn sysctls(linux: &Linux, namespaces: &Namespaces) -> Result<Vec<(String, String)>, Error> {
    /// Files below /proc/sys/kernel that belong to the IPC namespace (ipc/ipc_sysctl.c).
    const IPC: [&str; 11] = [
        "auto_msgmni",
        "msgmax",
        "msgmnb",
        "msgmni",
        "msg_next_id",
        "sem",
        "sem_next_id",
        "shmall",
        "shmmax",
        "shmmni",
        "shm_rmid_forced",
    ];
    let mut wanted: Vec<(String, String)> =
        linux.sysctl().iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect();
    wanted.sort();
    for (name, value) in &wanted {
        let at = format!("linux.sysctl.{name}");
        let parts: Vec<&str> = name.split(if name.contains('/') { '/' } else { '.' }).collect();
        if parts.iter().any(|part| part.is_empty() || *part == ".." || *part == ".") || value.contains('\0') {
            return Err(refuse(at, "is no kernel parameter"));
        }
        let owner = match parts.as_slice() {
            ["net", ..] => Some((&namespaces.network, "network")),
            ["fs", "mqueue", ..] => Some((&namespaces.ipc, "ipc")),
            ["kernel", name] if IPC.contains(name) => Some((&namespaces.ipc, "ipc")),
            ["kernel", "domainname"] => Some((&namespaces.uts, "uts")),
            ["kernel", "hostname"] => return Err(refuse(at, "is set with the field hostname")),
            _ => None,
        };
        match owner {
            None => return Err(refuse(at, "belongs to no namespace: it would change the whole host")),
            Some((Namespace::Host, kind)) => {
                return Err(refuse(at, format!("would change the host: linux.namespaces has no {kind}")));
            }
            Some(_) => {}
        }
    }
    Ok(wanted)
}

/// oci-spec's own default is a whole configuration; here what is absent is empty.
trait OrEmpty {
    fn unwrap_or_default_empty(self) -> Linux;
}

impl OrEmpty for Option<Linux> {
    fn unwrap_or_default_empty(self) -> Linux {
        self.unwrap_or_else(|| {
            let mut empty = Linux::default();
            empty.set_resources(None).set_namespaces(None).set_masked_paths(None).set_readonly_paths(None);
            empty
        })
    }
}
