//! Owner, mode, extended attributes and times of what was placed, in this order: a change of
//! owner clears set-user-id and capabilities (chown(2)), and everything changes times.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::member::{Kind, Member};
use super::name::os;
use super::refusal::Refusal;

/// Of the host's security policy or of another overlay, never the image's to say.
const FOREIGN: [&[u8]; 4] = [b"security.selinux", b"security.ima", b"trusted.overlay.", b"user.overlay."];
/// Of one attribute, and of the list of names (xattr(7)).
const LIMIT_BYTES: usize = 64 << 10;
const CAPABILITY: &[u8] = b"security.capability";

/// For a file open for writing.
pub(crate) fn apply_file(file: BorrowedFd<'_>, member: &Member, privileged: bool) -> Result<(), Refusal> {
    if privileged {
        let (user, group) = owner(member)?;
        rustix::fs::fchown(file, Some(user), Some(group)).map_err(Refusal::system("set owner"))?;
    }
    rustix::fs::fchmod(file, Mode::from_raw_mode(member.mode)).map_err(Refusal::system("set mode"))?;
    extended(member, privileged, |name, value| {
        rustix::fs::fsetxattr(file, name, value, XattrFlags::empty())
    })?;
    rustix::fs::futimens(file, &times(member.modified)).map_err(Refusal::system("set time"))
}

/// For a folder; its mode and time are set when everything is in it.
pub(crate) fn apply_folder(folder: &OwnedFd, member: &Member, privileged: bool) -> Result<(), Refusal> {
    if privileged {
        let (user, group) = owner(member)?;
        rustix::fs::fchown(folder, Some(user), Some(group)).map_err(Refusal::system("set owner"))?;
    }
    extended(member, privileged, |name, value| {
        rustix::fs::fsetxattr(folder, name, value, XattrFlags::empty())
    })
}

/// Owner and extended attributes of one folder for another.
pub(crate) fn copy_folder(
    from: &OwnedFd,
    to: &OwnedFd,
    found: &Stat,
    privileged: bool,
) -> Result<(), Refusal> {
    if privileged {
        let (user, group) = (Uid::from_raw(found.st_uid), Gid::from_raw(found.st_gid));
        rustix::fs::fchown(to, Some(user), Some(group)).map_err(Refusal::system("set owner"))?;
    }
    let list = list(from)?;
    for name in list.split(|byte| *byte == 0).filter(|name| is_ours(name, privileged)) {
        let mut value = vec![0; LIMIT_BYTES];
        let length =
            rustix::fs::fgetxattr(from, os(name), &mut value).map_err(Refusal::system("read attribute"))?;
        rustix::fs::fsetxattr(to, os(name), &value[..length], XattrFlags::empty())
            .map_err(Refusal::system("set attribute"))?;
    }
    Ok(())
}

/// The names of a folder's attributes, each ended by a NUL.
fn list(folder: &OwnedFd) -> Result<Vec<u8>, Refusal> {
    let mut list = vec![0; LIMIT_BYTES];
    match rustix::fs::flistxattr(folder, &mut list) {
        Ok(length) => list.truncate(length),
        Err(Errno::OPNOTSUPP) => list.clear(),
        Err(error) => return Err(Refusal::system("list attributes")(error)),
    }
    Ok(list)
}

/// Takes away the extended attributes a folder has, except those that are not the image's to say.
pub(crate) fn strip(folder: &OwnedFd, privileged: bool) -> Result<(), Refusal> {
    for name in list(folder)?.split(|byte| *byte == 0).filter(|name| is_ours(name, privileged)) {
        match rustix::fs::fremovexattr(folder, os(name)) {
            Ok(()) | Err(Errno::NODATA) => {}
            Err(error) => {
                let what = format!("remove attribute {}", String::from_utf8_lossy(name));
                return Err(Refusal::system(what)(error));
            }
        }
    }
    Ok(())
}

/// Like owners, some are root's to give: an ordinary user's copy goes without.
fn is_ours(name: &[u8], privileged: bool) -> bool {
    let is_roots = name.starts_with(b"security.") || name.starts_with(b"trusted.");
    let is_foreign = FOREIGN.iter().any(|foreign| name.starts_with(foreign));
    !name.is_empty() && !is_foreign && (privileged || !is_roots)
}

/// For what cannot be opened: links, pipes and devices. Never follows.
pub(crate) fn apply_at(
    parent: impl AsFd,
    last: &OsStr,
    member: &Member,
    privileged: bool,
) -> Result<(), Refusal> {
    let parent = parent.as_fd();
    if privileged {
        let (user, group) = owner(member)?;
        rustix::fs::chownat(parent, last, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(Refusal::system("set owner"))?;
    }
    if member.kind != Kind::SymbolicLink {
        // Just made by us in a folder only we can reach, and not a link: there is nothing to follow.
        rustix::fs::chmodat(parent, last, Mode::from_raw_mode(member.mode), AtFlags::empty())
            .map_err(Refusal::system("set mode"))?;
    }
    let path = std::path::Path::new("/proc/self/fd").join(parent.as_raw_fd().to_string()).join(last);
    extended(member, privileged, |name, value| {
        rustix::fs::lsetxattr(&path, name, value, XattrFlags::empty())
    })?;
    rustix::fs::utimensat(parent, last, &times(member.modified), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(Refusal::system("set time"))
}

/// Modification time, which is the access time as well.
pub(crate) fn times((seconds, nanoseconds): (i64, u32)) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}

fn owner(member: &Member) -> Result<(Uid, Gid), Refusal> {
    let number = |id: u64, what| {
        // The all-ones id means "leave it" to chown(2).
        u32::try_from(id)
            .ok()
            .filter(|id| *id != u32::MAX)
            .ok_or_else(|| format!("{what} {id} does not exist"))
    };
    Ok((Uid::from_raw(number(member.uid, "user")?), Gid::from_raw(number(member.gid, "group")?)))
}

fn extended(
    member: &Member,
    privileged: bool,
    set: impl Fn(&OsStr, &[u8]) -> Result<(), Errno>,
) -> Result<(), Refusal> {
    let (last, first): (Vec<_>, Vec<_>) = member.attributes.iter().partition(|(name, _)| name == CAPABILITY);
    for (name, value) in first.into_iter().chain(last) {
        if name.contains(&0) {
            return Err("an attribute's name contains a NUL".into());
        }
        if !is_ours(name, privileged) {
            continue;
        }
        set(os(name), value)
            .map_err(Refusal::system(format!("set attribute {}", String::from_utf8_lossy(name))))?;
    }
    Ok(())
}
