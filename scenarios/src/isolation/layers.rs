//! Layers that lead astray who unpacks them: brought to our own store as an OCI layout, and, for the control,
//! unpacked as by who does not look where names and links lead (OCI image specification, layer.md).

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use runtime::image::{Image, Store};
use serde_json::json;
use sha2::{Digest, Sha256};

/// One entry of a layer.
#[derive(Clone, Debug)]
pub enum Member {
    /// A folder that everybody may do everything with.
    Folder(String),
    /// A file with a word in it; whiteouts are empty files.
    File(String),
    /// A symbolic link and where it leads.
    Link(String, String),
    /// A hard link and of what.
    Hard(String, String),
}

/// Bytes of a block (tar(5)).
const BLOCK: usize = 512;
const WORD: &[u8] = b"of a layer";
/// Blobs by their hash.
const BLOBS: &str = "blobs/sha256";
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// The image of these layers as our store has it, with what it needs below `folder`.
///
/// # Errors
/// Why the store refuses it, or what the system said.
pub(super) fn import(layers: &[Vec<Member>], folder: &Path) -> Result<Image, String> {
    let layout = folder.join("layout");
    write(layers, &layout).map_err(|error| format!("cannot write {}: {error}", layout.display()))?;
    let store = Store::open(&folder.join("store")).map_err(|error| error.to_string())?;
    Image::resolve(&layout.to_string_lossy(), &store).map_err(|error| error.to_string())
}

/// An OCI layout of one image (image-layout.md).
fn write(layers: &[Vec<Member>], layout: &Path) -> io::Result<()> {
    fs::create_dir_all(layout.join(BLOBS))?;
    let blob = |bytes: &[u8]| -> io::Result<(String, usize)> {
        let digest = format!("{:x}", Sha256::digest(bytes));
        fs::write(layout.join(BLOBS).join(&digest), bytes)?;
        Ok((format!("sha256:{digest}"), bytes.len()))
    };
    let described = |kind: &str, (digest, size): &(String, usize)| json!({ "mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest, "size": size });
    let layers: Vec<(String, usize)> =
        layers.iter().map(|layer| blob(&archive(layer))).collect::<io::Result<_>>()?;
    let digests: Vec<&String> = layers.iter().map(|(digest, _)| digest).collect();
    let config = json!({
        "os": "linux",
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": digests },
    });
    let config = blob(config.to_string().as_bytes())?;
    let manifest = json!({
        "schemaVersion": 2,
        "config": described("config.v1+json", &config),
        "layers": layers.iter().map(|layer| described("layer.v1.tar", layer)).collect::<Vec<_>>(),
    });
    let manifest = blob(manifest.to_string().as_bytes())?;
    let index = json!({ "schemaVersion": 2, "manifests": [described("manifest.v1+json", &manifest)] });
    fs::write(layout.join("index.json"), index.to_string())?;
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
}

/// A tar archive, whatever names its members have.
fn archive(layer: &[Member]) -> Vec<u8> {
    let mut bytes: Vec<u8> = layer.iter().flat_map(record).collect();
    bytes.resize(bytes.len() + 2 * BLOCK, 0);
    bytes
}

/// Header and content of a member (tar(5), ustar).
fn record(member: &Member) -> Vec<u8> {
    let (name, kind, target, content): (&str, u8, &str, &[u8]) = match member {
        Member::Folder(name) => (name, b'5', "", b""),
        Member::File(name) if is_whiteout(name) => (name, b'0', "", b""),
        Member::File(name) => (name, b'0', "", WORD),
        Member::Link(name, target) => (name, b'2', target, b""),
        Member::Hard(name, target) => (name, b'1', target, b""),
    };
    let mut header = [0u8; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &name.as_bytes()[..name.len().min(100)]);
    put(100, b"0000777\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", content.len()).as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(157, &target.as_bytes()[..target.len().min(100)]);
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut bytes = header.to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

fn is_whiteout(name: &str) -> bool {
    name.rsplit('/').next().is_some_and(|last| last.starts_with(WHITEOUT))
}

/// The control: into `root` by names put behind each other, and through whatever link is met.
pub(super) fn unpack_carelessly(layers: &[Vec<Member>], root: &Path) -> io::Result<()> {
    layers.iter().flatten().try_for_each(|member| {
        // An absolute name takes the place of what it is put behind.
        let place = |name: &str| root.join(name);
        match member {
            Member::Folder(name) => {
                fs::create_dir_all(place(name))?;
                fs::set_permissions(place(name), fs::Permissions::from_mode(0o700))
            }
            Member::File(name) if is_whiteout(name) => take_away(&place(name)),
            Member::File(name) => fs::write(place(name), WORD),
            Member::Link(name, target) => symlink(target, place(name)),
            Member::Hard(name, target) => fs::hard_link(place(target), place(name)),
        }
    })
}

/// What a whiteout is for.
fn take_away(whiteout: &Path) -> io::Result<()> {
    let folder = whiteout.parent().map(PathBuf::from).unwrap_or_default();
    let name = whiteout.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if name != OPAQUE {
        return fs::remove_file(folder.join(name.trim_start_matches(WHITEOUT)));
    }
    fs::read_dir(&folder)?.try_for_each(|entry| fs::remove_file(entry?.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_takes_layers_that_are_harmless() {
        let folder = tempfile::tempdir().expect("folder");
        let layers = [
            vec![Member::Folder("etc".into()), Member::File("etc/a".into()), Member::File("etc/b".into())],
            vec![Member::File("etc/.wh.a".into()), Member::Link("l".into(), "etc/b".into())],
        ];
        let image = import(&layers, folder.path()).expect("taken");
        let root = image.rootfs.expect("files");
        assert_eq!(fs::read(root.join("l")).expect("read"), WORD);
        assert!(!root.join("etc/a").exists());
    }
}
