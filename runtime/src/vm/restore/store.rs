//! Templates in the cache: `templates/<key>/` with `memory`, `state` and `manifest.json`.
//!
//! The key is the SHA-256 of everything that went in; a template of another key is never looked at.
//! What is found is read once, into sealed memory, and hashed on the way: what was verified is what
//! is used. One that does not match is refused, removed and made again. One program at a time
//! reads or writes here, so that two runs make a template once. Those not used for long go
//! ([`BOUNDS`]); removing the whole folder is always safe.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::boot_files::BootFiles;
use super::super::file;
use super::super::hypervisor::Hypervisor;
use super::super::kept::{self, Bounds, Kept};
use super::template::{self, Given, Saved, Shape, Template};
use crate::Error;
use crate::lock::Lock;

/// Folder of all templates below the cache.
pub(super) const FOLDER: &str = "templates";
/// File in each that says what it is of.
const MANIFEST: &str = "manifest.json";
/// Templates that are kept.
const BOUNDS: Bounds = Bounds { count: 8, bytes: 2 << 30 };
/// Version of the layout and of how machines are saved.
const VERSION: u32 = 2;
/// Pages without content are left out.
const PAGE_BYTES: usize = 4096;
const CHUNK_BYTES: usize = 1 << 20;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Manifest {
    version: u32,
    key: String,
    memory_bytes: u64,
    memory_sha256: String,
    state_sha256: String,
}

/// The template of `shape`: from the cache where it is there and whole, else made and kept.
///
/// # Errors
/// Where it can neither be read nor made. Where it cannot be kept the template says so.
pub(super) fn get(
    folder: &Path,
    hypervisor: &Hypervisor,
    files: &BootFiles,
    shape: &Shape,
) -> Result<Template, Error> {
    let key = key(hypervisor, files, shape)?;
    get_or_make(folder, &key, shape.memory_bytes, || {
        template::make(hypervisor, files, shape, template::BOOT_TIMEOUT)
    })
}

/// That under `key`, or what `make` makes.
///
/// # Errors
/// What `make` says: nothing is kept then.
pub(super) fn get_or_make(
    folder: &Path,
    key: &str,
    memory_bytes: u64,
    make: impl FnOnce() -> Result<Saved, Error>,
) -> Result<Template, Error> {
    let _lock = lock(folder)?;
    let path = folder.join(key);
    let origin = match load(&path, key, memory_bytes) {
        Ok(Some((saved, state_bytes))) => {
            kept::use_again(&path.join(MANIFEST));
            return Ok(Template {
                key: key.into(),
                origin: "from the cache, verified".into(),
                memory: saved.memory,
                state: saved.state,
                state_bytes,
            });
        }
        Ok(None) => "made for this run".to_owned(),
        Err(why) => {
            fs::remove_dir_all(&path)
                .map_err(Error::system(format!("remove the refused template {}", path.display())))?;
            format!("made for this run: the one in the cache was refused, {why}")
        }
    };
    let saved = make()?;
    let state_bytes = size(&saved.state).map_err(Error::system("look at the template's state"))?;
    let kept = keep(&path, key, memory_bytes, &saved).map(|()| prune(folder, &path));
    let origin = match kept {
        Ok(()) => origin,
        Err(error) => format!("{origin}; it could not be kept: {error}"),
    };
    Ok(Template { key: key.into(), origin, memory: saved.memory, state: saved.state, state_bytes })
}

/// SHA-256 over everything that went in: a copy is only restored where all of it is the same.
fn key(hypervisor: &Hypervisor, files: &BootFiles, shape: &Shape) -> Result<String, Error> {
    let program = fs::read(&hypervisor.program)
        .map_err(Error::system(format!("read {}", hypervisor.program.display())))?;
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    // What QEMU can offer a guest depends on these, under both accelerators.
    let processor: Vec<&str> =
        ["vendor_id", "cpu family", "model\t", "model name", "stepping", "microcode", "flags"]
            .iter()
            .filter_map(|name| cpuinfo.lines().find(|line| line.starts_with(name)))
            .collect();
    let inputs = serde_json::json!({
        "layout": VERSION,
        "guest": format!("{:x}", Sha256::digest(crate::guest_program_bytes())),
        "qemu": hypervisor.version,
        "qemu_sha256": format!("{:x}", Sha256::digest(&program)),
        "host_kernel": fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default(),
        "processor": processor,
        "kernel": files.kernel.digest,
        "initramfs": files.initramfs_digest(shape.is_networked)?,
        "plan": shape.plan,
        "memory_bytes": shape.memory_bytes,
        // Machine, accelerator, processor model, devices.
        "copy": shape.copy_arguments(hypervisor, "", Given { memory: "", identity: "", root_disk: None, network: None }),
        "root_disk": files.root.as_ref().map(|disk| &disk.key),
        "command_line": super::super::command_line::of_guest(hypervisor.accel(), None, ""),
    });
    Ok(format!("{:x}", Sha256::digest(inputs.to_string())))
}

fn lock(folder: &Path) -> Result<Lock, Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(Error::system(format!("make the folder {}", folder.display())))?;
    let path = folder.join("lock");
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&path);
    let lock = Lock::of(opened.map_err(Error::system(format!("open {}", path.display())))?);
    lock.take().map_err(Error::system(format!("lock {}", path.display())))?;
    Ok(lock)
}

/// What the cache has under `key`; `None` where it has nothing. The inner error says why it is refused.
fn load(path: &Path, key: &str, memory_bytes: u64) -> Result<Option<(Saved, u64)>, String> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    let is_ours = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
    if !is_ours || found.mode() & 0o022 != 0 {
        return Err("others can write to it".into());
    }
    let read = |name: &str| {
        let path = path.join(name);
        OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(|error| format!("{name} cannot be opened: {error}"))
    };
    let manifest: Manifest = serde_json::from_reader(read(MANIFEST)?.take(1 << 20))
        .map_err(|error| format!("its manifest is not understood: {error}"))?;
    if manifest.version != VERSION || manifest.key != key || manifest.memory_bytes != memory_bytes {
        return Err("it is the template of another configuration".into());
    }
    let verified = |name: &str, limit_bytes: u64, expected: &str| {
        let (fd, bytes, digest) = into_memory(read(name)?, name, limit_bytes)
            .map_err(|error| format!("{name} cannot be read: {error}"))?;
        if digest != expected {
            return Err(format!("its {name} is not what was saved (SHA-256 {digest}, expected {expected})"));
        }
        Ok((fd, bytes))
    };
    let (memory, read_bytes) = verified("memory", memory_bytes, &manifest.memory_sha256)?;
    if read_bytes != memory_bytes {
        return Err(format!("its memory has {read_bytes} bytes, expected {memory_bytes}"));
    }
    let (state, state_bytes) = verified("state", BOUNDS.bytes, &manifest.state_sha256)?;
    Ok(Some((Saved { memory, state }, state_bytes)))
}

/// A sealed copy, its length, and the digest of what was copied.
fn into_memory(mut from: File, name: &str, limit_bytes: u64) -> io::Result<(OwnedFd, u64, String)> {
    let mut to = file::memory(name)?;
    let (bytes, digest) = copy(&mut from, &mut to, limit_bytes)?;
    Ok((file::seal(to)?, bytes, digest))
}

/// Copies what has content and leaves holes for the rest; length and SHA-256 of the whole.
fn copy(from: &mut impl Read, to: &mut File, limit_bytes: u64) -> io::Result<(u64, String)> {
    let mut digest = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut at = 0u64;
    loop {
        let mut filled = 0;
        while filled < chunk.len() {
            match from.read(&mut chunk[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        if filled == 0 {
            break;
        }
        if at + filled as u64 > limit_bytes {
            return Err(io::Error::other(format!("more than {limit_bytes} bytes")));
        }
        digest.update(&chunk[..filled]);
        for (number, page) in chunk[..filled].chunks(PAGE_BYTES).enumerate() {
            if page != &[0; PAGE_BYTES][..page.len()] {
                to.seek(SeekFrom::Start(at + (number * PAGE_BYTES) as u64))?;
                to.write_all(page)?;
            }
        }
        at += filled as u64;
    }
    to.set_len(at)?;
    Ok((at, format!("{:x}", digest.finalize())))
}

/// Writes the template beside its place and moves it there whole.
fn keep(path: &Path, key: &str, memory_bytes: u64, saved: &Saved) -> Result<(), Error> {
    let beside = path.with_extension("new");
    let written = || -> io::Result<()> {
        match fs::remove_dir_all(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::DirBuilder::new().mode(0o700).create(&beside)?;
        let write = |name: &str, fd: &OwnedFd| -> io::Result<String> {
            let mut to =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside.join(name))?;
            let mut from = File::open(file::path_of(fd.as_fd()))?;
            Ok(copy(&mut from, &mut to, u64::MAX)?.1)
        };
        let manifest = Manifest {
            version: VERSION,
            key: key.into(),
            memory_bytes,
            memory_sha256: write("memory", &saved.memory)?,
            state_sha256: write("state", &saved.state)?,
        };
        fs::write(beside.join(MANIFEST), serde_json::to_vec_pretty(&manifest)?)?;
        fs::rename(&beside, path)
    };
    written()
        .inspect_err(|_| drop(fs::remove_dir_all(&beside)))
        .map_err(kept::refused(format!("keep the template {}", path.display())))
}

fn size(fd: &OwnedFd) -> io::Result<u64> {
    Ok(rustix::fs::fstat(fd)?.st_size as u64)
}

/// Removes the least recently used templates, `newest` never.
fn prune(folder: &Path, newest: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let templates = entries.filter(|path| path.is_dir()).map(|path| {
        let files = ["memory", "state"].map(|name| path.join(name));
        Kept::of(path.clone(), &path.join(MANIFEST), &files)
    });
    kept::prune(templates, newest, &BOUNDS, |path| fs::remove_dir_all(path).is_ok());
}

#[cfg(test)]
mod tests;
