//! The metadata of an empty qcow2 overlay (QEMU, docs/interop/qcow2.txt, version 3).
//!
//! Written here and not by qemu-img(1), because an overlay is made in every start: it is four
//! clusters, and a process more for them would be part of what is measured.

/// Bytes of a cluster, QEMU's own default.
pub(super) const CLUSTER_BYTES: u64 = 1 << CLUSTER_BITS;
const CLUSTER_BITS: u32 = 16;
const MAGIC: u32 = 0x5146_49fb;
const VERSION: u32 = 3;
const HEADER_BYTES: u32 = 104;
/// Reference counts have 2^4 bits.
const REFCOUNT_ORDER: u32 = 4;
/// Name of the header extension with the format of the backing file.
const BACKING_FORMAT: u32 = 0xe279_2aca;

/// The bytes of an overlay over a disk of `disk_bytes` that has nothing of its own yet. Its
/// backing file is named `backing` of the format `format`; QEMU may be told another.
pub(super) fn overlay(disk_bytes: u64, backing: &str, format: &str) -> Vec<u8> {
    // One entry of the second-level table a cluster, one of the first-level table a second-level table.
    let entries = CLUSTER_BYTES / 8;
    let first_level_entries = disk_bytes.div_ceil(CLUSTER_BYTES * entries);
    let first_level_clusters = (first_level_entries * 8).div_ceil(CLUSTER_BYTES).max(1);
    let clusters = 3 + first_level_clusters;
    let cluster_at = |number: u64| number * CLUSTER_BYTES;
    let mut bytes = vec![0u8; (clusters * CLUSTER_BYTES) as usize];

    let mut header = Vec::new();
    let backing_at = u64::from(HEADER_BYTES) + extension(format).len() as u64 + 8;
    for word in [MAGIC, VERSION] {
        header.extend(word.to_be_bytes());
    }
    header.extend(backing_at.to_be_bytes());
    header.extend((backing.len() as u32).to_be_bytes());
    header.extend(CLUSTER_BITS.to_be_bytes());
    header.extend(disk_bytes.to_be_bytes());
    header.extend(0u32.to_be_bytes()); // not encrypted
    header.extend((first_level_entries as u32).to_be_bytes());
    header.extend(cluster_at(3).to_be_bytes());
    header.extend(cluster_at(1).to_be_bytes()); // table of reference counts
    header.extend(1u32.to_be_bytes()); // of one cluster
    header.extend(0u32.to_be_bytes()); // snapshots
    header.extend(0u64.to_be_bytes());
    header.extend([0u8; 24]); // features: none
    header.extend(REFCOUNT_ORDER.to_be_bytes());
    header.extend(HEADER_BYTES.to_be_bytes());
    header.extend(extension(format));
    header.extend([0u8; 8]); // end of the extensions
    header.extend(backing.as_bytes());
    bytes[..header.len()].copy_from_slice(&header);

    // The table of reference counts has one block, in which every cluster so far is used once.
    let at = cluster_at(1) as usize;
    bytes[at..at + 8].copy_from_slice(&cluster_at(2).to_be_bytes());
    let at = cluster_at(2) as usize;
    for number in 0..clusters as usize {
        bytes[at + 2 * number..at + 2 * number + 2].copy_from_slice(&1u16.to_be_bytes());
    }
    bytes
}

fn extension(format: &str) -> Vec<u8> {
    let mut bytes = BACKING_FORMAT.to_be_bytes().to_vec();
    bytes.extend((format.len() as u32).to_be_bytes());
    bytes.extend(format.as_bytes());
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}
