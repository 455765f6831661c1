//! The built-in image in the form every engine takes: one layer with the guest program and the
//! folders a root file system has, the same bytes wherever the same guest program is embedded.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde_json::json;
use tar::{Builder, EntryType, Header};

use super::compose::{self, Composed};
use super::digest::Digest;
use super::document::Platform;
use super::source::Memory;
use super::store::{Listed, Store};
use super::{Error, Image, LayerInfo, import};

/// What it is called, in the store as well.
pub(crate) const NAME: &str = "builtin";
/// Where the guest program lies in it.
const PROGRAM: &str = "init";
/// Mount points of a container's root, and their modes.
const FOLDERS: [(&str, u32); 8] = [
    ("./", 0o755),
    ("dev/", 0o755),
    ("etc/", 0o755),
    ("proc/", 0o555),
    ("run/", 0o755),
    ("sys/", 0o555),
    ("tmp/", 0o1777),
    ("var/", 0o755),
];

struct Builtin {
    layer: Vec<u8>,
    config: Vec<u8>,
    manifest: Composed,
    info: LayerInfo,
}

/// The built-in image as backends take it that have the guest program at hand.
pub(super) fn image() -> Image {
    let builtin = builtin();
    Image {
        reference: NAME.into(),
        digest: builtin.manifest.digest.to_string(),
        rootfs: None,
        command: Vec::new(),
        environment: Vec::new(),
        working_directory: "/".into(),
        user: String::new(),
        config_digest: Digest::of(&builtin.config).to_string(),
        layers: vec![builtin.info.clone()],
        details: super::Details::default(),
        lease: None,
    }
}

/// Brings it in like any other image.
///
/// # Errors
/// What the system said.
pub(super) fn bring_in(store: &Store) -> Result<Listed, Error> {
    let builtin = builtin();
    let part = |bytes: &[u8]| (compose::blob_name(&Digest::of(bytes)), bytes.to_vec());
    let parts = HashMap::from([
        part(&builtin.layer),
        part(&builtin.config),
        part(&builtin.manifest.bytes),
        ("index.json".to_owned(), compose::index(&builtin.manifest, Some(NAME))),
    ]);
    import::layout(store, &Memory::new(NAME, parts), None)
}

fn builtin() -> &'static Builtin {
    static BUILTIN: OnceLock<Builtin> = OnceLock::new();
    BUILTIN.get_or_init(|| {
        let layer = layer(crate::guest_program_bytes());
        let digest = Digest::of(&layer);
        let platform = Platform::host();
        let config = json!({
            "architecture": platform.architecture,
            "os": platform.os,
            "config": { "Entrypoint": [format!("/{PROGRAM}")], "WorkingDir": "/" },
            "rootfs": { "type": "layers", "diff_ids": [digest.to_string()] },
        });
        let config = config.to_string().into_bytes();
        let size_bytes = layer.len() as u64;
        let described =
            compose::Layer { digest: digest.clone(), size_bytes, compression: Default::default() };
        let manifest = compose::manifest(&config, &[described]);
        let info = LayerInfo { digest: digest.to_string(), diff_id: digest.to_string(), size_bytes };
        Builtin { layer, config, manifest, info }
    })
}

fn layer(program: &[u8]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    let mut add = |name: &str, kind: EntryType, mode: u32, content: &[u8]| {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, content)
    };
    let written = FOLDERS
        .iter()
        .try_for_each(|(name, mode)| add(name, EntryType::Directory, *mode, b""))
        .and_then(|()| add(PROGRAM, EntryType::Regular, 0o755, program));
    // Short constant names into memory: there is nothing that could fail.
    written.and_then(|()| builder.into_inner()).unwrap_or_default()
}
