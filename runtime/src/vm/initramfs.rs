//! The initramfs: a newc cpio archive (Documentation/driver-api/early-userspace/buffer-format.rst)
//! with the guest program, the modules it must load and the image's files. The same input gives
//! the same bytes.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::Error;

/// Builds the archive. `drivers` are module names such as `virtio_net`.
pub(super) fn build(
    rootfs: Option<&Path>,
    modules: Option<&Path>,
    drivers: &[&str],
) -> Result<Vec<u8>, Error> {
    let mut archive = Archive::default();
    for folder in ["dev", "proc", "sys", "etc", "etc/bench", "tmp"] {
        archive.entry(folder.as_bytes(), 0o040_755, &[]);
    }
    if let Some(rootfs) = rootfs {
        archive.tree(rootfs, rootfs)?;
    }
    let mut list = String::new();
    if !drivers.is_empty() {
        let modules = modules.ok_or_else(|| Error::Missing {
            what: format!(
                "the guest kernel has no modules beside it, and this workload needs {}",
                drivers.join(", ")
            ),
            fix: Some("use a kernel with lib/modules/VERSION beside its boot folder".into()),
        })?;
        for (number, path) in closure(modules, drivers)?.iter().enumerate() {
            let name = format!("etc/bench/{number}.ko");
            archive.entry(name.as_bytes(), 0o100_644, &read_module(&modules.join(path))?);
            list.push_str(&format!("/{name}\n"));
        }
    }
    archive.entry(b"etc/bench/modules", 0o100_644, list.as_bytes());
    archive.entry(b"init", 0o100_755, crate::guest_program_bytes());
    archive.entry(b"TRAILER!!!", 0, &[]);
    Ok(archive.bytes)
}

/// The modules of `drivers` and all they need, each behind what it needs, from modules.dep
/// (modules.dep(5)). A driver that is not there is built in or does not exist.
fn closure(modules: &Path, drivers: &[&str]) -> Result<Vec<String>, Error> {
    let path = modules.join("modules.dep");
    let table = match std::fs::read_to_string(&path) {
        Ok(text) => parse_dependencies(&text),
        // Unpacked packages have none: depmod(8) runs at installation.
        Err(_) => scan(modules)?,
    };
    let mut order = Vec::new();
    for driver in drivers {
        visit(driver, &table, &mut order, 0);
    }
    Ok(order)
}

/// Module name → its path and the names it needs.
pub(super) type Dependencies = BTreeMap<String, (String, Vec<String>)>;

pub(super) fn parse_dependencies(text: &str) -> Dependencies {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines
        .map(|(path, needs)| {
            (module_name(path), (path.to_owned(), needs.split_whitespace().map(module_name).collect()))
        })
        .collect()
}

/// Where the modules are that a guest may need.
const SCANNED: [&str; 3] = ["kernel/drivers", "kernel/net/core", "kernel/fs/overlayfs"];

/// The dependencies as the modules themselves state them in their `.modinfo` section.
fn scan(folder: &Path) -> Result<Dependencies, Error> {
    let mut table = Dependencies::new();
    let mut folders = SCANNED.map(|part| folder.join(part)).to_vec();
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = module_name(&path.to_string_lossy());
            if !["virtio", "failover", "overlay"].iter().any(|part| name.contains(part)) {
                continue;
            }
            let bytes = read_module(&path)?;
            let needs =
                bytes.windows(9).position(|window| window == b"\0depends=").map_or(Vec::new(), |at| {
                    let text = bytes[at + 9..].split(|byte| *byte == 0).next().unwrap_or_default();
                    String::from_utf8_lossy(text)
                        .split(',')
                        .filter(|name| !name.is_empty())
                        .map(module_name)
                        .collect()
                });
            let relative = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
            table.insert(name, (relative, needs));
        }
    }
    Ok(table)
}

pub(super) fn visit(name: &str, table: &Dependencies, order: &mut Vec<String>, depth: usize) {
    let Some((path, needs)) = table.get(&module_name(name)) else { return };
    // The kernel's own modules have no circles; a broken table must not end this program.
    if depth > 32 || order.contains(path) {
        return;
    }
    needs.iter().for_each(|need| visit(need, table, order, depth + 1));
    order.push(path.clone());
}

/// `kernel/drivers/net/virtio-net.ko.xz` → `virtio_net`.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

fn read_module(path: &Path) -> Result<Vec<u8>, Error> {
    let bytes = std::fs::read(path).map_err(Error::system(format!("read the module {}", path.display())))?;
    let mut plain = Vec::new();
    let unpacked = match path.extension().and_then(|extension| extension.to_str()) {
        Some("zst") => ruzstd::decoding::StreamingDecoder::new(&bytes[..])
            .map_err(std::io::Error::other)
            .and_then(|mut decoder| decoder.read_to_end(&mut plain)),
        Some("gz") => flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut plain),
        Some("xz") => Err(std::io::Error::other("xz-compressed modules are not supported")),
        _ => return Ok(bytes),
    };
    unpacked.map_err(Error::system(format!("unpack the module {}", path.display())))?;
    Ok(plain)
}

#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    fn entry(&mut self, name: &[u8], mode: u32, content: &[u8]) {
        self.entry_of(name, mode, 0, 0, (0, 0), content);
    }

    fn entry_of(&mut self, name: &[u8], mode: u32, uid: u32, gid: u32, device: (u32, u32), content: &[u8]) {
        self.entries += 1;
        let fields = [
            self.entries,
            mode,
            uid,
            gid,
            1,
            0,
            content.len() as u32,
            0,
            0,
            device.0,
            device.1,
            name.len() as u32 + 1,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name);
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// The files below `folder`, in the order of their names. Hard links become copies.
    fn tree(&mut self, root: &Path, folder: &Path) -> Result<(), Error> {
        let read =
            |path: &Path| Error::system::<std::io::Error>(format!("read the image's {}", path.display()));
        let mut paths: Vec<_> = std::fs::read_dir(folder)
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
            .map_err(read(folder))?;
        paths.sort();
        for path in paths {
            let name = path.strip_prefix(root).unwrap_or(&path).as_os_str().as_bytes().to_owned();
            let meta = path.symlink_metadata().map_err(read(&path))?;
            let content = if meta.is_symlink() {
                std::fs::read_link(&path).map_err(read(&path))?.as_os_str().as_bytes().to_vec()
            } else if meta.is_file() {
                std::fs::read(&path).map_err(read(&path))?
            } else {
                Vec::new()
            };
            let device = (libc::major(meta.rdev()), libc::minor(meta.rdev()));
            self.entry_of(&name, meta.mode(), meta.uid(), meta.gid(), device, &content);
            if meta.is_dir() {
                self.tree(root, &path)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("b"), "2").expect("written");
        std::fs::write(folder.path().join("a"), "1").expect("written");
        let one = build(Some(folder.path()), None, &[]).expect("built");
        assert_eq!(one, build(Some(folder.path()), None, &[]).expect("built"));
        assert!(one.starts_with(b"070701") && one.len().is_multiple_of(4));
        assert!(build(None, None, &["virtio_net"]).is_err());
    }

    #[test]
    fn modules_come_behind_what_they_need() {
        let table = parse_dependencies(
            "k/virtio_net.ko: k/net_failover.ko k/virtio.ko\nk/net_failover.ko: k/failover.ko\nk/failover.ko:\nk/virtio.ko:\n",
        );
        let mut order = Vec::new();
        visit("virtio-net", &table, &mut order, 0);
        assert_eq!(order, ["k/failover.ko", "k/net_failover.ko", "k/virtio.ko", "k/virtio_net.ko"]);
    }
}
