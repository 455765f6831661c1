//! Owner, mode, extended attributes and times of what was placed, in this order: a change of
//! owner clears set-user-id and capabilities (chown(2)), and everything changes times.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::member::{Kind, Member};
use super::name::os;

/// Of the host's security policy or of another overlay, never the image's to say.
const FOREIGN: [&[u8]; 4] = [b"security.selinux", b"security.ima", b"trusted.overlay.", b"user.overlay."];
const CAPABILITY: &[u8] = b"security.capability";

/// For a file open for writing.
pub(crate) fn apply_file(file: BorrowedFd<'_>, member: &Member, privileged: bool) -> Result<(), String> {
    if privileged {
        let (user, group) = owner(member)?;
        rustix::fs::fchown(file, Some(user), Some(group)).map_err(|error| format!("set owner: {error}"))?;
    }
    rustix::fs::fchmod(file, Mode::from_raw_mode(member.mode))
        .map_err(|error| format!("set mode: {error}"))?;
    extended(member, privileged, |name, value| {
        rustix::fs::fsetxattr(file, name, value, XattrFlags::empty())
    })?;
    rustix::fs::futimens(file, &times(member.modified)).map_err(|error| format!("set time: {error}"))
}

/// For a folder; its mode and time are set when everything is in it.
pub(crate) fn apply_folder(folder: &OwnedFd, member: &Member, privileged: bool) -> Result<(), String> {
    if privileged {
        let (user, group) = owner(member)?;
        rustix::fs::fchown(folder, Some(user), Some(group)).map_err(|error| format!("set owner: {error}"))?;
    }
    extended(member, privileged, |name, value| {
        rustix::fs::fsetxattr(folder, name, value, XattrFlags::empty())
    })
}

/// For what cannot be opened: links, pipes and devices. Never follows.
pub(crate) fn apply_at(
    parent: impl AsFd,
    last: &OsStr,
    member: &Member,
    privileged: bool,
) -> Result<(), String> {
    let parent = parent.as_fd();
    if privileged {
        let (user, group) = owner(member)?;
        rustix::fs::chownat(parent, last, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| format!("set owner: {error}"))?;
    }
    if member.kind != Kind::SymbolicLink {
        // Just made by us in a folder only we can reach, and not a link: there is nothing to follow.
        rustix::fs::chmodat(parent, last, Mode::from_raw_mode(member.mode), AtFlags::empty())
            .map_err(|error| format!("set mode: {error}"))?;
    }
    let path = std::path::Path::new("/proc/self/fd").join(parent.as_raw_fd().to_string()).join(last);
    extended(member, privileged, |name, value| {
        rustix::fs::lsetxattr(&path, name, value, XattrFlags::empty())
    })?;
    rustix::fs::utimensat(parent, last, &times(member.modified), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|error| format!("set time: {error}"))
}

/// Modification time, which is the access time as well.
pub(crate) fn times((seconds, nanoseconds): (i64, u32)) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}

fn owner(member: &Member) -> Result<(Uid, Gid), String> {
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
) -> Result<(), String> {
    let (last, first): (Vec<_>, Vec<_>) = member.attributes.iter().partition(|(name, _)| name == CAPABILITY);
    for (name, value) in first.into_iter().chain(last) {
        if FOREIGN.iter().any(|foreign| name.starts_with(foreign)) {
            continue;
        }
        if name.contains(&0) {
            return Err("an attribute's name contains a NUL".into());
        }
        // Like owners, these are root's to give: an ordinary user's copy goes without.
        if !privileged && (name.starts_with(b"security.") || name.starts_with(b"trusted.")) {
            continue;
        }
        set(os(name), value)
            .map_err(|error| format!("set attribute {}: {error}", String::from_utf8_lossy(name)))?;
    }
    Ok(())
}
