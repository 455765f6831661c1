//! The guest kernel: where it is found, and its uncompressed ELF form.
//!
//! A bzImage unpacks itself inside the guest; an ELF with a PVH entry (Documentation/arch/x86/boot.rst,
//! xen/include/public/arch-x86/hvm/start_info.h) is entered directly.

use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::Error;

/// Type of the ELF note that holds the PVH entry (XEN_ELFNOTE_PHYS32_ENTRY).
const PHYS32_ENTRY: u32 = 18;
/// No kernel is larger than this when unpacked.
const MAX_BYTES: u64 = 512 << 20;
/// What fixes a missing kernel.
pub(super) const FIX: &str = "run scripts/bench once, or name a bzImage with --kernel";

/// A kernel ready to boot.
#[derive(Clone, Debug)]
pub(super) struct Kernel {
    /// What was found.
    pub(super) source: PathBuf,
    /// What QEMU is given: the ELF where there is one.
    pub(super) file: PathBuf,
    /// `elf-pvh` or `bzimage`.
    pub(super) form: &'static str,
    /// `sha256:…` of the source.
    pub(super) digest: String,
    /// Folder of its modules, where there is one.
    pub(super) modules: Option<PathBuf>,
}

/// Where the kernel is: asked for, in the cache, or the host's own.
pub(super) fn find(asked: Option<&Path>, cache_dir: &Path) -> Result<PathBuf, Error> {
    if let Some(path) = asked {
        return Ok(path.to_owned());
    }
    let mut folders = vec![PathBuf::from("/boot")];
    let cached = std::fs::read_dir(cache_dir.join("kernels")).into_iter().flatten().flatten();
    folders.extend(cached.map(|entry| entry.path().join("boot")));
    let mut found: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-")))
        .filter(|path| std::fs::File::open(path).is_ok())
        .collect();
    // Cached ones before the host's: they were fetched for this purpose and have the fewest drivers.
    found.sort_by_key(|path| (path.starts_with("/boot"), path.clone()));
    found
        .into_iter()
        .next()
        .ok_or_else(|| Error::Missing { what: "no readable guest kernel".into(), fix: Some(FIX.into()) })
}

/// Reads the kernel and unpacks it into the cache.
pub(super) fn load(source: &Path, cache_dir: &Path) -> Result<Kernel, Error> {
    let image = std::fs::read(source)
        .map_err(Error::system(format!("read the guest kernel {}", source.display())))?;
    let digest = format!("{:x}", Sha256::digest(&image));
    let version =
        source.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix("vmlinuz-"));
    let modules = version.and_then(|version| {
        let beside = source.parent()?.parent()?.join("lib/modules").join(version);
        [beside, Path::new("/lib/modules").join(version)].into_iter().find(|path| path.is_dir())
    });
    let cached = cache_dir.join("elf").join(&digest);
    let (file, form) = if pvh_entry(&image).is_some() {
        (source.to_owned(), "elf-pvh")
    } else if !is_bzimage(&image) {
        return Err(Error::Invalid(format!(
            "{} is no Linux kernel: neither bzImage nor PVH ELF",
            source.display()
        )));
    } else if cached.exists() {
        (cached, "elf-pvh")
    } else {
        match unpack(&image).filter(|elf| pvh_entry(elf).is_some()) {
            Some(elf) => {
                super::store(&cached, &elf)?;
                (cached, "elf-pvh")
            }
            None => (source.to_owned(), "bzimage"),
        }
    };
    Ok(Kernel { source: source.into(), file, form, digest: format!("sha256:{digest}"), modules })
}

/// Boot protocol: 0xaa55 at 0x1fe, "HdrS" at 0x202.
fn is_bzimage(image: &[u8]) -> bool {
    image.get(0x1fe..0x200) == Some(&[0x55, 0xaa]) && image.get(0x202..0x206) == Some(b"HdrS")
}

/// The ELF inside a bzImage, where its compression is one we know (lz4, gzip, zstd).
fn unpack(image: &[u8]) -> Option<Vec<u8>> {
    let setup_sectors = match *image.get(0x1f1)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let offset = (setup_sectors + 1) * 512 + u32_at(image, 0x248)? as usize;
    let payload = image.get(offset..offset.checked_add(u32_at(image, 0x24c)? as usize)?)?;
    let mut elf = Vec::new();
    match payload.get(..4)? {
        [0x02, 0x21, 0x4c, 0x18] => return unpack_lz4(payload.get(4..)?),
        [0x1f, 0x8b, ..] => {
            flate2::read::GzDecoder::new(payload).take(MAX_BYTES).read_to_end(&mut elf).ok()?;
        }
        [0x28, 0xb5, 0x2f, 0xfd] => {
            ruzstd::decoding::StreamingDecoder::new(payload)
                .ok()?
                .take(MAX_BYTES)
                .read_to_end(&mut elf)
                .ok()?;
        }
        _ => return None,
    }
    Some(elf)
}

/// LZ4's legacy frame: blocks of at most 8 MiB, each behind its compressed length. What is left
/// at the end is the kernel's own length.
fn unpack_lz4(mut blocks: &[u8]) -> Option<Vec<u8>> {
    const BLOCK_BYTES: usize = 8 << 20;
    let mut elf = Vec::new();
    while blocks.len() > 8 {
        let length = u32_at(blocks, 0)? as usize;
        let block = blocks.get(4..4 + length)?;
        elf.extend(lz4_flex::block::decompress(block, BLOCK_BYTES).ok()?);
        blocks = &blocks[4 + length..];
    }
    Some(elf)
}

/// The physical address of the PVH entry of a 64-bit ELF.
fn pvh_entry(elf: &[u8]) -> Option<u32> {
    if elf.get(..5)? != b"\x7fELF\x02" {
        return None;
    }
    let table = u64_at(elf, 0x20)? as usize;
    let (size, count) = (usize::from(u16_at(elf, 0x36)?), usize::from(u16_at(elf, 0x38)?));
    (0..count).find_map(|number| {
        let header = elf.get(table.checked_add(number * size)?..)?;
        // PT_NOTE
        if u32_at(header, 0)? != 4 {
            return None;
        }
        let (offset, length) = (u64_at(header, 8)? as usize, u64_at(header, 0x20)? as usize);
        note(elf.get(offset..offset.checked_add(length)?)?)
    })
}

fn note(mut notes: &[u8]) -> Option<u32> {
    while notes.len() >= 12 {
        let (name, value, kind) = (u32_at(notes, 0)? as usize, u32_at(notes, 4)? as usize, u32_at(notes, 8)?);
        let value_at = 12 + name.next_multiple_of(4);
        if kind == PHYS32_ENTRY && notes.get(12..16) == Some(b"Xen\0") {
            return u32_at(notes, value_at);
        }
        notes = notes.get(value_at + value.next_multiple_of(4)..)?;
    }
    None
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_kernel_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("vmlinuz-none");
        std::fs::write(&path, "no kernel").expect("written");
        let error = load(&path, folder.path()).expect_err("refused").to_string();
        assert!(error.contains("vmlinuz-none") && error.contains("no Linux kernel"), "{error}");
        assert!(load(&folder.path().join("absent"), folder.path()).is_err());
    }

    proptest! {
        #[test]
        fn garbage_is_no_kernel_and_no_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
            let _ = (unpack(&bytes), pvh_entry(&bytes));
            if bytes.len() > 5 {
                bytes[..5].copy_from_slice(b"\x7fELF\x02");
                let _ = pvh_entry(&bytes);
            }
        }
    }
}
