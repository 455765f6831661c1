//! An initramfs with the drivers of one machine only, made of one with all: what MODULES=dep of
//! initramfs.conf(5) and dracut's host-only mode leave on a disk that is installed on a machine.

use std::io::{Read, Write};

use crate::Error;
use crate::vm::initramfs::{Dependencies, parse_dependencies, visit};

/// First bytes of an entry of a newc archive (Documentation/driver-api/early-userspace/buffer-format.rst).
const MAGIC: &[u8] = b"070701";
const HEADER_BYTES: usize = 110;
const LAST: &[u8] = b"TRAILER!!!";
/// Where fields begin: 8 hexadecimal digits each, behind the magic.
const FILE_BYTES_FIELD: usize = 6;
const NAME_BYTES_FIELD: usize = 11;
/// No initramfs is larger than this when unpacked.
const MAX_BYTES: u64 = 1 << 30;
/// Modules below this folder are drivers of devices; all others (file systems, checksums) stay.
const DRIVERS: &str = "/kernel/drivers/";

/// `initramfs` without all drivers but `kept` and what those need, gzip-compressed.
///
/// # Errors
/// Where it is no archive of a kind we read.
pub(super) fn host_only(initramfs: &[u8], kept: &[&str]) -> Result<Vec<u8>, Error> {
    let mut made = Vec::new();
    let mut rest = initramfs;
    // Microcode lies uncompressed in front (Documentation/x86/microcode.rst).
    while rest.starts_with(MAGIC) {
        let (entries, bytes) = entries(rest)?;
        write(&mut made, &entries);
        rest = rest[bytes..].trim_ascii_start();
        rest = &rest[rest.iter().take_while(|byte| **byte == 0).count()..];
    }
    let archive = unpack(rest)?;
    let (all, _) = entries(&archive)?;
    let table = dependencies(&all);
    let mut order = Vec::new();
    kept.iter().for_each(|name| visit(name, &table, &mut order, 0));
    let stays = |entry: &&Entry<'_>| {
        let name = String::from_utf8_lossy(entry.name);
        let is_driver = name.contains(DRIVERS) && name.contains(".ko");
        !is_driver || order.iter().any(|path| name.ends_with(&format!("/{path}")))
    };
    let mut packed = flate2::write::GzEncoder::new(&mut made, flate2::Compression::fast());
    let mut archive = Vec::new();
    write(&mut archive, &all.iter().filter(stays).copied().collect::<Vec<_>>());
    packed
        .write_all(&archive)
        .and_then(|()| packed.finish().map(drop))
        .map_err(Error::system("compress an initramfs"))?;
    Ok(made)
}

/// One file of an archive.
#[derive(Clone, Copy)]
struct Entry<'a> {
    name: &'a [u8],
    content: &'a [u8],
    /// All of it, with header and padding.
    whole: &'a [u8],
}

/// The entries of an archive but its trailer, and where it ends.
fn entries(bytes: &[u8]) -> Result<(Vec<Entry<'_>>, usize), Error> {
    let cut = || Error::Invalid("the initramfs is cut or no newc archive".into());
    let mut all = Vec::new();
    let mut at = 0usize;
    loop {
        let header = bytes.get(at..at + HEADER_BYTES).filter(|header| header.starts_with(MAGIC));
        let header = header.ok_or_else(cut)?;
        let field = |number: usize| {
            let digits = std::str::from_utf8(&header[6 + 8 * number..14 + 8 * number]).ok()?;
            usize::from_str_radix(digits, 16).ok()
        };
        let (name_bytes, file_bytes) =
            (field(NAME_BYTES_FIELD).ok_or_else(cut)?, field(FILE_BYTES_FIELD).ok_or_else(cut)?);
        let name_at = at + HEADER_BYTES;
        let content_at = (name_at + name_bytes).next_multiple_of(4);
        let next = (content_at + file_bytes).next_multiple_of(4);
        let name = bytes.get(name_at..name_at + name_bytes).and_then(|name| name.strip_suffix(b"\0"));
        let name = name.ok_or_else(cut)?;
        if name == LAST {
            return Ok((all, next.min(bytes.len())));
        }
        let content = bytes.get(content_at..content_at + file_bytes).ok_or_else(cut)?;
        let whole = bytes.get(at..next).ok_or_else(cut)?;
        all.push(Entry { name, content, whole });
        at = next;
    }
}

fn write(archive: &mut Vec<u8>, entries: &[Entry<'_>]) {
    entries.iter().for_each(|entry| archive.extend_from_slice(entry.whole));
    archive.extend_from_slice(MAGIC);
    for number in 0..13 {
        let value = if number == NAME_BYTES_FIELD { LAST.len() + 1 } else { 0 };
        archive.extend_from_slice(format!("{value:08x}").as_bytes());
    }
    archive.extend_from_slice(LAST);
    archive.push(0);
    archive.resize(archive.len().next_multiple_of(512), 0);
}

/// The archive's own modules.dep.
fn dependencies(entries: &[Entry<'_>]) -> Dependencies {
    let table = entries.iter().find(|entry| entry.name.ends_with(b"/modules.dep"));
    table.map_or_else(Dependencies::new, |table| parse_dependencies(&String::from_utf8_lossy(table.content)))
}

fn unpack(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut plain = Vec::new();
    let done = match bytes.get(..4) {
        Some([0x1f, 0x8b, ..]) => {
            flate2::read::MultiGzDecoder::new(bytes).take(MAX_BYTES).read_to_end(&mut plain)
        }
        Some([0x28, 0xb5, 0x2f, 0xfd]) => ruzstd::decoding::StreamingDecoder::new(bytes)
            .map_err(std::io::Error::other)
            .and_then(|decoder| decoder.take(MAX_BYTES).read_to_end(&mut plain)),
        _ => Err(std::io::Error::other("it is compressed neither by gzip nor by zstd")),
    };
    done.map_err(Error::system("unpack an initramfs"))?;
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, content) in files {
            bytes.extend_from_slice(MAGIC);
            for number in 0..13 {
                let value = match number {
                    FILE_BYTES_FIELD => content.len(),
                    NAME_BYTES_FIELD => name.len() + 1,
                    _ => 0,
                };
                bytes.extend_from_slice(format!("{value:08x}").as_bytes());
            }
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(0);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes.extend_from_slice(content.as_bytes());
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        write(&mut bytes, &[]);
        bytes
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(bytes).expect("packed");
        packer.finish().expect("packed")
    }

    fn names(initramfs: &[u8]) -> Vec<String> {
        let plain = unpack(initramfs).expect("unpacked");
        let (entries, _) = entries(&plain).expect("entries");
        entries.iter().map(|entry| String::from_utf8_lossy(entry.name).into_owned()).collect()
    }

    #[test]
    fn other_drivers_go_and_all_else_stays() {
        let dep = "kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio.ko\n\
                   kernel/drivers/virtio/virtio.ko:\nkernel/drivers/ata/ahci.ko: kernel/drivers/ata/libata.ko\n";
        let folder = "usr/lib/modules/6.1/";
        let paths = [
            "modules.dep",
            "kernel/fs/ext4/ext4.ko",
            "kernel/drivers/block/virtio_blk.ko",
            "kernel/drivers/virtio/virtio.ko",
            "kernel/drivers/ata/ahci.ko",
            "kernel/drivers/ata/libata.ko",
        ]
        .map(|path| format!("{folder}{path}"));
        let mut files: Vec<(&str, &str)> = vec![("init", "#!/bin/sh")];
        files.extend(
            paths.iter().map(|path| (path.as_str(), if path.ends_with("dep") { dep } else { "ELF" })),
        );
        let early = archive(&[("kernel/x86/microcode/x.bin", "code")]);
        let mut both = early.clone();
        both.extend(packed(&archive(&files)));
        let made = host_only(&both, &["virtio-blk"]).expect("made");
        assert!(made.starts_with(&early), "what is in front went away");
        let left = names(&made[early.len()..]);
        assert_eq!(left.len(), 5, "{left:?}");
        assert!(left.iter().all(|name| !name.contains("/ata/")), "{left:?}");
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        for bytes in [&b""[..], b"070701", b"\x1f\x8b garbage", b"BZh"] {
            assert!(host_only(bytes, &[]).is_err(), "{bytes:?}");
        }
        let whole = packed(&archive(&[("a", "some content")]));
        assert!(host_only(&whole[..whole.len() - 20], &[]).is_err());
    }
}
