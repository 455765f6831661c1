//! Where the parts of an image are read from: a folder, or an archive without unpacking it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};

use super::Error;
use super::member::{Kind, Members};
use super::name;

/// A reader of one part, and its length in bytes where that is known beforehand.
pub(crate) type Part<'a> = (Box<dyn Read + 'a>, Option<u64>);

/// Named parts.
pub(crate) trait Source {
    /// What it is called in errors.
    fn path(&self) -> &Path;

    /// Whether it has this part.
    fn has(&self, part: &str) -> bool;

    /// Opens one.
    ///
    /// # Errors
    /// It is not there or not a file.
    fn open(&self, part: &str) -> Result<Part<'_>, Error>;

    /// Opens an index or a manifest, where those are not kept with the other blobs.
    ///
    /// # Errors
    /// As [`Source::open`].
    fn open_manifest(&self, part: &str) -> Result<Part<'_>, Error> {
        self.open(part)
    }

    /// How errors call a part.
    fn label(&self, part: &str) -> String {
        format!("{} in {}", part, self.path().display())
    }
}

/// Parts are files of a folder; links are followed within it.
pub(crate) struct Folder {
    path: PathBuf,
    folder: OwnedFd,
}

impl Folder {
    pub(crate) fn open(path: &Path) -> Result<Folder, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty()).map_err(Error::io("open", path))?;
        Ok(Folder { path: path.into(), folder })
    }

    fn file(&self, part: &str) -> io::Result<(File, u64)> {
        // Not blocking: a part may turn out to be a pipe.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let file = rustix::fs::openat2(&self.folder, part, flags, Mode::empty(), resolve)?;
        let found = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("is not a file"));
        }
        Ok((File::from(file), found.st_size as u64))
    }
}

impl Source for Folder {
    fn path(&self) -> &Path {
        &self.path
    }

    fn has(&self, part: &str) -> bool {
        self.file(part).is_ok()
    }

    fn open(&self, part: &str) -> Result<Part<'_>, Error> {
        let (file, length) = self.file(part).map_err(|why| Error::malformed(self.label(part), why))?;
        Ok((Box::new(file), Some(length)))
    }
}

/// Parts are bytes in memory.
pub(crate) struct Memory {
    name: PathBuf,
    parts: HashMap<String, Vec<u8>>,
}

impl Memory {
    pub(crate) fn new(name: &str, parts: HashMap<String, Vec<u8>>) -> Memory {
        Memory { name: name.into(), parts }
    }
}

impl Source for Memory {
    fn path(&self) -> &Path {
        &self.name
    }

    fn has(&self, part: &str) -> bool {
        self.parts.contains_key(part)
    }

    fn open(&self, part: &str) -> Result<Part<'_>, Error> {
        let missing = || Error::malformed(self.label(part), "is missing");
        let bytes = self.parts.get(part).ok_or_else(missing)?;
        Ok((Box::new(bytes.as_slice()), Some(bytes.len() as u64)))
    }
}

/// Parts are members of an uncompressed tar.
pub(crate) struct Archive {
    path: PathBuf,
    file: File,
    members: HashMap<Vec<u8>, Found>,
}

enum Found {
    File {
        offset_bytes: u64,
        size_bytes: u64,
        executable: bool,
    },
    /// To another member, relative to this one's folder or, for a hard link, to the root.
    Link {
        target: Vec<u8>,
        hard: bool,
    },
    Folder,
}

impl Archive {
    /// Reads what is where in `file`; `path` is what errors call it.
    ///
    /// # Errors
    /// It is not a tar.
    pub(crate) fn open(path: &Path, mut file: File) -> Result<Archive, Error> {
        let not_one = |why: io::Error| Error::NotAnImage { path: path.into(), why: why.to_string() };
        file.rewind().map_err(not_one)?;
        let length = file.metadata().map_err(not_one)?.len();
        let mut members = HashMap::new();
        let mut reader = Members::new(io::BufReader::with_capacity(256 << 10, &file));
        while let Some(member) = reader.next().map_err(not_one)? {
            if member.offset_bytes.saturating_add(member.size_bytes) > length {
                return Err(not_one(io::Error::other("ends in the middle of a member")));
            }
            let Ok(path) = name::components(&member.path) else { continue };
            let found = match member.kind {
                Kind::File => Found::File {
                    offset_bytes: member.offset_bytes,
                    size_bytes: member.size_bytes,
                    executable: member.mode & 0o111 != 0,
                },
                Kind::SymbolicLink => Found::Link { target: member.link, hard: false },
                Kind::HardLink => Found::Link { target: member.link, hard: true },
                Kind::Folder => Found::Folder,
                _ => continue,
            };
            members.insert(name::join(&path), found);
        }
        drop(reader);
        Ok(Archive { path: path.into(), file, members })
    }

    /// Its top-level names, for a guess at what it is: name, and whether it is a program.
    pub(crate) fn top(&self) -> impl Iterator<Item = (&[u8], bool)> {
        self.members.iter().map(|(path, found)| {
            let top = path.split(|byte| *byte == b'/').next().unwrap_or_default();
            let program = matches!(found, Found::File { executable: true, .. }) && top == path.as_slice();
            (top, program)
        })
    }

    /// The archive itself, from its beginning.
    ///
    /// # Errors
    /// What the system said.
    pub(crate) fn whole(&self) -> io::Result<File> {
        let mut file = self.file.try_clone()?;
        file.rewind()?;
        Ok(file)
    }

    /// The members of the archive and their content, in order.
    pub(crate) fn members(&self) -> io::Result<Members<io::BufReader<File>>> {
        Ok(Members::new(io::BufReader::with_capacity(256 << 10, self.whole()?)))
    }

    fn find(&self, part: &str) -> Option<(u64, u64)> {
        let mut path = part.as_bytes().to_vec();
        // `docker save` before 1.25 links equal layers to each other.
        for _ in 0..8 {
            match self.members.get(&path)? {
                Found::File { offset_bytes, size_bytes, .. } => return Some((*offset_bytes, *size_bytes)),
                Found::Folder => return None,
                Found::Link { target, hard } => path = follow(&path, target, *hard)?,
            }
        }
        None
    }
}

/// Resolves a link by its letters alone; none where it leaves the archive.
fn follow(from: &[u8], target: &[u8], hard: bool) -> Option<Vec<u8>> {
    let mut path: Vec<&[u8]> = if hard { Vec::new() } else { from.split(|byte| *byte == b'/').collect() };
    path.pop();
    for component in target.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => drop(path.pop()?),
            component => path.push(component),
        }
    }
    Some(path.join(&b'/'))
}

impl Source for Archive {
    fn path(&self) -> &Path {
        &self.path
    }

    fn has(&self, part: &str) -> bool {
        self.find(part).is_some()
    }

    fn open(&self, part: &str) -> Result<Part<'_>, Error> {
        let broken = |why: io::Error| Error::malformed(self.label(part), why);
        let (offset, size) = self.find(part).ok_or_else(|| broken(io::ErrorKind::NotFound.into()))?;
        let mut file = &self.file;
        file.seek(SeekFrom::Start(offset)).map_err(broken)?;
        Ok((Box::new(file.take(size)), Some(size)))
    }
}
