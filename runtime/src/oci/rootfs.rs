//! The files of containers: those of the image below a folder of the instance's own.
//!
//! Made once per run: the guest program and, for an image, its files with their ids mapped to the
//! container's (idmapped mount, mount_setattr(2)). Made per instance, inside the measured start: an
//! overlay of them with an upper folder in memory, as our own containers have.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount};

use super::bundle::{MAP_COUNT, MAP_FIRST, PROGRAM};
use super::stage::Stage;
use crate::Error;
use crate::image::Image;

/// The image's files, below the stage's root.
const LOWER: &str = "lower";
/// The built-in image's.
const BUILTIN: &str = "builtin";
/// The guest program, for images without one.
const GUEST: &str = "guest";

pub(super) struct Rootfs {
    is_image: bool,
    /// The container's root.
    owner: u32,
    /// The guest program, as those on the stage name it.
    program: Option<String>,
}

impl Rootfs {
    /// Makes what all instances share.
    ///
    /// # Errors
    /// What the system refused.
    pub(super) fn new(stage: &Stage, image: &Image, maps_ids: bool) -> Result<Rootfs, Error> {
        let owner = if maps_ids { MAP_FIRST } else { 0 };
        let Some(files) = image.rootfs.clone() else {
            let root = stage.make(BUILTIN)?;
            for folder in ["dev", "proc", "sys", "tmp", ".bench"] {
                own(&stage.make(&format!("{BUILTIN}/{folder}"))?, owner)?;
            }
            own(&root, owner)?;
            put_program(&root.join(PROGRAM.trim_start_matches('/')))?;
            return Ok(Rootfs { is_image: false, owner, program: None });
        };
        put_program(&stage.outside(GUEST))?;
        stage.make(LOWER)?;
        let place = stage.inside(LOWER);
        stage.act(move || show(&files, &place, maps_ids))?;
        Ok(Rootfs {
            is_image: true,
            owner,
            program: Some(stage.inside(GUEST).to_string_lossy().into_owned()),
        })
    }

    /// Whether there is an image, whose files an instance may change for itself.
    pub(super) fn is_image(&self) -> bool {
        self.is_image
    }

    /// The guest program to be shown inside, where the files have none.
    pub(super) fn program(&self) -> Option<String> {
        self.program.clone()
    }

    /// In a sentence.
    pub(super) fn describe(&self) -> &'static str {
        if self.is_image {
            "overlay made for each instance: image below (ids mapped where the container's are), tmpfs above"
        } else {
            "one read-only folder in memory for all instances"
        }
    }

    /// Where the instance's overlay is mounted, for those on the stage.
    pub(super) fn mount_of(&self, stage: &Stage, name: &str) -> Option<PathBuf> {
        self.is_image.then(|| stage.inside(format!("bundles/{name}/rootfs")))
    }

    /// The root file system of one instance, as those on the stage name it.
    ///
    /// # Errors
    /// What the system refused.
    pub(super) fn of_instance(&self, stage: &Stage, name: &str) -> Result<PathBuf, Error> {
        let Some(root) = self.mount_of(stage, name) else { return Ok(stage.inside(BUILTIN)) };
        let folder = format!("bundles/{name}");
        for part in ["rootfs", "upper", "work"] {
            own(&stage.make(&format!("{folder}/{part}"))?, self.owner)?;
        }
        let (lower, bundle) = (stage.inside(LOWER), stage.inside(&folder));
        let target = root.clone();
        stage.act(move || {
            // Names of our own making: without the characters that would need escapes.
            let options = format!(
                "lowerdir={},upperdir={},workdir={}",
                lower.display(),
                bundle.join("upper").display(),
                bundle.join("work").display()
            );
            let options =
                std::ffi::CString::new(options).map_err(|error| Error::Invalid(error.to_string()))?;
            let flags = MountFlags::NOSUID | MountFlags::NODEV;
            mount("overlay", &target, "overlay", flags, Some(options.as_c_str()))
                .map_err(Error::system(format!("mount an overlay on {}", target.display())))
        })?;
        Ok(root)
    }
}

/// On the stage: takes away an instance's overlay; it may be gone.
///
/// # Errors
/// What the system said.
pub(super) fn unmount(target: &Path) -> Result<(), Error> {
    match rustix::mount::unmount(target, UnmountFlags::DETACH) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) | Ok(()) => Ok(()),
        Err(error) => Err(Error::system(format!("unmount {}", target.display()))(error)),
    }
}

/// Gives a folder to the container's root.
fn own(path: &Path, owner: u32) -> Result<(), Error> {
    chown(path, Some(owner), Some(owner))
        .map_err(Error::system(format!("give away the folder {}", path.display())))
}

fn put_program(path: &Path) -> Result<(), Error> {
    fs::write(path, crate::guest_program_bytes())
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)))
        .map_err(Error::system(format!("write {}", path.display())))
}

/// On the stage: shows `files` at `place`, with the ids 0… as the container's where they are mapped.
fn show(files: &Path, place: &Path, maps_ids: bool) -> Result<(), Error> {
    use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(rustix::fs::CWD, files, flags)
        .map_err(Error::system(format!("open {} as a mount", files.display())))?;
    let user = maps_ids.then(user_namespace).transpose()?;
    // SAFETY: plain data for which all zeroes is valid.
    let mut attributes: libc::mount_attr = unsafe { std::mem::zeroed() };
    attributes.attr_set = libc::MOUNT_ATTR_RDONLY;
    if let Some(user) = &user {
        attributes.attr_set |= libc::MOUNT_ATTR_IDMAP;
        attributes.userns_fd = user.as_raw_fd() as u64;
    }
    // SAFETY: both descriptors are open, the path is NUL-terminated, and the attributes live through the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result != 0 {
        return Err(Error::system("map the ids of the image's files")(io::Error::last_os_error()));
    }
    move_mount(&tree, "", rustix::fs::CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(Error::system(format!("mount the image on {}", place.display())))
}

/// A user namespace with the containers' map, which lives as long as its descriptor.
fn user_namespace() -> Result<OwnedFd, Error> {
    // SAFETY: plain data for which all zeroes is valid.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    let mut pidfd: libc::c_int = -1;
    arguments.flags = (libc::CLONE_NEWUSER | libc::CLONE_PIDFD) as u64;
    arguments.pidfd = std::ptr::from_mut(&mut pidfd) as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: a fork; the child makes system calls only, until it is killed.
    let pid = unsafe {
        let pid = libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<libc::clone_args>());
        if pid == 0 {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            loop {
                libc::pause();
            }
        }
        pid
    };
    if pid < 0 {
        return Err(Error::system("make a user namespace")(io::Error::last_os_error()));
    }
    // SAFETY: CLONE_PIDFD has stored a fresh descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let map = format!("0 {MAP_FIRST} {MAP_COUNT}");
    let folder = Path::new("/proc").join(pid.to_string());
    let made = fs::write(folder.join("uid_map"), &map)
        .and_then(|()| fs::write(folder.join("gid_map"), &map))
        .and_then(|()| fs::File::open(folder.join("ns/user")));
    let _ = rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::KILL);
    let _ = rustix::process::waitid(
        rustix::process::WaitId::PidFd(std::os::fd::AsFd::as_fd(&pidfd)),
        rustix::process::WaitIdOptions::EXITED,
    );
    made.map(OwnedFd::from).map_err(Error::system("make a user namespace with a map"))
}
