//! `mounts`: types and options.

use std::path::{Path, PathBuf};

use oci_spec::runtime::Mount as Wanted;

use super::super::config::{Bundle, refuse};
use crate::Error;
use crate::container::setup::{AccessTime, Mount, MountAttributes, MountSource, Propagation, Reach};

/// One entry of `mounts`; relative sources are in the bundle.
pub(super) fn mount(wanted: &Wanted, at: &str, bundle: &Bundle) -> Result<Mount, Error> {
    let options = options(wanted, at)?;
    if let Some(index) = options.copied_up.filter(|_| has_files(&bundle.rootfs, wanted.destination())) {
        let why = "\"tmpcopyup\" is implemented for an empty folder only, and this one has files";
        return Err(refuse(format!("{at}.options[{index}]"), why));
    }
    let kind = wanted.typ().as_deref().filter(|kind| !kind.is_empty());
    let source = wanted.source().as_ref().filter(|source| !source.as_os_str().is_empty());
    let is_bind = kind == Some("bind") || options.bind.is_some();
    let source = if is_bind {
        let path =
            source.ok_or_else(|| refuse(format!("{at}.source"), "is missing: what is to be bound?"))?;
        if let Some((index, option)) = options.own.first() {
            // A bind mount has no file system of its own that could understand it.
            return Err(refuse(
                format!("{at}.options[{index}]"),
                format!("{option:?} is no option of a bind mount"),
            ));
        }
        let path = bundle.path.join(path);
        MountSource::Bind { path, reach: options.bind.unwrap_or(Reach::One), id_mapped: false }
    } else {
        let kind = kind.ok_or_else(|| refuse(format!("{at}.type"), "is missing"))?;
        let source = match source {
            None => kind.to_owned(),
            Some(source) => source
                .to_str()
                .map(str::to_owned)
                .ok_or_else(|| refuse(format!("{at}.source"), "is not in UTF-8"))?,
        };
        let own = options.own.into_iter().map(|(_, option)| option).collect();
        MountSource::Kind { kind: kind.to_owned(), source, options: own }
    };
    Ok(Mount {
        target: target(wanted, at)?,
        source,
        attributes: options.attributes,
        propagation: options.propagation,
    })
}

/// The mount point. Relative ones are deprecated and start at the root as well (config.md, "Mounts").
pub(super) fn target(wanted: &Wanted, at: &str) -> Result<PathBuf, Error> {
    let path = Path::new("/").join(wanted.destination());
    let at = format!("{at}.destination");
    if path == Path::new("/") {
        return Err(refuse(at, "is the root, which root.path is for"));
    }
    super::inside(&path, &at)
}

/// Whether the image has anything in that folder; what cannot be looked at counts as something.
fn has_files(rootfs: &Path, folder: &Path) -> bool {
    use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(root) = rustix::fs::open(rootfs, flags, Mode::empty()) else { return true };
    match openat2(&root, folder, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS) {
        Err(rustix::io::Errno::NOENT) => false,
        Err(_) => true,
        Ok(folder) => match rustix::fs::Dir::new(folder) {
            Err(_) => true,
            Ok(entries) => entries
                .into_iter()
                .any(|entry| !entry.is_ok_and(|entry| matches!(entry.file_name().to_bytes(), b"." | b".."))),
        },
    }
}

/// What the options of a mount say.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) attributes: MountAttributes,
    propagation: Option<(Propagation, Reach)>,
    bind: Option<Reach>,
    /// Where the option of runc's and crun's stands that fills the new file system with the files it covers.
    copied_up: Option<usize>,
    /// Those of the file system itself, with their index.
    own: Vec<(usize, String)>,
}

/// Sorts the options (config.md, "Linux mount options").
pub(super) fn options(wanted: &Wanted, at: &str) -> Result<Options, Error> {
    let mut sorted = Options::default();
    let (mut has_plain, mut has_recursive) = (false, false);
    for (index, option) in wanted.options().iter().flatten().enumerate() {
        let at = format!("{at}.options[{index}]");
        if option.contains('\0') {
            return Err(refuse(at, "has a NUL"));
        }
        if attribute(&mut sorted.attributes, option) {
            has_plain = true;
        } else if option.strip_prefix('r').is_some_and(|rest| attribute(&mut sorted.attributes, rest)) {
            has_recursive = true;
        } else if let Some(propagation) = propagation(option) {
            sorted.propagation = Some(propagation);
        } else {
            match option.as_str() {
                "bind" => sorted.bind = sorted.bind.or(Some(Reach::One)),
                "rbind" => sorted.bind = Some(Reach::Tree),
                "defaults" | "loud" | "" => {}
                "tmpcopyup" => sorted.copied_up = Some(index),
                "remount" | "silent" | "idmap" | "ridmap" | "iversion" | "noiversion" => {
                    return Err(refuse(at, format!("{option:?} is not implemented")));
                }
                _ => sorted.own.push((index, option.clone())),
            }
        }
    }
    if has_recursive && has_plain && sorted.bind == Some(Reach::Tree) {
        let why = "has attributes both for the mount alone and for all below it, which is not implemented";
        return Err(refuse(format!("{at}.options"), why));
    }
    sorted.attributes.reach = if has_recursive { Reach::Tree } else { Reach::One };
    Ok(sorted)
}

/// Takes `option` if it is an attribute of a mount.
fn attribute(attributes: &mut MountAttributes, option: &str) -> bool {
    match option {
        "ro" => attributes.read_only = Some(true),
        "rw" => attributes.read_only = Some(false),
        "nosuid" => attributes.nosuid = Some(true),
        "suid" => attributes.nosuid = Some(false),
        "nodev" => attributes.nodev = Some(true),
        "dev" => attributes.nodev = Some(false),
        "noexec" => attributes.noexec = Some(true),
        "exec" => attributes.noexec = Some(false),
        "nosymfollow" => attributes.nosymfollow = Some(true),
        "symfollow" => attributes.nosymfollow = Some(false),
        "nodiratime" => attributes.nodiratime = Some(true),
        "diratime" => attributes.nodiratime = Some(false),
        // Without another word the kernel updates relatively (mount(2), MS_RELATIME).
        "relatime" | "norelatime" | "atime" | "nostrictatime" => {
            attributes.atime = Some(AccessTime::Relative)
        }
        "noatime" => attributes.atime = Some(AccessTime::Never),
        "strictatime" => attributes.atime = Some(AccessTime::Strict),
        _ => return false,
    }
    true
}

fn propagation(option: &str) -> Option<(Propagation, Reach)> {
    let (name, reach) = match option.strip_prefix('r') {
        Some(rest) => (rest, Reach::Tree),
        None => (option, Reach::One),
    };
    let kind = match name {
        "private" => Propagation::Private,
        "shared" => Propagation::Shared,
        "slave" => Propagation::Slave,
        "unbindable" => Propagation::Unbindable,
        _ => return None,
    };
    Some((kind, reach))
}

/// Names of all options that are understood, for `features`.
pub fn names() -> Vec<String> {
    const ATTRIBUTES: [&str; 18] = [
        "atime",
        "dev",
        "diratime",
        "exec",
        "noatime",
        "nodev",
        "nodiratime",
        "noexec",
        "norelatime",
        "nostrictatime",
        "nosuid",
        "nosymfollow",
        "relatime",
        "ro",
        "rw",
        "strictatime",
        "suid",
        "symfollow",
    ];
    const OTHERS: [&str; 11] = [
        "bind",
        "defaults",
        "private",
        "rbind",
        "rprivate",
        "rshared",
        "rslave",
        "runbindable",
        "shared",
        "slave",
        "unbindable",
    ];
    let recursive = ATTRIBUTES.iter().map(|name| format!("r{name}"));
    let mut names: Vec<String> = ATTRIBUTES.iter().chain(&OTHERS).map(|name| (*name).to_owned()).collect();
    names.extend(recursive);
    names.sort();
    names
}
