//! The partition table of a master disk: an MBR (UEFI Specification 2.10, section 5.2), which both
//! firmwares read.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes of a sector.
pub(super) const SECTOR_BYTES: u64 = 512;
/// Where the first partition begins: behind the boot loader, at the boundary every disk likes.
pub(super) const SYSTEM_BEGIN_BYTES: u64 = 1 << 20;
/// Size of the EFI system partition.
pub(super) const SYSTEM_BYTES: u64 = 16 << 20;
/// Where the root partition begins.
pub(super) const ROOT_BEGIN_BYTES: u64 = SYSTEM_BEGIN_BYTES + SYSTEM_BYTES;
/// Offset of the four entries in the first sector; before it is code.
pub(super) const TABLE_AT: usize = 440;

const ENTRIES_AT: u64 = 446;
const SIGNATURE_AT: u64 = 510;
const ACTIVE: u8 = 0x80;
const TYPE_EFI_SYSTEM: u8 = 0xef;
const TYPE_LINUX: u8 = 0x83;
/// Cylinder, head and sector of what lies beyond them; everybody reads the sector numbers.
const BEYOND: [u8; 3] = [0xfe, 0xff, 0xff];

/// Writes the table of a disk whose root partition has `root_bytes`.
pub(super) fn write(disk: &File, root_bytes: u64) -> io::Result<()> {
    let entry = |status: u8, kind: u8, begin_bytes: u64, bytes: u64| {
        let mut entry = [0u8; 16];
        entry[0] = status;
        entry[1..4].copy_from_slice(&BEYOND);
        entry[4] = kind;
        entry[5..8].copy_from_slice(&BEYOND);
        entry[8..12].copy_from_slice(&((begin_bytes / SECTOR_BYTES) as u32).to_le_bytes());
        entry[12..16].copy_from_slice(&((bytes / SECTOR_BYTES) as u32).to_le_bytes());
        entry
    };
    disk.write_all_at(&entry(0, TYPE_EFI_SYSTEM, SYSTEM_BEGIN_BYTES, SYSTEM_BYTES), ENTRIES_AT)?;
    disk.write_all_at(&entry(ACTIVE, TYPE_LINUX, ROOT_BEGIN_BYTES, root_bytes), ENTRIES_AT + 16)?;
    disk.write_all_at(&[0u8; 32], ENTRIES_AT + 32)?;
    disk.write_all_at(&[0x55, 0xaa], SIGNATURE_AT)
}
