//! One installed system that is carried to other machines: versions of its disk, in any format.
//!
//! Versions differ in what vendors of disk images make versions of: the kernel (drivers of clouds, or
//! of all hardware), its initramfs (drivers of the machine it was installed on, or all), the firmware
//! whose boot loader is there. The root file system is the same, byte for byte.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::build::{self, COMMAND_LINE};
use super::cache::{self, Scratch, lock};
use super::drivers;
use super::filesystem::Addition;
use super::format::DiskFormat;
use super::loader::{self, Entry};
use super::partition::{self, ROOT_BEGIN_BYTES};
use super::tool::{QEMU_IMG, word};
use crate::Error;
use crate::lock::Lock;
use crate::vm::options::Outside;

/// Drivers a disk installed on `kvm-virtio` needs before its root is there.
const KEPT: [&str; 2] = ["virtio_pci", "virtio_blk"];
/// How the folders of installed systems are called, in the cache's folder of disks.
const PREFIX: &str = "installed-";
const PIECE_BYTES: usize = 1 << 20;
/// A file's blocks are counted in these (stat(2)).
const BLOCK_BYTES: u64 = 512;

/// A version of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    /// Whether its kernel is the one with the most drivers, else the one with the fewest.
    pub all_drivers: bool,
    /// Its initramfs.
    pub initramfs: Initramfs,
    /// Its boot loaders.
    pub loaders: Loaders,
}

/// What of a kernel's drivers is there before the root file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Initramfs {
    /// Those of the machine it was installed on.
    HostOnly,
    /// All it has.
    General,
}

/// Firmwares a disk has a boot loader for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Loaders {
    /// BIOS.
    Bios,
    /// Both.
    Both,
}

impl Version {
    /// As it is installed on a KVM host with BIOS.
    pub const INSTALLED: Version =
        Version { all_drivers: false, initramfs: Initramfs::HostOnly, loaders: Loaders::Bios };
    /// With all there is.
    pub const GENERAL: Version =
        Version { all_drivers: true, initramfs: Initramfs::General, loaders: Loaders::Both };
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kernel = if self.all_drivers { "all-drivers" } else { "few-drivers" };
        let initramfs = match self.initramfs {
            Initramfs::HostOnly => "host-only",
            Initramfs::General => "general",
        };
        let loaders = match self.loaders {
            Loaders::Bios => "bios",
            Loaders::Both => "bios+uefi",
        };
        write!(f, "{kernel}_{initramfs}_{loaders}")
    }
}

/// A disk file made of the installed system.
#[derive(Clone, Debug)]
pub struct Converted {
    /// Where it is, until the system goes away.
    pub path: PathBuf,
    /// Bytes it occupies on the host.
    pub bytes: u64,
    /// How long the conversion took.
    pub took: Duration,
}

/// The way of a disk through formats and back to raw bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Bytes of the disk before and after.
    pub bytes: (u64, u64),
    /// Where the first byte differs that both have.
    pub differs_at: Option<u64>,
    /// Whether all that the second has more is zero.
    pub rest_is_zero: bool,
    /// Bytes written on the way.
    pub written_bytes: u64,
    /// How long the conversions took.
    pub took: Duration,
}

/// A system installed on one disk, in a folder of its own that goes away with it.
pub struct Installed {
    raw: PathBuf,
    rootfs: PathBuf,
    uuid: String,
    few: String,
    all: String,
    /// What the disk's head is of.
    current: Option<Version>,
    made: BTreeMap<(Version, DiskFormat), Converted>,
    folder: Scratch,
    lock_path: PathBuf,
    _lock: Lock,
}

impl Installed {
    /// Installs the files of `rootfs` in a folder below `cache_dir`; `name` is unique on this host.
    /// What killed runs have left there is removed.
    ///
    /// # Errors
    /// A system without kernel or init, a missing tool, a full disk.
    pub fn new(rootfs: &Path, name: &str, cache_dir: &Path) -> Result<Installed, Error> {
        let folder = cache::folder(cache_dir)?;
        sweep(&folder);
        let lock_path = folder.join(format!("{PREFIX}{name}.lock"));
        let held = lock(&lock_path)?;
        let scratch = Scratch::new(lock_path.with_extension("making"))?;
        let (few, all) = kernels(rootfs)?;
        let raw = scratch.0.join("disk");
        let uuid = super::filesystem::uuid(&format!("{:x}", {
            use sha2::Digest;
            sha2::Sha256::digest(name)
        }));
        let additions = host_only_files(rootfs, &[&few, &all], &scratch.0)?;
        let additions: Vec<Addition<'_>> = additions
            .iter()
            .map(|(name, source)| Addition::File { folder: "/boot", name, source, replaces: false })
            .collect();
        build::fill(rootfs, &uuid, &scratch.0, &raw, additions)?;
        Ok(Installed {
            raw,
            rootfs: rootfs.to_owned(),
            uuid,
            few,
            all,
            current: None,
            made: BTreeMap::new(),
            folder: scratch,
            lock_path,
            _lock: held,
        })
    }

    /// Whether it has a kernel with more drivers than another.
    pub fn has_two_kernels(&self) -> bool {
        self.few != self.all
    }

    /// Release of the kernel of a version.
    pub fn kernel(&self, version: Version) -> &str {
        if version.all_drivers { &self.all } else { &self.few }
    }

    /// The disk of `version` as a file of `format`, made where it is not there yet.
    ///
    /// # Errors
    /// A tool that fails, a full disk.
    pub fn disk(&mut self, version: Version, format: DiskFormat) -> Result<Converted, Error> {
        if let Some(made) = self.made.get(&(version, format)) {
            return Ok(made.clone());
        }
        if self.current != Some(version) {
            self.write_head(version)?;
            self.current = Some(version);
        }
        let path = self.folder.0.join(format!("{version}.{}", format.name()));
        let converted = convert(&self.raw, DiskFormat::Raw, &path, format)?;
        self.made.insert((version, format), converted.clone());
        Ok(converted)
    }

    /// Kernel and initramfs of a version, as they are handed to machines without a firmware.
    pub fn outside(&self, version: Version) -> Outside {
        let kernel = self.kernel(version);
        let boot = self.rootfs.join("boot");
        Outside {
            kernel: boot.join(format!("vmlinuz-{kernel}")),
            initramfs: match version.initramfs {
                Initramfs::General => {
                    initramfs_of(&self.rootfs, kernel).unwrap_or_else(|| boot.join("initrd.img"))
                }
                Initramfs::HostOnly => self.folder.0.join(host_only_name(kernel)),
            },
            root_uuid: self.uuid.clone(),
        }
    }

    /// Carries the disk through `formats` and back to raw bytes, and compares.
    ///
    /// # Errors
    /// A tool that fails, a full disk.
    pub fn chain(&mut self, formats: &[DiskFormat]) -> Result<Chain, Error> {
        if self.current.is_none() {
            self.write_head(Version::INSTALLED)?;
            self.current = Some(Version::INSTALLED);
        }
        chain(&self.raw, formats, &self.folder.0)
    }

    /// Everything in front of the root file system: loaders and partition table.
    fn write_head(&self, version: Version) -> Result<(), Error> {
        let refused = || Error::system(format!("write {}", self.raw.display()));
        let disk = File::options().read(true).write(true).open(&self.raw).map_err(refused())?;
        let zeros = vec![0; PIECE_BYTES];
        for at in (0..ROOT_BEGIN_BYTES).step_by(PIECE_BYTES) {
            disk.write_all_at(&zeros, at).map_err(refused())?;
        }
        let kernel = self.kernel(version);
        let initrd = match version.initramfs {
            Initramfs::HostOnly => format!("/boot/{}", host_only_name(kernel)),
            Initramfs::General => initramfs_of(&self.rootfs, kernel)
                .and_then(|path| Some(format!("/boot/{}", path.file_name()?.to_str()?)))
                .unwrap_or_default(),
        };
        let kernel = format!("/boot/vmlinuz-{kernel}");
        let entry = Entry { uuid: &self.uuid, kernel: &kernel, initrd: &initrd, command_line: COMMAND_LINE };
        let with_uefi = version.loaders == Loaders::Both;
        loader::install_for(&disk, &self.raw, &entry, &self.folder.0, with_uefi)?;
        let root_bytes = disk.metadata().map_err(refused())?.len() - ROOT_BEGIN_BYTES;
        partition::write(&disk, root_bytes).map_err(refused())
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.lock_path);
    }
}

/// Removes what killed runs have left in the folder of disks: what nobody holds the lock of.
fn sweep(folder: &Path) {
    for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !name.starts_with(PREFIX) || path.extension().is_none_or(|extension| extension != "lock") {
            continue;
        }
        let Ok(file) = File::open(&path) else { continue };
        if Lock::of(file).try_take().is_ok_and(|is_nobodys| is_nobodys) {
            let _ = std::fs::remove_dir_all(path.with_extension("making"));
            let _ = std::fs::remove_file(&path);
        }
    }
}

fn convert(from: &Path, is: DiskFormat, to: &Path, becomes: DiskFormat) -> Result<Converted, Error> {
    let began = Instant::now();
    let words = ["convert", "-f", is.name(), "-O", becomes.name(), &word(from), &word(to)];
    QEMU_IMG.run(&format!("convert the disk to {}", becomes.name()), &words)?;
    let took = began.elapsed();
    let found = std::fs::metadata(to).map_err(Error::system(format!("look at {}", to.display())))?;
    Ok(Converted { path: to.to_owned(), bytes: found.blocks() * BLOCK_BYTES, took })
}

fn chain(raw: &Path, formats: &[DiskFormat], folder: &Path) -> Result<Chain, Error> {
    let (mut written_bytes, mut took) = (0, Duration::ZERO);
    let (mut from, mut is) = (raw.to_owned(), DiskFormat::Raw);
    for (number, format) in formats.iter().chain([&DiskFormat::Raw]).enumerate() {
        let to = folder.join(format!("chain-{number}.{}", format.name()));
        let converted = convert(&from, is, &to, *format)?;
        written_bytes += converted.bytes;
        took += converted.took;
        if from != raw {
            let _ = std::fs::remove_file(&from);
        }
        (from, is) = (to, *format);
    }
    let compared = compare(raw, &from);
    let _ = std::fs::remove_file(&from);
    let (bytes, differs_at, rest_is_zero) =
        compared.map_err(Error::system("compare a disk with what became of it"))?;
    Ok(Chain { bytes, differs_at, rest_is_zero, written_bytes, took })
}

/// Lengths, the first difference, and whether what the second has more is nothing but zeros.
fn compare(one: &Path, other: &Path) -> std::io::Result<((u64, u64), Option<u64>, bool)> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    let bytes = (one.metadata()?.len(), other.metadata()?.len());
    let (mut left, mut right) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
    let mut at = 0;
    while at < bytes.0.min(bytes.1) {
        let length = PIECE_BYTES.min((bytes.0.min(bytes.1) - at) as usize);
        one.read_exact(&mut left[..length])?;
        other.read_exact(&mut right[..length])?;
        if left[..length] != right[..length] {
            let within = left.iter().zip(&right).position(|(a, b)| a != b).unwrap_or(0);
            return Ok((bytes, Some(at + within as u64), false));
        }
        at += length as u64;
    }
    let mut rest = Vec::new();
    other.read_to_end(&mut rest)?;
    Ok((bytes, None, rest.iter().all(|byte| *byte == 0)))
}

/// The releases of the kernels with the fewest and with the most drivers.
fn kernels(rootfs: &Path) -> Result<(String, String), Error> {
    let boot = rootfs.join("boot");
    let mut found: Vec<(usize, String)> = std::fs::read_dir(&boot)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_prefix("vmlinuz-")?.to_owned()))
        .filter(|release| initramfs_of(rootfs, release).is_some())
        .map(|release| (count(&rootfs.join("lib/modules").join(&release).join("kernel/drivers")), release))
        .collect();
    found.sort();
    match (found.first(), found.last()) {
        (Some((_, few)), Some((_, all))) => Ok((few.clone(), all.clone())),
        _ => Err(Error::Missing {
            what: format!("{} has no kernel with an initramfs in /boot", rootfs.display()),
            fix: Some("put a kernel, initramfs-tools and systemd-sysv among the system's packages".into()),
        }),
    }
}

/// Files below a folder.
fn count(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 }).sum()
}

/// Debian's name, or dracut's.
fn initramfs_of(rootfs: &Path, release: &str) -> Option<PathBuf> {
    let names = [format!("initrd.img-{release}"), format!("initramfs-{release}.img")];
    names.into_iter().map(|name| rootfs.join("boot").join(name)).find(|path| path.is_file())
}

fn host_only_name(release: &str) -> String {
    format!("initrd-host-only-{release}")
}

/// The initramfs with few drivers of each kernel, in `scratch`.
fn host_only_files(
    rootfs: &Path,
    releases: &[&str],
    scratch: &Path,
) -> Result<BTreeMap<String, PathBuf>, Error> {
    let mut files = BTreeMap::new();
    for release in releases {
        let path = initramfs_of(rootfs, release).unwrap_or_default();
        let bytes = std::fs::read(&path).map_err(Error::system(format!("read {}", path.display())))?;
        let name = host_only_name(release);
        let target = scratch.join(&name);
        std::fs::write(&target, drivers::host_only(&bytes, &KEPT)?)
            .map_err(Error::system(format!("write {}", target.display())))?;
        files.insert(name, target);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::super::master::size_in_machine;
    use super::*;
    use crate::vm::disk::tests::have_tools;

    #[test]
    fn a_disk_comes_back_from_every_format_and_what_changed_is_named() {
        if !have_tools() {
            return;
        }
        let folder = tempfile::tempdir().expect("folder");
        let raw = folder.path().join("raw");
        // Not a multiple of a cylinder, which VHD counts in.
        let content: Vec<u8> = (0..3_000_000u32).flat_map(|number| (number / 5).to_le_bytes()).collect();
        std::fs::write(&raw, &content[..(11 << 20) + 512]).expect("written");
        for format in DiskFormat::ALL {
            let found = chain(&raw, &[format], folder.path()).expect("carried");
            assert_eq!(found.differs_at, None, "{format:?}");
            assert!(found.rest_is_zero && found.bytes.1 >= found.bytes.0, "{format:?}: {found:?}");
            assert_eq!(found.bytes.1 > found.bytes.0, format == DiskFormat::Vpc, "{format:?}: {found:?}");
            let path = folder.path().join("one");
            let made = convert(&raw, DiskFormat::Raw, &path, format).expect("made");
            let head = std::fs::read(&path).expect("read");
            assert_eq!(DiskFormat::of_head(&head[..512]), format);
            assert_eq!(size_in_machine(&made.path, format).expect("size"), found.bytes.1, "{format:?}");
        }
        let other = folder.path().join("other");
        let mut changed = content[..(11 << 20) + 512].to_vec();
        changed[5_000_000] ^= 1;
        std::fs::write(&other, changed).expect("written");
        let (_, differs_at, _) = compare(&raw, &other).expect("compared");
        assert_eq!(differs_at, Some(5_000_000));
    }

    #[test]
    fn what_a_killed_run_left_goes_and_what_is_held_stays() {
        let folder = tempfile::tempdir().expect("folder");
        let paths = ["left", "held"].map(|name| folder.path().join(format!("{PREFIX}{name}.lock")));
        for path in &paths {
            std::fs::write(path, "").expect("written");
            std::fs::create_dir(path.with_extension("making")).expect("made");
        }
        let held = lock(&paths[1]).expect("locked");
        sweep(folder.path());
        assert!(!paths[0].exists() && !paths[0].with_extension("making").exists());
        assert!(paths[1].exists() && paths[1].with_extension("making").exists());
        drop(held);
    }
}
