//! The root of a container: made, entered, and the old one left.

use std::ffi::{CStr, CString, c_int};
use std::path::Path;

use super::mount::{self, Bind, FileSystem};
use super::place::cstring;
use super::report::{Label, Labels, Report};
use super::setup::{
    Leave, MountAttributes, Namespace, Propagation, Reach, Root as Wanted, RootSource, Setup, Upper,
};
use super::syscall::{Answer, Errno, raw};
use crate::Error;

/// Mount points of a root that has no files of its own.
const FOLDERS: [&CStr; 4] = [c"dev", c"proc", c"sys", c"tmp"];
/// What all is mounted on until the old root is left: a folder that /proc always has (proc_root_init in the
/// kernel's fs/proc/root.c). With the old root goes what is below it; what would be stacked *on* the old root
/// would be taken away in its place, by the one unmounting that is meant for it, and `..` would lead there.
const ASIDE: &CStr = c"/proc/driver";
/// Descriptors that the lower folders are held at, so that one option can name them all.
const LOWER_FIRST: usize = 900;
/// Most lower folders: overlayfs itself stops at 500.
const LOWER_MAX: usize = 100;

/// What this step is called in errors.
pub(super) const ACTION: &str = "make the root of a container";

/// How the root is made.
#[derive(Debug)]
pub(super) struct Root {
    label: Label,
    source: Source,
    initial: Option<u64>,
    last: Option<u64>,
    read_only: bool,
    leave: Leave,
}

#[derive(Debug)]
enum Source {
    /// The mount namespace's own root.
    Host,
    Empty(FileSystem),
    Folder(Bind),
    Overlay {
        lower: Vec<CString>,
        memory: Option<FileSystem>,
        overlay: FileSystem,
    },
}

impl Root {
    pub(super) fn new(setup: &Setup, labels: &mut Labels) -> Result<Root, Error> {
        let Wanted { source, read_only, propagation, leave } = &setup.root;
        if setup.namespaces.mount != Namespace::New && *source != RootSource::Host {
            return Err(Error::Invalid("a root of its own needs a mount namespace of its own".into()));
        }
        let source = source_of(source)?;
        let is_new = setup.namespaces.mount == Namespace::New;
        Ok(Root {
            label: labels.add(ACTION),
            source,
            // What the host does later comes in only where that was asked for. What is mounted
            // here goes out only where the last step below says so.
            initial: is_new.then_some(match propagation {
                Propagation::Private | Propagation::Unbindable => libc::MS_PRIVATE,
                Propagation::Slave | Propagation::Shared => libc::MS_SLAVE,
            }),
            last: match propagation {
                Propagation::Shared | Propagation::Unbindable => Some(mount::propagation(*propagation)),
                Propagation::Private | Propagation::Slave => None,
            },
            read_only: *read_only,
            leave: *leave,
        })
    }

    /// Opens what needs the right to search the host's folders.
    ///
    /// # Safety
    /// In the child, in its mount namespace; `trees` come in place of lower folders. Gives the
    /// descriptor of a folder's tree.
    pub(super) unsafe fn open(&self, trees: &[c_int], report: &Report) -> Answer<Option<usize>> {
        report.at(self.label);
        // SAFETY: strings live through the calls; descriptors are this child's.
        unsafe {
            if let Some(flags) = self.initial {
                raw!(SYS_mount, 0, c"/".as_ptr(), 0, flags | libc::MS_REC, 0)?;
            }
            match &self.source {
                Source::Folder(bind) => bind.open().map(Some),
                Source::Overlay { lower, .. } if trees.is_empty() => {
                    for (number, path) in lower.iter().enumerate() {
                        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
                        let folder = raw!(SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags)?;
                        raw!(SYS_dup3, folder, LOWER_FIRST + number, libc::O_CLOEXEC)?;
                        let _ = raw!(SYS_close, folder);
                    }
                    Ok(None)
                }
                Source::Host | Source::Empty(_) | Source::Overlay { .. } => Ok(None),
            }
        }
    }

    /// Makes it and gives its descriptor. Absolute paths still name the old root.
    ///
    /// # Safety
    /// In the child; `folder` is what [`Root::open`] gave for `trees`.
    pub(super) unsafe fn make(&self, folder: Option<usize>, trees: &[c_int], report: &Report) -> Answer {
        report.at(self.label);
        // SAFETY: strings live through the calls; descriptors are this child's.
        unsafe {
            let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
            let mut top = raw!(SYS_openat, libc::AT_FDCWD, ASIDE.as_ptr(), flags)?;
            let root = match &self.source {
                Source::Host => return raw!(SYS_openat, libc::AT_FDCWD, c"/".as_ptr(), flags),
                Source::Folder(_) => folder.ok_or(Errno(libc::EBADF))?,
                Source::Empty(memory) => {
                    let root = memory.make()?;
                    for folder in FOLDERS {
                        raw!(SYS_mkdirat, root, folder.as_ptr(), 0o755)?;
                    }
                    root
                }
                Source::Overlay { memory, overlay, .. } => {
                    // One on the other, for overlayfs takes folders of this mount namespace only.
                    for (number, tree) in trees.iter().map(|tree| *tree as usize).enumerate() {
                        mount::attach(tree, top)?;
                        raw!(SYS_dup3, tree, LOWER_FIRST + number, libc::O_CLOEXEC)?;
                        top = tree;
                    }
                    if let Some(memory) = memory {
                        let upper = memory.make()?;
                        for folder in [c"up", c"work"] {
                            raw!(SYS_mkdirat, upper, folder.as_ptr(), 0o755)?;
                        }
                        mount::attach(upper, top)?;
                        raw!(SYS_fchdir, upper)?;
                    }
                    overlay.make()?
                }
            };
            if let Source::Overlay { memory: Some(_), .. } = &self.source {
                let upper = raw!(SYS_openat, libc::AT_FDCWD, c".".as_ptr(), flags)?;
                mount::attach(root, upper)?;
            } else {
                mount::attach(root, top)?;
            }
            raw!(SYS_fchdir, root)?;
            Ok(root)
        }
    }

    /// Leaves the old root and stands in the new one.
    ///
    /// # Safety
    /// In the child; `root` is what [`Root::make`] gave.
    pub(super) unsafe fn enter(&self, root: usize, report: &Report) -> Answer<()> {
        report.at(self.label);
        // SAFETY: constant strings; descriptors are this child's.
        unsafe {
            if self.read_only {
                mount::make_read_only(root, Reach::One)?;
            }
            if !matches!(self.source, Source::Host) {
                raw!(SYS_fchdir, root)?;
                match self.leave {
                    Leave::Pivot => {
                        // The old root is stacked on the new one and taken away (pivot_root(2),
                        // "pivot_root(".", ".")").
                        raw!(SYS_pivot_root, c".".as_ptr(), c".".as_ptr())?;
                        raw!(SYS_umount2, c".".as_ptr(), libc::MNT_DETACH)?;
                    }
                    Leave::Chroot => {
                        raw!(SYS_chroot, c".".as_ptr())?;
                    }
                }
                raw!(SYS_chdir, c"/".as_ptr())?;
            }
            if let Some(kind) = self.last {
                let attributes = libc::mount_attr { propagation: kind, ..mount::no_attributes() };
                mount::set_attributes(root, &attributes, Reach::One)?;
            }
        }
        Ok(())
    }
}

fn source_of(source: &RootSource) -> Result<Source, Error> {
    let quiet = MountAttributes { nosuid: Some(true), nodev: Some(true), ..MountAttributes::default() };
    let memory = |size_bytes: u64| {
        let options = ["mode=0755".to_owned(), format!("size={size_bytes}")];
        FileSystem::new("tmpfs", "none", &options, quiet)
    };
    Ok(match source {
        RootSource::Host => Source::Host,
        RootSource::Empty => Source::Empty(memory(64 << 10)?),
        RootSource::Folder(path) => Source::Folder(Bind::new(path, Reach::Tree, MountAttributes::default())?),
        RootSource::Overlay { lower, upper } => {
            if lower.is_empty() || lower.len() > LOWER_MAX {
                return Err(Error::Invalid(format!(
                    "an overlay of {} lower folders is not one of 1 to {LOWER_MAX}",
                    lower.len()
                )));
            }
            let folders: Vec<String> =
                (0..lower.len()).map(|number| format!("/proc/self/fd/{}", LOWER_FIRST + number)).collect();
            let (memory, up, work) = match upper {
                Upper::Memory { size_bytes } => (Some(memory(*size_bytes)?), "up".into(), "work".into()),
                Upper::Folders { upper, work } => (None, option_path(upper)?, option_path(work)?),
            };
            let options = [
                "userxattr".to_owned(),
                format!("lowerdir={}", folders.join(":")),
                format!("upperdir={up}"),
                format!("workdir={work}"),
            ];
            let lower = lower.iter().map(|path| cstring(path.as_os_str().as_encoded_bytes()));
            Source::Overlay {
                lower: lower.collect::<Result<_, Error>>()?,
                memory,
                overlay: FileSystem::new("overlay", "overlay", &options, quiet)?,
            }
        }
    })
}

fn option_path(path: &Path) -> Result<String, Error> {
    let text = path.to_str().filter(|text| path.is_absolute() && !text.contains([',', '\\', ':']));
    text.map(str::to_owned).ok_or_else(|| {
        Error::Invalid(format!(
            "{} cannot be an upper folder: a plain absolute path is needed",
            path.display()
        ))
    })
}
