//! The files of an App Container Image as an OCI layer: what is below `rootfs/`, renamed.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tar::{Builder, EntryType, Header};

use super::super::Error;
use super::super::member::{Kind, Member, Members};
use super::super::name::{self, Name};
use super::super::source::{Archive, Source};

/// Writes the layer.
///
/// # Errors
/// A member that is refused, or what the system said.
pub(super) fn write(archive: &Archive, out: impl Write) -> Result<(), Error> {
    let label = archive.label("rootfs");
    let broken = |why: io::Error| Error::malformed(&label, why);
    let mut builder = Builder::new(out);
    let mut members = archive.members().map_err(broken)?;
    while let Some(member) = members.next().map_err(broken)? {
        let refused = |why: String| Error::Entry {
            layer: label.clone(),
            entry: String::from_utf8_lossy(&member.path).into_owned(),
            why,
        };
        let Some(path) = below(&member.path).map_err(refused)? else { continue };
        // There is no whiteout here, only a name that would become one.
        if !matches!(name::read(&path).map_err(refused)?, Name::Plain(_)) {
            return Err(refused("a layer takes such a name for a whiteout".into()));
        }
        append(&mut builder, &path, &member, &mut members).map_err(|error| match error {
            Failure::Refused(why) => refused(why),
            Failure::System(error) => Error::io("write layer of", archive.path())(error),
        })?;
    }
    builder.into_inner().and_then(|mut out| out.flush()).map_err(Error::io("write layer of", archive.path()))
}

enum Failure {
    Refused(String),
    System(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::System(error)
    }
}

/// The name below `rootfs`; none for what is beside it.
fn below(path: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let components = name::components(path)?;
    Ok(match components.split_first() {
        Some((first, rest)) if first == b"rootfs" => Some(name::join(rest)),
        _ => None,
    })
}

fn append<R: Read>(
    builder: &mut Builder<impl Write>,
    path: &[u8],
    member: &Member,
    members: &mut Members<R>,
) -> Result<(), Failure> {
    let mut records: Vec<(String, Vec<u8>)> = Vec::new();
    let (seconds, nanoseconds) = member.modified;
    if nanoseconds != 0 && seconds >= 0 {
        records.push(("mtime".into(), format!("{seconds}.{nanoseconds:09}").into_bytes()));
    }
    for (name, value) in &member.attributes {
        let name = std::str::from_utf8(name)
            .map_err(|_| Failure::Refused("an attribute's name is no text".into()))?;
        records.push((format!("SCHILY.xattr.{name}"), value.clone()));
    }
    if !records.is_empty() {
        builder.append_pax_extensions(records.iter().map(|(key, value)| (key.as_str(), value.as_slice())))?;
    }
    let mut header = Header::new_gnu();
    header.set_mode(member.mode);
    header.set_uid(member.uid);
    header.set_gid(member.gid);
    header.set_mtime(u64::try_from(seconds).unwrap_or(0));
    header.set_size(0);
    header.set_entry_type(match member.kind {
        Kind::File => EntryType::Regular,
        Kind::HardLink => EntryType::Link,
        Kind::SymbolicLink => EntryType::Symlink,
        Kind::CharacterDevice => EntryType::Char,
        Kind::BlockDevice => EntryType::Block,
        Kind::Folder => EntryType::Directory,
        Kind::Fifo => EntryType::Fifo,
    });
    let path = Path::new(OsStr::from_bytes(path));
    let as_path = |bytes: &[u8]| Path::new(OsStr::from_bytes(bytes)).to_path_buf();
    match member.kind {
        Kind::File => {
            header.set_size(member.size_bytes);
            builder.append_data(&mut header, path, members.content())?;
        }
        Kind::HardLink => {
            let target = below(&member.link).map_err(Failure::Refused)?;
            let target = target.ok_or_else(|| Failure::Refused("a hard link out of rootfs".into()))?;
            builder.append_link(&mut header, path, as_path(&target))?;
        }
        Kind::SymbolicLink => builder.append_link(&mut header, path, as_path(&member.link))?,
        Kind::CharacterDevice | Kind::BlockDevice | Kind::Folder | Kind::Fifo => {
            header.set_device_major(member.device.0)?;
            header.set_device_minor(member.device.1)?;
            builder.append_data(&mut header, path, io::empty())?;
        }
    }
    Ok(())
}
