//! Who an image's command runs as (OCI image specification, conversion.md, "Config.User").

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::Error;

/// No real /etc/passwd is longer; the image chooses it.
const LIMIT_BYTES: u64 = 16 << 20;

/// Ids inside the container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) additional_gids: Vec<u32>,
}

/// Finds who `user` (`user`, `uid`, `user:group`, …; empty for root) is in the image's own files.
///
/// # Errors
/// It names a user or group the image does not have, or its files cannot be read.
pub(crate) fn identity(rootfs: Option<&Path>, user: &str) -> Result<Identity, Error> {
    let (user, group) = match user.split_once(':') {
        Some((user, group)) => (user, (!group.is_empty()).then_some(group)),
        None => (user, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let unknown = |what: &str, name: &str, file: &str| {
        Error::malformed(format!("user of the image: {what} {name:?}"), format!("is not in its /etc/{file}"))
    };
    let number = user.parse::<u32>().ok();
    let is_entry = |fields: &[String]| match number {
        Some(uid) => fields.get(2).and_then(|id| id.parse().ok()) == Some(uid),
        None => fields.first().is_some_and(|name| name == user),
    };
    let entry = lines(rootfs, "etc/passwd")?.into_iter().find(|fields| fields.len() >= 4 && is_entry(fields));
    let id = |field: usize| entry.as_ref().and_then(|fields| fields.get(field)?.parse::<u32>().ok());
    let uid = number.or_else(|| id(2)).ok_or_else(|| unknown("user", user, "passwd"))?;
    let gid = match group {
        Some(group) => match group.parse::<u32>() {
            Ok(gid) => gid,
            Err(_) => group_id(rootfs, group)?.ok_or_else(|| unknown("group", group, "group"))?,
        },
        None => id(3).unwrap_or(0),
    };
    // Left alone where the user is a number or a group is given.
    let additional_gids = match (number, group) {
        (None, None) => memberships(rootfs, user, gid)?,
        _ => Vec::new(),
    };
    Ok(Identity { uid, gid, additional_gids })
}

fn group_id(rootfs: Option<&Path>, group: &str) -> Result<Option<u32>, Error> {
    let found = lines(rootfs, "etc/group")?.into_iter().find(|fields| fields[0] == group);
    Ok(found.and_then(|fields| fields.get(2)?.parse().ok()))
}

fn memberships(rootfs: Option<&Path>, user: &str, primary: u32) -> Result<Vec<u32>, Error> {
    let is_member = |fields: &Vec<String>| {
        fields.get(3).is_some_and(|members| members.split(',').any(|member| member == user))
    };
    let mut gids: Vec<u32> = lines(rootfs, "etc/group")?
        .into_iter()
        .filter(is_member)
        .filter_map(|fields| fields[2].parse().ok())
        .filter(|gid| *gid != primary)
        .collect();
    gids.sort_unstable();
    gids.dedup();
    Ok(gids)
}

/// The fields of every line; nothing where there is no such file. Resolved inside the root.
fn lines(rootfs: Option<&Path>, name: &str) -> Result<Vec<Vec<String>>, Error> {
    let Some(rootfs) = rootfs else { return Ok(Vec::new()) };
    let path = rootfs.join(name);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(rootfs, flags, Mode::empty()).map_err(Error::io("open", rootfs))?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = match rustix::fs::openat2(&root, name, flags, Mode::empty(), resolve) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("open", &path)(error)),
    };
    let found = rustix::fs::fstat(&file).map_err(Error::io("look at", &path))?;
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return Err(Error::malformed(path.display().to_string(), "is not a file"));
    }
    let mut fields = Vec::new();
    for line in BufReader::new(File::from(file).take(LIMIT_BYTES)).split(b'\n') {
        let line = line.map_err(Error::io("read", &path))?;
        let line = String::from_utf8_lossy(&line);
        fields.push(line.trim().split(':').map(str::to_owned).collect());
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn names_and_numbers_are_found_in_the_image() {
        let root = tempfile::tempdir().expect("folder");
        fs::create_dir(root.path().join("etc")).expect("etc");
        let passwd = "root:x:0:0:root:/root:/bin/sh\n\nredis:x:101:103::/var:/bin/false\nbroken:x\n";
        fs::write(root.path().join("etc/passwd"), passwd).expect("passwd");
        let group = "root:x:0:\nredis:x:103:\nssl:x:110:www,redis\nadm:x:4:redis\nodd\n";
        fs::write(root.path().join("etc/group"), group).expect("group");
        let is = |user: &str, uid, gid, more: &[u32]| {
            let found = identity(Some(root.path()), user).expect(user);
            assert_eq!(found, Identity { uid, gid, additional_gids: more.to_vec() }, "{user}");
        };
        is("", 0, 0, &[]);
        is("redis", 101, 103, &[4, 110]);
        is("redis:ssl", 101, 110, &[]);
        is("101", 101, 103, &[]);
        is("4711", 4711, 0, &[]);
        is("4711:12", 4711, 12, &[]);
        is("redis:", 101, 103, &[4, 110]);
        is(":ssl", 0, 110, &[]);
        for (user, named) in [("nobody", "nobody"), ("redis:none", "none"), ("broken", "broken")] {
            let error = identity(Some(root.path()), user).expect_err(user).to_string();
            assert!(error.contains(named) && error.contains("/etc/"), "{error}");
        }
        assert!(identity(None, "redis").is_err());
        assert_eq!(identity(None, "7").expect("number").uid, 7);
    }

    #[test]
    fn the_hosts_users_are_not_asked_through_a_link() {
        let root = tempfile::tempdir().expect("folder");
        fs::create_dir(root.path().join("etc")).expect("etc");
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("etc/passwd")).expect("link");
        assert!(identity(Some(root.path()), "daemon").is_err());
    }
}
