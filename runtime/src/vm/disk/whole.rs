//! Whether a disk file is all there: how far what it says of itself reaches. A download that was broken
//! off, or a copy to a disk that was full, boots as far as it goes and then fails for reasons of which
//! none says why.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::partition::SECTOR_BYTES;

/// Of partition tables, an entry of which nobody knows the size (UEFI Specification 2.10, table 5.4).
const UNKNOWN_SECTORS: u32 = u32::MAX;
/// qcow2, incompatible features: clusters are in another file; second-level entries have 16 bytes.
const EXTERNAL_DATA: u64 = 1 << 2;
const EXTENDED_ENTRIES: u64 = 1 << 4;

/// Where in a raw disk its partition tables say that it ends, at least; 0 where it has none.
///
/// # Errors
/// What the system said.
pub(super) fn raw_reaches(disk: &File) -> io::Result<u64> {
    let mut head = [0; 1024];
    let read = disk.read_at(&mut head, 0)?;
    if read < 512 || head[510..512] != [0x55, 0xaa] {
        return Ok(0);
    }
    let entries: Vec<&[u8]> = head[446..510].chunks(16).collect();
    // A boot sector without a table has code there.
    if entries.iter().any(|entry| !matches!(entry[0], 0 | 0x80)) {
        return Ok(0);
    }
    let number = |entry: &[u8], at: usize| {
        u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]])
    };
    let ends = entries
        .iter()
        .filter(|entry| entry[4] != 0 && number(entry, 12) != UNKNOWN_SECTORS)
        .map(|entry| u64::from(number(entry, 8)) + u64::from(number(entry, 12)));
    let mut sectors = ends.max().unwrap_or(0);
    // A GUID partition table has a copy of itself in the last sector.
    if read == 1024 && &head[512..520] == b"EFI PART" {
        sectors = sectors.max(eight(&head[512 + 32..], u64::from_le_bytes).saturating_add(1));
    }
    Ok(sectors.saturating_mul(SECTOR_BYTES))
}

/// Where in a qcow2 file the last cluster begins that its tables refer to (docs/interop/qcow2.txt). The
/// last one may be shorter than others.
///
/// # Errors
/// What the system said, or tables that are beyond its end themselves.
pub(super) fn qcow2_reaches(file: &File) -> io::Result<u64> {
    let mut head = [0; 112];
    file.read_exact_at(&mut head[..72], 0)?;
    let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let version = word(4);
    let cluster_bits = word(20);
    if !(9..=21).contains(&cluster_bits) {
        return Err(io::Error::other(format!("clusters of 2^{cluster_bits} bytes")));
    }
    let first_level_entries = word(36);
    let first_level_at = eight(&head[40..], u64::from_be_bytes);
    let mut features = 0;
    if version >= 3 {
        file.read_exact_at(&mut head, 0)?;
        features = eight(&head[72..], u64::from_be_bytes);
    }
    let cluster_bytes = 1u64 << cluster_bits;
    let entry_bytes = if features & EXTENDED_ENTRIES == 0 { 8 } else { 16 };
    let mut last = first_level_at;
    let mut second_level = vec![0; cluster_bytes as usize];
    for number in 0..u64::from(first_level_entries) {
        let mut entry = [0; 8];
        file.read_exact_at(&mut entry, first_level_at + number * 8)?;
        let table_at = offset(u64::from_be_bytes(entry));
        if table_at == 0 {
            continue;
        }
        file.read_exact_at(&mut second_level, table_at)?;
        last = last.max(table_at);
        if features & EXTERNAL_DATA != 0 {
            continue;
        }
        for entry in second_level.chunks_exact(entry_bytes) {
            let entry = eight(entry, u64::from_be_bytes);
            // Compressed clusters have offset and length in one word, which no cluster is aligned by.
            let at = if entry & 1 << 62 == 0 {
                offset(entry)
            } else {
                entry & ((1 << (62 - (cluster_bits - 8))) - 1)
            };
            last = last.max(at);
        }
    }
    Ok(last)
}

/// Bits 9 to 55 of an entry of either table.
fn offset(entry: u64) -> u64 {
    entry & 0x00ff_ffff_ffff_fe00
}

fn eight(bytes: &[u8], order: fn([u8; 8]) -> u64) -> u64 {
    bytes.first_chunk().copied().map_or(0, order)
}

#[cfg(test)]
mod tests {
    use super::super::partition::{self, ROOT_BEGIN_BYTES};
    use super::super::tool::{QEMU_IMG, word};
    use super::*;

    #[test]
    fn a_raw_disk_reaches_as_far_as_its_tables_say() {
        let disk = tempfile::tempfile().expect("file");
        disk.set_len(ROOT_BEGIN_BYTES + (4 << 20)).expect("sized");
        assert_eq!(raw_reaches(&disk).expect("read"), 0);
        partition::write(&disk, 4 << 20).expect("written");
        assert_eq!(raw_reaches(&disk).expect("read"), ROOT_BEGIN_BYTES + (4 << 20));
        // A GUID partition table whose copy is in sector 99,999.
        disk.write_all_at(b"EFI PART", 512).expect("written");
        disk.write_all_at(&99_999u64.to_le_bytes(), 512 + 32).expect("written");
        assert_eq!(raw_reaches(&disk).expect("read"), 100_000 * 512);
        // A boot sector without a table.
        disk.write_all_at(&[0xeb; 64], 446).expect("written");
        assert_eq!(raw_reaches(&disk).expect("read"), 0);
    }

    #[test]
    fn a_qcow2_file_reaches_to_its_last_cluster() {
        if QEMU_IMG.find().is_none() {
            eprintln!("skipped: no qemu-img on this host");
            return;
        }
        let folder = tempfile::tempdir().expect("folder");
        let (raw, disk) = (folder.path().join("raw"), folder.path().join("disk"));
        let file = File::create(&raw).expect("made");
        file.set_len(700 << 20).expect("sized");
        for at in [0, 5 << 20, 699 << 20] {
            file.write_all_at(&[9; 200_000], at).expect("written");
        }
        for words in [&["-o", "compat=0.10"][..], &["-o", "compat=1.1"], &["-o", "extended_l2=on"], &["-c"]] {
            let mut all = vec!["convert", "-f", "raw", "-O", "qcow2"];
            all.extend(words);
            let (from, to) = (word(&raw), word(&disk));
            all.extend([from.as_str(), to.as_str()]);
            QEMU_IMG.run("convert", &all).expect("converted");
            let file = File::options().read(true).write(true).open(&disk).expect("opened");
            let length = file.metadata().expect("there").len();
            let reaches = qcow2_reaches(&file).expect("read");
            assert!(reaches < length && reaches > length / 8, "{words:?}: {reaches} of {length}");
            file.set_len(reaches).expect("cut");
            assert_eq!(qcow2_reaches(&file).ok().filter(|at| *at < reaches), None, "{words:?}");
        }
    }
}
