//! A master disk from an image: partitions, root file system, boot loader, guest program.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::filesystem::{Addition, FileSystem, needed_bytes, uuid};
use super::loader::{self, Entry};
use super::partition::{self, ROOT_BEGIN_BYTES};
use super::tool::{QEMU_IMG, word};
use crate::Error;

/// What changes the disk though image and guest program are the same.
pub(super) const RECIPE: &str = "3";
/// Room a running system gets beside the image's own files.
const SPARE_BYTES: u64 = 1 << 30;
/// Where the guest program is inside, and the name systemd calls it by.
const GUEST_FOLDER: &str = "/usr/lib/bench";
const GENERATORS: &str = "/usr/lib/systemd/system-generators";
const GENERATOR: &str = "/usr/lib/systemd/system-generators/bench-generator";
/// Where an initramfs and init mount what the kernel shows: the former makes none of them, and images made
/// without nodes of devices may have no /dev (mmdebstrap(1), `--skip=output/dev`).
const MOUNT_POINTS: [&str; 4] = ["/dev", "/proc", "/run", "/sys"];
/// What the loader tells the kernel: the root writable, since an image has no table of file systems;
/// words on the serial console for those who look for a reason; the end of a broken machine at once.
pub(in crate::vm) const COMMAND_LINE: &str = "rw quiet console=ttyS0 panic=-1";

/// Writes the disk to `target`, qcow2, with `scratch` for what is between.
///
/// # Errors
/// An image that is no operating system, a tool that fails, a full disk.
pub(super) fn build(rootfs: &Path, digest_hex: &str, scratch: &Path, target: &Path) -> Result<(), Error> {
    let (kernel, initrd) = kernel_of(rootfs)?;
    let raw = scratch.join("disk");
    let uuid = uuid(digest_hex);
    let root_bytes = fill(rootfs, &uuid, scratch, &raw, Vec::new())?;
    let refused = || Error::system(format!("write {}", raw.display()));
    let disk = File::options().read(true).write(true).open(&raw).map_err(refused())?;
    let entry = Entry { uuid: &uuid, kernel: &kernel, initrd: &initrd, command_line: COMMAND_LINE };
    loader::install(&disk, &raw, &entry, scratch)?;
    partition::write(&disk, root_bytes).map_err(refused())?;
    drop(disk);
    let (raw, target) = (word(&raw), word(target));
    QEMU_IMG.run("convert the disk", &["convert", "-f", "raw", "-O", "qcow2", &raw, &target]).map(drop)
}

/// Makes a disk at `raw` with the files of `rootfs`, the guest program and `further` ones in its root
/// file system, and nothing yet in front of it. Returns the size of the root.
///
/// # Errors
/// As [`build`].
pub(super) fn fill(
    rootfs: &Path,
    uuid: &str,
    scratch: &Path,
    raw: &Path,
    further: Vec<Addition<'_>>,
) -> Result<u64, Error> {
    check_init(rootfs)?;
    let root_bytes = (needed_bytes(rootfs)? + SPARE_BYTES).next_multiple_of(1 << 20);
    let refused = || Error::system(format!("write {}", raw.display()));
    let disk = File::options().read(true).write(true).create_new(true).open(raw).map_err(refused())?;
    disk.set_len(ROOT_BEGIN_BYTES + root_bytes).map_err(refused())?;
    let root =
        FileSystem { file: raw, begin_bytes: ROOT_BEGIN_BYTES, bytes: root_bytes, uuid, has_journal: true };
    root.fill(rootfs)?;
    install_guest(&root, rootfs, scratch, further)?;
    Ok(root_bytes)
}

/// The guest program, and its name among systemd's generators, by which it takes part in the boot.
fn install_guest(
    root: &FileSystem<'_>,
    rootfs: &Path,
    scratch: &Path,
    further: Vec<Addition<'_>>,
) -> Result<(), Error> {
    let mut additions = Vec::new();
    let guest = scratch.join("guest");
    let empty = scratch.join("machine-id");
    let refused = |path: &Path| Error::system(format!("write {}", path.display()));
    std::fs::write(&guest, crate::guest_program_bytes()).map_err(refused(&guest))?;
    std::fs::set_permissions(&guest, std::fs::Permissions::from_mode(0o755)).map_err(refused(&guest))?;
    std::fs::write(&empty, b"").map_err(refused(&empty))?;
    let folders = MOUNT_POINTS.into_iter().chain([GUEST_FOLDER, GENERATORS]);
    let missing = folders.filter(|path| !rootfs.join(path.trim_start_matches('/')).is_dir());
    additions.extend(missing.map(|path| Addition::Folder { path }));
    additions.push(Addition::File { folder: GUEST_FOLDER, name: "guest", source: &guest, replaces: false });
    additions.push(Addition::Link { path: GENERATOR, target: "../../bench/guest" });
    // Clones that were born with an identity would all have the same. An empty file and not none:
    // without one systemd takes the boot for the first ever and presets every unit (machine-id(5)).
    let replaces = rootfs.join("etc/machine-id").symlink_metadata().is_ok();
    additions.push(Addition::File { folder: "/etc", name: "machine-id", source: &empty, replaces });
    additions.extend(further);
    root.add(&additions, scratch)
}

/// The newest kernel with an initramfs in the image's /boot, as paths inside.
fn kernel_of(rootfs: &Path) -> Result<(String, String), Error> {
    let boot = rootfs.join("boot");
    let mut versions: Vec<String> = std::fs::read_dir(&boot)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_prefix("vmlinuz-")?.to_owned()))
        .collect();
    versions.sort();
    let newest = versions.pop().ok_or_else(|| Error::Missing {
        what: "the image has no kernel (/boot/vmlinuz-…), which a machine that boots from a disk needs"
            .into(),
        fix: Some("put linux-image-cloud-amd64 and systemd-sysv among the image's packages".into()),
    })?;
    // Debian's name, and dracut's.
    let names = [format!("initrd.img-{newest}"), format!("initramfs-{newest}.img")];
    let initrd = names.into_iter().find(|name| boot.join(name).is_file()).ok_or_else(|| Error::Missing {
        what: format!("the image has no initramfs for its kernel {newest} in /boot"),
        fix: Some("put initramfs-tools among the image's packages".into()),
    })?;
    Ok((format!("/boot/vmlinuz-{newest}"), format!("/boot/{initrd}")))
}

fn check_init(rootfs: &Path) -> Result<(), Error> {
    let has = |path: &str| inside(rootfs, path).is_file();
    if has("usr/lib/systemd/systemd")
        && ["sbin/init", "usr/sbin/init"].iter().any(|path| is_there(rootfs, path))
    {
        return Ok(());
    }
    Err(Error::Missing {
        what: "the image has no init that the guest program knows (systemd as /sbin/init)".into(),
        fix: Some("put systemd-sysv among the image's packages".into()),
    })
}

fn inside(rootfs: &Path, path: &str) -> PathBuf {
    rootfs.join(path)
}

/// A link counts, wherever it leads: its target is a path of the image's, not of this host's.
fn is_there(rootfs: &Path, path: &str) -> bool {
    rootfs.join(path).symlink_metadata().is_ok()
}
