//! Makes manifests and indexes for images that were delivered without (OCI image specification:
//! manifest.md, image-index.md). The same content gives the same bytes.

use serde_json::{Value, json};

use super::decompress::Compression;
use super::digest::Digest;
use super::document::{Platform, REF_NAME};

/// A manifest and its name.
pub(crate) struct Composed {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
}

/// A layer as a manifest describes it.
pub(crate) struct Layer {
    pub(crate) digest: Digest,
    pub(crate) size_bytes: u64,
    pub(crate) compression: Compression,
}

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// The manifest of a configuration and its layers, lowest first.
pub(crate) fn manifest(config: &[u8], layers: &[Layer]) -> Composed {
    let layers: Vec<Value> = layers
        .iter()
        .map(|layer| {
            let end = match layer.compression {
                // Nothing else becomes a layer.
                Compression::None | Compression::Bzip2 | Compression::Xz => "",
                Compression::Gzip => "+gzip",
                Compression::Zstd => "+zstd",
            };
            let media_type = format!("application/vnd.oci.image.layer.v1.tar{end}");
            json!({ "mediaType": media_type, "digest": layer.digest.to_string(), "size": layer.size_bytes })
        })
        .collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": CONFIG, "digest": Digest::of(config).to_string(), "size": config.len() },
        "layers": layers,
    });
    let bytes = manifest.to_string().into_bytes();
    Composed { digest: Digest::of(&bytes), bytes }
}

/// An index of one manifest for this machine, under a name.
pub(crate) fn index(manifest: &Composed, name: Option<&str>) -> Vec<u8> {
    let platform = Platform::host();
    let mut descriptor = json!({
        "mediaType": MANIFEST,
        "digest": manifest.digest.to_string(),
        "size": manifest.bytes.len(),
        "platform": { "os": platform.os, "architecture": platform.architecture },
    });
    if let Some(name) = name {
        descriptor["annotations"] = json!({ REF_NAME: name });
    }
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor] }).to_string().into_bytes()
}

/// Where a layout keeps what has this digest.
pub(crate) fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
