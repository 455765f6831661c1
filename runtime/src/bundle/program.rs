//! The program of a container, looked at before it is needed: `create` tells what `start` would fail at.

use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use crate::Error;
use crate::container::setup::Process;

/// Where programs are looked for when the environment does not say (execvp(3)).
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";
/// Most bytes read of a container's /etc/passwd.
const PASSWD_MAX: u64 = 1 << 20;

/// Refuses a program that is not there or cannot be executed. `root` leads to the container's root.
///
/// # Errors
/// In words that engines know (Docker turns them into exit codes 127 and 126).
pub(super) fn check(process: &Process, root: &Path) -> Result<(), Error> {
    let Some(program) = process.args.first() else { return Ok(()) };
    let name = program.to_string_lossy();
    let root = open_root(root)?;
    if program.as_bytes().contains(&b'/') {
        let path = Path::new(std::ffi::OsStr::from_bytes(program.as_bytes()));
        let path = if path.is_absolute() { path.to_owned() } else { process.cwd.join(path) };
        return executable(&root, &path).map_err(|why| refused(&name, why));
    }
    let path = process.env.iter().find_map(|variable| variable.to_bytes().strip_prefix(b"PATH="));
    let mut denied = false;
    for folder in path.unwrap_or(DEFAULT_PATH).split(|byte| *byte == b':').filter(|folder| !folder.is_empty())
    {
        let path = Path::new(std::ffi::OsStr::from_bytes(folder)).join(name.as_ref());
        match executable(&root, &path) {
            Ok(()) => return Ok(()),
            Err(why) => denied |= why == "permission denied",
        }
    }
    Err(refused(&name, if denied { "permission denied" } else { "executable file not found in $PATH" }))
}

fn refused(name: &str, why: &str) -> Error {
    Error::Invalid(format!("process.args[0]: exec: {name:?}: {why}"))
}

fn executable(root: &OwnedFd, path: &Path) -> Result<(), &'static str> {
    let Ok(file) = open_inside(root, path, OFlags::PATH) else { return Err("no such file or directory") };
    let found = File::from(file).metadata().map_err(|_| "no such file or directory")?;
    // Another user's rights are the kernel's to judge, at `start`; without any right nobody may.
    if !found.is_file() || found.mode() & 0o111 == 0 {
        return Err("permission denied");
    }
    Ok(())
}

/// Sets HOME as engines expect it, where the configuration does not: the user's of /etc/passwd, else `/`.
pub(super) fn set_home(process: &mut Process, rootfs: &Path) {
    if process.env.iter().any(|variable| variable.to_bytes().starts_with(b"HOME=")) {
        return;
    }
    let home = home(process.uid, rootfs).unwrap_or_else(|| "/".into());
    if let Ok(variable) = CString::new(format!("HOME={home}")) {
        process.env.push(variable);
    }
}

fn home(uid: u32, rootfs: &Path) -> Option<String> {
    let root = open_root(rootfs).ok()?;
    let file = open_inside(&root, Path::new("/etc/passwd"), OFlags::RDONLY | OFlags::NONBLOCK).ok()?;
    let file = File::from(file);
    // A pipe or device of the image would never end.
    file.metadata().ok().filter(|found| found.is_file())?;
    let mut text = Vec::new();
    file.take(PASSWD_MAX).read_to_end(&mut text).ok()?;
    String::from_utf8_lossy(&text).lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let is_user = fields.get(2).and_then(|field| field.parse().ok()) == Some(uid);
        fields.get(5).filter(|home| is_user && home.starts_with('/')).map(|home| (*home).to_owned())
    })
}

fn open_root(path: &Path) -> Result<OwnedFd, Error> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(Error::system(format!("open {}", path.display())))
}

/// Opens a path as it is inside: no link leads out of `root` (openat2(2)).
fn open_inside(root: &OwnedFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    openat2(
        root,
        path,
        flags | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )
}
