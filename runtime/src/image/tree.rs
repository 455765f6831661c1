//! A root file system being unpacked: where every entry is placed, and nothing ever beside it.
//!
//! Folders on the way are resolved by the kernel inside the root (openat2(2), RESOLVE_IN_ROOT and
//! RESOLVE_NO_MAGICLINKS), so a link pointing out, absolute or through `..`, ends inside. The last
//! component is never followed: it is created anew (O_EXCL, O_NOFOLLOW) after what was there has
//! been moved to the trash folder.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::attribute;
use super::member::{Kind, Member};
use super::name::{self, os};
use super::refusal::Refusal;

/// Folders whose mode and time are still to be set; more than any real image has.
const FOLDERS_LIMIT_BYTES: usize = 256 << 20;
/// For folders an archive uses without naming them.
const IMPLIED_MODE: u32 = 0o755;

/// What becomes of device nodes in an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Devices {
    /// An image that has one is refused: a device is a way out of every file system.
    #[default]
    Refuse,
    /// They are made, as root only.
    Create,
}

/// Path of a folder → its mode, and its time in seconds and nanoseconds.
type Folders = BTreeMap<Vec<Vec<u8>>, (u32, (i64, u32))>;

/// An open root folder and a trash folder on the same file system.
pub(crate) struct Tree {
    root: OwnedFd,
    trash: OwnedFd,
    trashed: u64,
    devices: Devices,
    privileged: bool,
    last_parent: Option<(Vec<Vec<u8>>, Rc<OwnedFd>)>,
    folders: Folders,
    folders_bytes: usize,
}

impl Tree {
    /// Opens two empty folders.
    ///
    /// # Errors
    /// What the system said.
    pub(crate) fn open(root: &Path, trash: &Path, devices: Devices) -> io::Result<Tree> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Tree {
            root: rustix::fs::open(root, flags, Mode::empty())?,
            trash: rustix::fs::open(trash, flags, Mode::empty())?,
            trashed: 0,
            devices,
            privileged: rustix::process::geteuid().is_root(),
            last_parent: None,
            folders: BTreeMap::new(),
            folders_bytes: 0,
        })
    }

    /// Places one entry, replacing what is there.
    ///
    /// # Errors
    /// Why it is refused, or what the system said.
    pub(crate) fn place(
        &mut self,
        path: &[Vec<u8>],
        member: &Member,
        content: impl Read,
    ) -> Result<(), Refusal> {
        let Some((last, folders)) = path.split_last() else { return self.place_root(member) };
        let parent = self.parent(folders)?;
        if member.kind == Kind::Folder {
            return self.place_folder(&parent, path, last, member);
        }
        let target = match member.kind {
            Kind::HardLink => Some(self.link_target(path, member)?),
            _ => None,
        };
        self.clear(&parent, path)?;
        match member.kind {
            Kind::File => return self.place_file(&parent, last, member, content),
            Kind::HardLink => {
                let (target_parent, target) = target.ok_or("a hard link without a target")?;
                return rustix::fs::linkat(
                    &*target_parent,
                    os(&target),
                    &*parent,
                    os(last),
                    AtFlags::empty(),
                )
                .map_err(Refusal::system(format!("hard link to {}", lossy(&member.link))));
            }
            Kind::SymbolicLink => self.place_symbolic_link(&parent, last, member)?,
            Kind::Fifo => make_node(&parent, last, FileType::Fifo, member)?,
            Kind::CharacterDevice => self.place_device(&parent, last, FileType::CharacterDevice, member)?,
            Kind::BlockDevice => self.place_device(&parent, last, FileType::BlockDevice, member)?,
            Kind::Folder => return Err("a folder where none was expected".into()),
        }
        attribute::apply_at(&*parent, os(last), member, self.privileged)
    }

    /// Hides what is at `path`, if anything.
    ///
    /// # Errors
    /// What the system said.
    pub(crate) fn remove(&mut self, path: &[Vec<u8>]) -> Result<(), Refusal> {
        let Some((_, folders)) = path.split_last() else { return Err("a whiteout of the root".into()) };
        match self.resolve(folders)? {
            Some(parent) => self.clear(&parent, path),
            None => Ok(()),
        }
    }

    /// Hides everything below `path`, if it is a folder. A link to a folder is none.
    ///
    /// # Errors
    /// What the system said.
    pub(crate) fn empty(&mut self, path: &[Vec<u8>]) -> Result<(), Refusal> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = match path.split_last() {
            None => rustix::fs::openat(&self.root, ".", flags, Mode::empty()),
            Some((last, folders)) => match self.resolve(folders)? {
                Some(parent) => rustix::fs::openat(&*parent, os(last), flags, Mode::empty()),
                None => return Ok(()),
            },
        };
        let folder = match opened {
            Ok(folder) => folder,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            Err(error) => return Err(Refusal::system("open to hide what is below")(error)),
        };
        let folder = Rc::new(folder);
        for child in names(&folder).map_err(Refusal::system("list"))? {
            let mut path = path.to_vec();
            path.push(child);
            self.clear(&folder, &path)?;
        }
        Ok(())
    }

    /// Sets modes and times of folders, which placing entries in them has changed.
    ///
    /// # Errors
    /// What the system said.
    pub(crate) fn finish(mut self) -> Result<(), Refusal> {
        self.last_parent = None;
        // Children before parents: a parent may become unreadable.
        while let Some((path, (mode, modified))) = self.folders.pop_last() {
            let fault = |error: Errno| {
                Refusal::system(format!("folder {}: set mode and time", lossy(&name::join(&path))))(error)
            };
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let folder = match self.open_inside(&path, flags) {
                Ok(folder) => folder,
                // Replaced by something else since: that has its own attributes.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(error) => return Err(fault(error)),
            };
            rustix::fs::fchmod(&folder, Mode::from_raw_mode(mode)).map_err(fault)?;
            rustix::fs::futimens(&folder, &attribute::times(modified)).map_err(fault)?;
        }
        Ok(())
    }

    /// Opens the folder at `path`, which exists.
    pub(super) fn folder_at(&self, path: &[Vec<u8>]) -> Result<OwnedFd, Refusal> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.open_inside(path, flags).map_err(Refusal::system("open folder"))
    }

    /// Whether owners and all attributes can be given.
    pub(super) fn is_privileged(&self) -> bool {
        self.privileged
    }

    fn place_root(&mut self, member: &Member) -> Result<(), Refusal> {
        if member.kind != Kind::Folder {
            return Err(format!("the root would become a {:?}", member.kind).into());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(&self.root, ".", flags, Mode::empty())
            .map_err(Refusal::system("open root"))?;
        attribute::strip(&root, self.privileged)?;
        attribute::apply_folder(&root, member, self.privileged)?;
        self.remember(&[], member.mode, member.modified)
    }

    fn place_folder(
        &mut self,
        parent: &Rc<OwnedFd>,
        path: &[Vec<u8>],
        last: &[u8],
        member: &Member,
    ) -> Result<(), Refusal> {
        if stat(parent, last)?
            .is_none_or(|found| FileType::from_raw_mode(found.st_mode) != FileType::Directory)
        {
            self.clear(parent, path)?;
            rustix::fs::mkdirat(&**parent, os(last), Mode::RWXU).map_err(Refusal::system("make folder"))?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(&**parent, os(last), flags, Mode::empty())
            .map_err(Refusal::system("open folder"))?;
        // "Replaced" by the upper entry (layer.md) goes for all attributes, not only for those it has.
        attribute::strip(&folder, self.privileged)?;
        attribute::apply_folder(&folder, member, self.privileged)?;
        self.remember(path, member.mode, member.modified)
    }

    fn place_file(
        &self,
        parent: &OwnedFd,
        last: &[u8],
        member: &Member,
        mut content: impl Read,
    ) -> Result<(), Refusal> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(parent, os(last), flags, Mode::RUSR | Mode::WUSR)
            .map_err(Refusal::system("create"))?;
        let mut file = std::fs::File::from(file);
        let written = io::copy(&mut content, &mut file).map_err(Refusal::system("write"))?;
        if written != member.size_bytes {
            return Err(format!("has {written} bytes of the {} announced", member.size_bytes).into());
        }
        attribute::apply_file(file.as_fd(), member, self.privileged)
    }

    fn place_symbolic_link(&self, parent: &OwnedFd, last: &[u8], member: &Member) -> Result<(), Refusal> {
        if member.link.is_empty() || member.link.contains(&0) {
            return Err("a symbolic link with an empty target or one that contains a NUL".into());
        }
        rustix::fs::symlinkat(os(&member.link), parent, os(last)).map_err(Refusal::system("symbolic link"))
    }

    fn place_device(
        &self,
        parent: &OwnedFd,
        last: &[u8],
        kind: FileType,
        member: &Member,
    ) -> Result<(), Refusal> {
        if self.devices == Devices::Refuse {
            return Err("a device node; images with devices are refused unless asked for".into());
        }
        if member.device == (0, 0) {
            return Err("device 0:0, which an overlay takes for a whiteout".into());
        }
        make_node(parent, last, kind, member)
    }

    fn link_target(&mut self, path: &[Vec<u8>], member: &Member) -> Result<(Rc<OwnedFd>, Vec<u8>), Refusal> {
        let target = name::components(&member.link).map_err(|why| format!("hard link target: {why}"))?;
        if target == path {
            return Err("a hard link to itself".into());
        }
        let (last, folders) = target.split_last().ok_or("a hard link to the root")?;
        let parent = self.resolve(folders)?;
        let parent =
            parent.ok_or_else(|| format!("hard link to {}, which does not exist", lossy(&member.link)))?;
        match stat(&parent, last)? {
            Some(_) => Ok((parent, last.clone())),
            None => Err(format!("hard link to {}, which does not exist", lossy(&member.link)).into()),
        }
    }

    /// The folder at `path`, made where it is missing.
    fn parent(&mut self, path: &[Vec<u8>]) -> Result<Rc<OwnedFd>, Refusal> {
        if let Some((known, folder)) = &self.last_parent
            && known == path
        {
            return Ok(folder.clone());
        }
        let folder = match self.resolve(path)? {
            Some(folder) => folder,
            None => self.make_parents(path)?,
        };
        self.last_parent = Some((path.to_vec(), folder.clone()));
        Ok(folder)
    }

    fn make_parents(&mut self, path: &[Vec<u8>]) -> Result<Rc<OwnedFd>, Refusal> {
        let mut folder = self.resolve(&[])?.ok_or("the root is gone")?;
        for depth in 1..=path.len() {
            folder = match self.resolve(&path[..depth])? {
                Some(found) => found,
                None => {
                    let way = || format!("make folder {} on the way", lossy(&name::join(&path[..depth])));
                    rustix::fs::mkdirat(&*folder, os(&path[depth - 1]), Mode::RWXU)
                        .map_err(Refusal::system(way()))?;
                    self.remember(&path[..depth], IMPLIED_MODE, (0, 0))?;
                    let made = self.resolve(&path[..depth])?;
                    made.ok_or("a folder on the way disappeared")?
                }
            };
        }
        Ok(folder)
    }

    fn resolve(&self, path: &[Vec<u8>]) -> Result<Option<Rc<OwnedFd>>, Refusal> {
        match self.open_inside(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC) {
            Ok(folder) => Ok(Some(Rc::new(folder))),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::NOSYS) => {
                Err("openat2 is missing; Linux 5.6 or newer is needed to unpack safely".into())
            }
            Err(error) => {
                Err(Refusal::system(format!("folder {} on the way", lossy(&name::join(path))))(error))
            }
        }
    }

    fn open_inside(&self, path: &[Vec<u8>], flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = name::join(path);
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let mut tries = 0;
        loop {
            match rustix::fs::openat2(&self.root, os(&path), flags, Mode::empty(), resolve) {
                // Somewhere on the system something was renamed meanwhile (openat2(2)).
                Err(Errno::AGAIN | Errno::INTR) if tries < 64 => tries += 1,
                answer => return answer,
            }
        }
    }

    /// Makes `path`, the last component of which is in `parent`, free.
    fn clear(&mut self, parent: &Rc<OwnedFd>, path: &[Vec<u8>]) -> Result<(), Refusal> {
        let last = path.last().ok_or("the root cannot be replaced")?;
        let Some(found) = stat(parent, last)? else { return Ok(()) };
        self.last_parent = None;
        if FileType::from_raw_mode(found.st_mode) != FileType::Directory {
            return rustix::fs::unlinkat(&**parent, os(last), AtFlags::empty())
                .map_err(Refusal::system("replace"));
        }
        self.trashed += 1;
        rustix::fs::renameat(&**parent, os(last), &self.trash, format!("{}", self.trashed))
            .map_err(Refusal::system("replace folder"))?;
        while let Some(below) = self.folders.range(path.to_vec()..).next().map(|(below, _)| below.clone()) {
            if !below.starts_with(path) {
                break;
            }
            self.folders.remove(&below);
        }
        Ok(())
    }

    pub(super) fn remember(
        &mut self,
        path: &[Vec<u8>],
        mode: u32,
        modified: (i64, u32),
    ) -> Result<(), Refusal> {
        self.folders_bytes += 96 + path.iter().map(|component| component.len() + 24).sum::<usize>();
        if self.folders_bytes > FOLDERS_LIMIT_BYTES {
            return Err("more folders than any image needs".into());
        }
        self.folders.insert(path.to_vec(), (mode, modified));
        Ok(())
    }
}

fn make_node(parent: &OwnedFd, last: &[u8], kind: FileType, member: &Member) -> Result<(), Refusal> {
    let device = rustix::fs::makedev(member.device.0, member.device.1);
    rustix::fs::mknodat(parent, os(last), kind, Mode::RUSR | Mode::WUSR, device)
        .map_err(Refusal::system(format!("make {:?}", member.kind)))
}

fn stat(parent: &OwnedFd, last: &[u8]) -> Result<Option<Stat>, Refusal> {
    match rustix::fs::statat(parent, os(last), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(Refusal::system("look")(error)),
    }
}

/// What is in an open folder.
pub(crate) fn names(folder: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
