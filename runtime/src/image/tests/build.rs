//! Makes layers, layouts and archives, also such as no tool would make.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use crate::image::digest::Digest;
use crate::image::document::Platform;

/// One tar header and its content, with a right checksum whatever the rest.
pub(super) fn raw(kind: u8, path: &[u8], link: &[u8], mode: u32, size: u64, content: &[u8]) -> Vec<u8> {
    let mut block = [0u8; 512];
    block[..path.len().min(100)].copy_from_slice(&path[..path.len().min(100)]);
    let octal = |value: u64, width: usize| format!("{value:0width$o}\0", width = width - 1).into_bytes();
    block[100..108].copy_from_slice(&octal(mode.into(), 8));
    block[108..116].copy_from_slice(&octal(0, 8));
    block[116..124].copy_from_slice(&octal(0, 8));
    block[124..136].copy_from_slice(&octal(size, 12));
    block[136..148].copy_from_slice(&octal(1_000_000_000, 12));
    block[156] = kind;
    block[157..157 + link.len().min(100)].copy_from_slice(&link[..link.len().min(100)]);
    block[257..265].copy_from_slice(b"ustar\x0000");
    if matches!(kind, b'3' | b'4') {
        block[329..337].copy_from_slice(&octal(1, 8));
        block[337..345].copy_from_slice(&octal(3, 8));
    }
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut bytes = block.to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

pub(super) fn file(path: &str, content: &[u8]) -> Vec<u8> {
    raw(b'0', path.as_bytes(), b"", 0o644, content.len() as u64, content)
}

pub(super) fn folder(path: &str, mode: u32) -> Vec<u8> {
    raw(b'5', path.as_bytes(), b"", mode, 0, b"")
}

pub(super) fn symbolic(path: &str, target: &str) -> Vec<u8> {
    raw(b'2', path.as_bytes(), target.as_bytes(), 0o777, 0, b"")
}

pub(super) fn hard(path: &str, target: &str) -> Vec<u8> {
    raw(b'1', path.as_bytes(), target.as_bytes(), 0o644, 0, b"")
}

/// A pax header for the next member.
pub(super) fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut content = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        content.extend(format!("{length} {key}=").as_bytes());
        content.extend(*value);
        content.push(b'\n');
    }
    raw(b'x', b"pax", b"", 0o644, content.len() as u64, &content)
}

pub(super) fn tar(members: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = members.concat();
    bytes.extend([0; 1024]);
    bytes
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).expect("write");
    out.finish().expect("gzip")
}

pub(super) fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

pub(super) fn config(layers: &[Vec<u8>]) -> Value {
    let host = Platform::host();
    let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    json!({
        "os": host.os, "architecture": host.architecture,
        "config": {"Entrypoint": ["/bin/app"], "Cmd": ["--go"], "Env": ["A=b"], "WorkingDir": "/srv", "User": "7:8"},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    })
}

/// The parts of an OCI layout, by name.
pub(super) struct Layout {
    pub(super) parts: Vec<(String, Vec<u8>)>,
    pub(super) manifest: String,
}

/// `delivered` is what lies in the layout, `layers` what it uncompresses to.
pub(super) fn layout(layers: &[Vec<u8>], delivered: &[Vec<u8>], suffix: &str) -> Layout {
    let mut parts = Vec::new();
    let mut add = |bytes: Vec<u8>, media_type: &str| {
        let digest = Digest::of(&bytes);
        let described = json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()});
        parts.push((format!("blobs/sha256/{}", digest.hex()), bytes));
        described
    };
    let media = format!("application/vnd.oci.image.layer.v1.tar{suffix}");
    let layer_list: Vec<Value> = delivered.iter().map(|layer| add(layer.clone(), &media)).collect();
    let config = add(config(layers).to_string().into_bytes(), "application/vnd.oci.image.config.v1+json");
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": layer_list});
    let mut manifest = add(manifest.to_string().into_bytes(), "application/vnd.oci.image.manifest.v1+json");
    let digest = manifest["digest"].as_str().expect("digest").to_owned();
    let host = Platform::host();
    let mut foreign = manifest.clone();
    foreign["digest"] = json!(format!("sha256:{}", "0".repeat(64)));
    foreign["platform"] = json!({"os": "plan9", "architecture": "vax"});
    manifest["platform"] = json!({"os": host.os, "architecture": host.architecture});
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": "mine:1"});
    let unknown = json!({"mediaType": "text/poem", "digest": "sha256:x", "size": 1});
    let index = json!({"schemaVersion": 2, "manifests": [unknown, foreign, manifest]});
    parts.push(("index.json".into(), index.to_string().into_bytes()));
    parts.push(("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()));
    Layout { parts, manifest: digest }
}

/// A `docker save` archive; the old form has a folder for each layer.
pub(super) fn saved(layers: &[Vec<u8>], old: bool) -> Vec<(String, Vec<u8>)> {
    let config = config(layers).to_string().into_bytes();
    let name = |bytes: &[u8], end: &str| match old {
        true => format!("{}{end}", Digest::of(bytes).hex()),
        false => format!("blobs/sha256/{}", Digest::of(bytes).hex()),
    };
    let mut parts: Vec<(String, Vec<u8>)> =
        layers.iter().map(|layer| (name(layer, "/layer.tar"), layer.clone())).collect();
    let names: Vec<&String> = parts.iter().map(|(name, _)| name).collect();
    let manifest = json!([{"Config": name(&config, ".json"), "RepoTags": ["mine:2"], "Layers": names}]);
    parts.push(("manifest.json".into(), manifest.to_string().into_bytes()));
    parts.push((name(&config, ".json"), config));
    parts
}

pub(super) fn archive(parts: &[(String, Vec<u8>)]) -> Vec<u8> {
    // Names longer than a header holds go through pax.
    let members: Vec<Vec<u8>> = parts
        .iter()
        .map(|(name, bytes)| [pax(&[("path", name.as_bytes())]), file("x", bytes)].concat())
        .collect();
    tar(&members)
}

pub(super) fn write(folder: &Path, parts: &[(String, Vec<u8>)]) {
    for (name, bytes) in parts {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("parent")).expect("folder");
        fs::write(path, bytes).expect("part");
    }
}
