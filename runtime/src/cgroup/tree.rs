//! Making a group: the folders above it, and on v2 the controllers handed down to it.

use std::io;
use std::path::{Component, Path};
use std::sync::Mutex;

use super::controller::Controller;
use super::{Folder, Hierarchies, Limits, Version, cpuset, file};
use crate::Error;

const SUBTREE_CONTROL: &str = "cgroup.subtree_control";

/// A path of plain names only.
pub(super) fn check(path: &Path) -> Result<(), Error> {
    let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    if is_plain && path.components().next().is_some() {
        return Ok(());
    }
    Err(Error::Invalid(format!("{path:?} is no relative path of a cgroup")))
}

/// The v2 controllers that the files named in `unified` belong to.
pub(super) fn unified(hierarchies: &Hierarchies, limits: &Limits) -> Result<Vec<String>, Error> {
    let mut needed = Vec::new();
    for name in limits.unified.keys() {
        let controller =
            name.split_once('.').filter(|_| !name.contains('/')).map(|(controller, _)| controller);
        let controller = controller
            .ok_or_else(|| Error::Invalid(format!("{name:?} is no file of the cgroup v2 interface")))?;
        if controller == "cgroup" {
            continue;
        }
        if !hierarchies.v2_controllers.iter().any(|one| one == controller) {
            return Err(Error::Missing {
                what: format!("{name} needs the controller {controller:?} on cgroup v2, which is not there"),
                fix: None,
            });
        }
        needed.push(controller.to_owned());
    }
    Ok(needed)
}

/// Makes `folder`, which is `path` below its hierarchy's root, and what is missing above it.
pub(super) fn make(
    hierarchies: &Hierarchies,
    folder: &Folder,
    path: &Path,
    unified: &[String],
) -> Result<(), Error> {
    let root = folder.path.ancestors().nth(path.components().count()).unwrap_or(&folder.path);
    let mut handed_down: Vec<&str> = Vec::new();
    if folder.version == Version::V2 {
        handed_down.extend(folder.controllers.iter().filter_map(|controller| controller.v2_name()));
        handed_down.extend(unified.iter().map(String::as_str));
    }
    let is_cpuset = folder.version == Version::V1
        && hierarchies.v1_place(cpuset::Cpuset.v1_name()).is_some_and(|place| place.root == root);
    let parent = folder.path.parent().unwrap_or(root);
    if !is_ready(parent, &handed_down)? {
        // One launcher at a time: another must not find a folder before it is complete.
        static MAKING: Mutex<()> = Mutex::new(());
        let _turn = MAKING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut above = root.to_owned();
        hand_down(&above, &handed_down)?;
        for part in path.parent().into_iter().flat_map(Path::components) {
            above.push(part);
            match std::fs::create_dir(&above) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(refused(&above)(error));
                }
                _ => {}
            }
            if is_cpuset {
                cpuset::inherit(&above)?;
            }
            hand_down(&above, &handed_down)?;
        }
    }
    std::fs::create_dir(&folder.path).map_err(refused(&folder.path))?;
    if is_cpuset { cpuset::inherit(&folder.path) } else { Ok(()) }
}

fn refused(path: &Path) -> impl FnOnce(io::Error) -> Error {
    Error::system(format!("make the cgroup {}", path.display()))
}

/// Whether the folder is there with all that is handed down.
fn is_ready(parent: &Path, handed_down: &[&str]) -> Result<bool, Error> {
    if handed_down.is_empty() {
        return Ok(parent.is_dir());
    }
    let Some(enabled) = file::read(&parent.join(SUBTREE_CONTROL))? else { return Ok(false) };
    Ok(handed_down.iter().all(|name| enabled.split_whitespace().any(|one| one == *name)))
}

/// Lets the groups below a v2 group have controllers it has itself.
fn hand_down(group: &Path, names: &[&str]) -> Result<(), Error> {
    if is_ready(group, names)? {
        return Ok(());
    }
    let words: Vec<String> = names.iter().map(|name| format!("+{name}")).collect();
    let path = group.join(SUBTREE_CONTROL);
    file::try_write(&path, &words.join(" ")).map_err(|source| {
        let busy = source.raw_os_error() == Some(libc::EBUSY);
        let hint =
            if busy { ": processes are in that very group, which must be in one below it" } else { "" };
        Error::System { action: format!("write {words:?} to {}{hint}", path.display()), source }
    })
}
