//! The group a process has been put into, wherever in each hierarchy that is.

use std::path::{Path, PathBuf};

use super::{Cgroup, Folder, Hierarchies, Place, Version, controller, file};
use crate::Error;

impl Cgroup {
    /// The groups of a process that are not also this program's own, in every hierarchy; `None` where
    /// it has none such. They are left alone when the value is dropped.
    ///
    /// # Errors
    /// Where the process is gone or the kernel's files cannot be read.
    pub fn of_process(hierarchies: &Hierarchies, pid: i32) -> Result<Option<Cgroup>, Error> {
        let of_it = membership(&pid.to_string())?;
        let of_us = membership("self")?;
        let mut cgroup = Cgroup { folders: Vec::new(), owned: false };
        // The first is the one in which processes are tracked.
        let mut places = hierarchies.places();
        let tracking = hierarchies.tracking();
        places.sort_by_key(|place| Some(place) != tracking.as_ref());
        for place in places {
            let group = of_it.iter().find(|(names, _)| is_of(hierarchies, names, &place));
            let Some((names, path)) = group else { continue };
            let is_ours = of_us.iter().any(|(other, ours)| other == names && ours == path);
            if is_ours || path == Path::new("/") {
                continue;
            }
            let mut folder = Folder::at(&place, path.strip_prefix("/").unwrap_or(path));
            let serves = |one: &&'static dyn controller::Controller| {
                hierarchies.place(*one).is_some_and(|found| found.root == place.root)
            };
            folder.controllers = controller::ALL.into_iter().filter(|one| serves(one)).collect();
            cgroup.folders.push(folder);
        }
        Ok((!cgroup.folders.is_empty()).then_some(cgroup))
    }
}

/// Whether the line of /proc/PID/cgroup that names these controllers is about this place.
fn is_of(hierarchies: &Hierarchies, names: &str, place: &Place) -> bool {
    match place.version {
        Version::V2 => names.is_empty(),
        Version::V1 => {
            names.split(',').any(|name| hierarchies.v1_place(name).is_some_and(|found| found == *place))
        }
    }
}

/// Controllers and paths, as in cgroups(7), "/proc files".
fn membership(process: &str) -> Result<Vec<(String, PathBuf)>, Error> {
    let path = format!("/proc/{process}/cgroup");
    let text = file::read(Path::new(&path))?
        .ok_or_else(|| Error::Invalid(format!("{path} is not there: the process is gone")))?;
    Ok(text.lines().filter_map(line).collect())
}

fn line(line: &str) -> Option<(String, PathBuf)> {
    let mut parts = line.splitn(3, ':').skip(1);
    Some((parts.next()?.to_owned(), parts.next()?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_both_versions() {
        assert_eq!(line("8:cpu,cpuacct:/a:b"), Some(("cpu,cpuacct".into(), "/a:b".into())));
        assert_eq!(line("0::/user.slice"), Some((String::new(), "/user.slice".into())));
        assert_eq!(line("nonsense"), None);
    }

    #[test]
    fn this_program_has_no_group_apart_from_itself() {
        let hierarchies = Hierarchies::of_host().expect("readable");
        let own = Cgroup::of_process(&hierarchies, std::process::id() as i32).expect("readable");
        assert!(own.is_none(), "{own:?}");
    }
}
