//! The files of an image as a read-only disk, for a machine whose kernel comes from elsewhere.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::cache::{self, Scratch, lock};
use super::filesystem::{FileSystem, needed_bytes, uuid};
use crate::Error;
use crate::image::Image;
use crate::vm::options::Machine;
use crate::vm::recipe::{file_fd, network_drivers};
use crate::vm::{file, kept};

/// What changes the disk though the image is the same.
const RECIPE: &str = "root-1";
/// Images up to this size are unpacked into the machine's memory, as the initramfs they come in; what
/// is larger would take memory from the workload and time from the boot.
const SMALL_BYTES: u64 = 32 << 20;
/// Room for the file system's own tables.
const SPARE_BYTES: u64 = 16 << 20;

/// An ext4 file system, unpartitioned and without journal, with the files of an image.
#[derive(Debug)]
pub(in crate::vm) struct RootDisk {
    file: OwnedFd,
    /// Digest of everything the disk is made of.
    pub(in crate::vm) key: String,
}

impl RootDisk {
    /// That of `image` in the cache, made where it is missing; of several programs at once one
    /// makes it and the others wait. `None` for an image that fits into an initramfs.
    ///
    /// # Errors
    /// A missing tool, a full disk.
    pub(in crate::vm) fn of_large(image: &Image, cache_dir: &Path) -> Result<Option<RootDisk>, Error> {
        let Some(rootfs) = &image.rootfs else { return Ok(None) };
        let needed_bytes = needed_bytes(rootfs)?;
        if needed_bytes <= SMALL_BYTES {
            return Ok(None);
        }
        let folder = cache::folder(cache_dir)?;
        let key = format!("{:x}", Sha256::digest(format!("{RECIPE} {}", image.digest)));
        let path = folder.join(format!("{key}.ext4"));
        let _lock = lock(&folder.join(format!("{key}.lock")))?;
        let bytes = (needed_bytes * 9 / 8 + SPARE_BYTES).next_multiple_of(1 << 20);
        // One of another length was cut, by a full disk or by somebody.
        if path.metadata().map_or(0, |found| found.len()) != bytes {
            let scratch = Scratch::new(folder.join(format!("{key}.making")))?;
            let made = scratch.0.join("root");
            let refused = || kept::refused(format!("write {}", made.display()));
            let file = File::create_new(&made).map_err(refused())?;
            file.set_len(bytes).map_err(refused())?;
            let uuid = uuid(&key);
            let root = FileSystem { file: &made, begin_bytes: 0, bytes, uuid: &uuid, has_journal: false };
            root.fill(rootfs).map_err(kept::perhaps_full(&folder))?;
            file.sync_all().map_err(refused())?;
            std::fs::rename(&made, &path).map_err(kept::refused(format!("write {}", path.display())))?;
            cache::prune(&folder, &path);
        } else {
            kept::use_again(&path);
        }
        Ok(Some(RootDisk { file: file::open_for_machine(&path)?, key }))
    }

    /// The file a machine is given.
    pub(in crate::vm) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Modules a guest needs to find it and to write beside it.
    pub(in crate::vm) fn drivers(machine: Machine) -> [&'static str; 5] {
        let [transport, _] = network_drivers(machine);
        // What ext4 computes its checksums with it asks for by another name, so that no dependency names
        // it (modules.softdep); without it a mount fails with ENOENT.
        [transport, "virtio_blk", "crc32c_generic", "ext4", "overlay"]
    }

    /// QEMU's words for it as file `number` of a machine.
    pub(in crate::vm) fn arguments(number: usize, machine: Machine) -> [String; 8] {
        let set = format!("fd={},set={number}", file_fd(number));
        let file = format!("driver=file,node-name=root-file,filename=/dev/fdset/{number},read-only=on");
        let device = match machine {
            Machine::Microvm => "virtio-blk-device,drive=root",
            Machine::Pc | Machine::Q35 => "virtio-blk-pci,drive=root",
        };
        let raw = "driver=raw,node-name=root,file=root-file,read-only=on";
        ["-add-fd", &set, "-blockdev", &file, "-blockdev", raw, "-device", device].map(String::from)
    }
}
