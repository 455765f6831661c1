//! `container:rootless`: the same for an ordinary user.
//!
//! Inside the user is root. Other ids are mapped where the system has given the user some
//! (subuid(5)) and has the set-user-ID programs that map them (newuidmap(1)); else root is all there
//! is. Limits are held where a cgroup has been delegated, else refused. There is no bridge: a
//! listening socket is inherited. Where the kernel mounts no overlay for a user each container gets a copy
//! of the image, and the results say so. Where bench is root it starts them for an ordinary user ([`User`]).

use std::path::Path;
use std::sync::Arc;

use super::behalf::User;
use super::copied::Copies;
use super::prepared::{Files, Groups, Means, PreparedContainer};
use super::setup::{IdMaps, IdRange, MapWriter};
use super::{backend, idmap, standard};
use crate::cgroup::Delegation;
use crate::image::Image;
use crate::network::Kind;
use crate::{Backend, Error, Prepared, Requirement, RunContext};

/// Ids inside beside root's, at most.
const MORE_IDS: u32 = 65_535;

/// `container:rootless`.
pub struct RootlessBackend;

impl RootlessBackend {
    /// Whose containers they are, as a phrase.
    pub fn user() -> String {
        User::of_root().map_or_else(|| format!("user id {}", own().0), |user| user.described())
    }
}

impl Backend for RootlessBackend {
    fn id(&self) -> String {
        "container:rootless".into()
    }

    fn description(&self) -> &'static str {
        "our own runtime without root: the user's own id, and subordinate ones where there are some"
    }

    fn requirements(&self) -> Vec<Requirement> {
        let for_user = User::of_root();
        let user =
            Requirement { what: "an ordinary user".into(), state: Ok(RootlessBackend::user()), fix: None };
        // Asked by making one: kernels and distributions have several ways to forbid it.
        let made = match for_user {
            Some(user) => user.carry_out(idmap::is_allowed).and_then(|allowed| allowed),
            None => idmap::user_namespace(&own_map(None)).map(drop),
        };
        let allowed = Requirement {
            what: "user namespaces for users".into(),
            state: made.map(|()| "allowed".into()).map_err(|error| error.to_string()),
            fix: Some("sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0, user.max_user_namespaces=10000, whichever exists".into()),
        };
        vec![user, backend::namespaces(), allowed]
    }

    fn prepare(&self, context: &RunContext, image: &Image) -> Result<Arc<dyn Prepared>, Error> {
        if context.network.kind() == Kind::Bridge {
            return Err(Error::Missing {
                what: "a bridge needs root, which container:rootless has not".into(),
                fix: Some("--network loopback, or leave container:rootless out".into()),
            });
        }
        let user = User::of_root();
        let maps = maps(user);
        let files = image.rootfs.clone().map(|folder| match user {
            // The user's own copy of the image would be the user's.
            Some(_) => Files::mapped(&folder, &context.state_dir, &maps),
            None => Files::Plain { folder, why: "mapping the ids of a mount takes root".into() },
        });
        let find = || Delegation::find(Path::new("/"));
        let found = match user {
            Some(user) => user.carry_out(find)?,
            None => find(),
        };
        let groups = match found.and_then(Delegation::claim) {
            Ok(hierarchies) => Groups::Of(hierarchies),
            Err(why) => Groups::None(why.to_string()),
        };
        let mut setup = standard::setup(files.as_ref().map(Files::path), maps);
        let means = Means { files, groups, user, without: Vec::new() };
        let mut prepared = PreparedContainer::new(self.id(), context, image, &mut setup, means)?;
        if let Some(folder) = &image.rootfs
            && let Some(said) = prepared.refused_overlay()?
        {
            let why = format!("the kernel mounts no overlay for a user here: {said}");
            prepared.copy_instead(Copies::new(context, folder, setup, user, why)?);
        }
        Ok(Arc::new(prepared))
    }
}

/// The user's own id as root, and subordinate ones above it where both kinds can be had.
fn maps(for_user: Option<User>) -> IdMaps {
    let (uid, gid) = ids(for_user);
    match subordinate_ids(uid) {
        Some((uids, gids)) => IdMaps {
            uids: vec![one(uid), uids],
            gids: vec![one(gid), gids],
            writer: writer(for_user, MapWriter::NewIdMap),
        },
        None => own_map(for_user),
    }
}

/// The map every user may write.
fn own_map(for_user: Option<User>) -> IdMaps {
    let (uid, gid) = ids(for_user);
    IdMaps { uids: vec![one(uid)], gids: vec![one(gid)], writer: writer(for_user, MapWriter::Own) }
}

fn one(outside: u32) -> IdRange {
    IdRange { inside: 0, outside, count: 1 }
}

fn writer(for_user: Option<User>, usual: MapWriter) -> MapWriter {
    if for_user.is_some() { MapWriter::ForUser } else { usual }
}

fn ids(for_user: Option<User>) -> (u32, u32) {
    for_user.map_or_else(own, |user| (user.uid, user.gid))
}

/// Whom this program runs as.
fn own() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

/// What the user has been given of users and groups, and can map (newuidmap(1)).
fn subordinate_ids(uid: u32) -> Option<(IdRange, IdRange)> {
    let names = [uid.to_string(), user_name(uid).unwrap_or_default()];
    let more = |path: &str| subordinate(&std::fs::read_to_string(path).ok()?, &names);
    let is_installed = |program: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    };
    let can_map = is_installed("newuidmap") && is_installed("newgidmap");
    more("/etc/subuid").zip(more("/etc/subgid")).filter(|_| can_map)
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
