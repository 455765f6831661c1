//! `container:rootless`: the same for an ordinary user.
//!
//! Inside the user is root. Other ids are mapped where the system has given the user some
//! (subuid(5)) and has the set-user-ID programs that map them (newuidmap(1)); else root is all there
//! is. Limits are held where a cgroup has been delegated, else refused. There is no bridge: a
//! listening socket is inherited.

use std::path::Path;
use std::sync::Arc;

use super::prepared::{Files, Groups, PreparedContainer};
use super::setup::{IdMaps, IdRange, MapWriter};
use super::{backend, idmap, standard};
use crate::cgroup::Delegation;
use crate::image::Image;
use crate::{Backend, Error, Prepared, Requirement, RunContext};

/// Ids inside beside root's, at most.
const MORE_IDS: u32 = 65_535;

/// `container:rootless`.
pub struct RootlessBackend;

impl Backend for RootlessBackend {
    fn id(&self) -> String {
        "container:rootless".into()
    }

    fn description(&self) -> &'static str {
        "our own runtime without root: the user's own id, and subordinate ones where there are some"
    }

    fn requirements(&self) -> Vec<Requirement> {
        let uid = rustix::process::geteuid();
        let is_root = uid.is_root();
        let user = Requirement {
            what: "an ordinary user".into(),
            state: if is_root {
                Err("running as root".into())
            } else {
                Ok(format!("user id {}", uid.as_raw()))
            },
            fix: is_root.then(|| "use the backend container, or run bench as another user".into()),
        };
        let mut found = vec![user, backend::namespaces()];
        if !is_root {
            // Asked by making one: kernels and distributions have several ways to forbid it.
            let made = idmap::user_namespace(&own_id());
            found.push(Requirement {
                what: "user namespaces for users".into(),
                state: made.map(|_| "allowed".into()).map_err(|error| error.to_string()),
                fix: Some("sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0, user.max_user_namespaces=10000, whichever exists".into()),
            });
        }
        found
    }

    fn prepare(&self, context: &RunContext, image: &Image) -> Result<Arc<dyn Prepared>, Error> {
        let maps = maps();
        let files = image
            .rootfs
            .clone()
            .map(|folder| Files::Plain { folder, why: "mapping the ids of a mount takes root".into() });
        let groups = match Delegation::find(Path::new("/")).and_then(Delegation::claim) {
            Ok(hierarchies) => Groups::Of(hierarchies),
            Err(why) => Groups::None(why.to_string()),
        };
        let setup = standard::setup(files.as_ref().map(Files::path), maps);
        PreparedContainer::prepare(self.id(), context, image, setup, files, groups, Vec::new())
    }
}

/// The user's own id as root, and subordinate ones above it where both kinds can be had.
fn maps() -> IdMaps {
    let (uid, gid) = own_ids();
    let names = [uid.to_string(), user_name(uid).unwrap_or_default()];
    let more = |path: &str| subordinate(&std::fs::read_to_string(path).ok()?, &names);
    let is_installed = |program: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    };
    let (Some(uids), Some(gids)) = (more("/etc/subuid"), more("/etc/subgid")) else { return own_id() };
    if !is_installed("newuidmap") || !is_installed("newgidmap") {
        return own_id();
    }
    let with = |own: u32, more: IdRange| vec![IdRange { inside: 0, outside: own, count: 1 }, more];
    IdMaps { uids: with(uid, uids), gids: with(gid, gids), writer: MapWriter::NewIdMap }
}

/// The map every user may write.
fn own_id() -> IdMaps {
    let (uid, gid) = own_ids();
    let own = |id: u32| vec![IdRange { inside: 0, outside: id, count: 1 }];
    IdMaps { uids: own(uid), gids: own(gid), writer: MapWriter::Own }
}

fn own_ids() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

/// The first range of `NAME:FIRST:COUNT` lines (subuid(5)) that belongs to one of `names`.
fn subordinate(text: &str, names: &[String]) -> Option<IdRange> {
    text.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let is_own = fields.next().is_some_and(|owner| names.iter().any(|name| name == owner));
        let (outside, count) = (fields.next()?.parse().ok()?, fields.next()?.parse::<u32>().ok()?);
        (is_own && count > 0).then(|| IdRange { inside: 1, outside, count: count.min(MORE_IDS) })
    })
}

/// The user's name, from /etc/passwd (passwd(5)).
fn user_name(uid: u32) -> Option<String> {
    let text = std::fs::read_to_string("/etc/passwd").ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subordinate_ids_are_those_of_the_user_by_name_or_number() {
        let text = "# none\nother:100000:65536\nme:200000:100000\n1000:300000:5\n";
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let range = |outside, count| Some(IdRange { inside: 1, outside, count });
        assert_eq!(subordinate(text, &names(&["1000", "me"])), range(200_000, 65_535));
        assert_eq!(subordinate(text, &names(&["1000", "you"])), range(300_000, 5));
        assert_eq!(subordinate(text, &names(&["1001", ""])), None);
    }
}
