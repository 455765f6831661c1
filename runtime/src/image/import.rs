//! Brings the parts of an image into the store, each verified before it is believed: the length
//! before the hash, the hash before the content is parsed.

use std::fs;
use std::io::{self, Read, Seek};
use std::path::Path;

use super::compose::{self, blob_name};
use super::decompress::Compression;
use super::digest::{Digest, Hashing};
use super::document::{self, Config, Descriptor, Index, Manifest, Platform, REF_NAME, Saved};
use super::source::{Part, Source};
use super::store::{Listed, Store};
use super::{Error, LayerInfo};

/// Nested indexes that are followed.
const DEPTH_LIMIT: usize = 4;

/// An image of an OCI layout: the first for this machine, or the one tagged `tag`.
///
/// # Errors
/// What is broken, forged or missing.
pub(crate) fn layout(store: &Store, source: &dyn Source, tag: Option<&str>) -> Result<Listed, Error> {
    let what = source.label("index.json");
    let index: Index = document::read(&what, &bounded(source.open("index.json")?, &what)?)?;
    if index.schema_version != 2 {
        return Err(Error::malformed(what, format!("schemaVersion is {}, not 2", index.schema_version)));
    }
    let tagged =
        |descriptor: &&Descriptor| tag.is_none_or(|tag| name_of(descriptor).is_some_and(|n| is_tag(n, tag)));
    let candidates: Vec<Descriptor> = index.manifests.iter().filter(tagged).cloned().collect();
    if let (Some(tag), true) = (tag, candidates.is_empty()) {
        let names: Vec<&str> = index.manifests.iter().filter_map(name_of).collect();
        return Err(Error::malformed(what, format!("has no image tagged {tag:?}; it has {names:?}")));
    }
    let (descriptor, names) = select(source, &what, candidates, 0)?;
    manifest(store, source, &descriptor, names)
}

fn name_of(descriptor: &Descriptor) -> Option<&str> {
    // containerd puts the full name beside the tag.
    let full = descriptor.annotations.get("io.containerd.image.name");
    full.or_else(|| descriptor.annotations.get(REF_NAME)).map(String::as_str)
}

fn is_tag(name: &str, tag: &str) -> bool {
    name == tag || name.rsplit_once(':').is_some_and(|(_, own)| own == tag)
}

/// The first manifest for this machine, with the names met on the way.
fn select(
    source: &dyn Source,
    what: &str,
    descriptors: Vec<Descriptor>,
    depth: usize,
) -> Result<(Descriptor, Vec<String>), Error> {
    let host = Platform::host();
    let mut offered = Vec::new();
    for descriptor in descriptors {
        if let Some(platform) = descriptor.platform.as_ref().filter(|platform| !platform.matches(&host)) {
            offered.push(platform.to_string());
            continue;
        }
        let names: Vec<String> = name_of(&descriptor).map(str::to_owned).into_iter().collect();
        if descriptor.is_manifest() {
            return Ok((descriptor, names));
        }
        // Unknown media types in an index are not an error (OCI image index).
        if !descriptor.is_index() {
            continue;
        }
        if depth == DEPTH_LIMIT {
            return Err(Error::malformed(what, format!("indexes nested deeper than {DEPTH_LIMIT}")));
        }
        let (label, bytes) = verified(source, &descriptor)?;
        let index: Index = document::read(&label, &bytes)?;
        match select(source, &label, index.manifests, depth + 1) {
            Ok((found, inner)) => return Ok((found, if names.is_empty() { inner } else { names })),
            Err(Error::NoPlatform { offered: inner, .. }) => offered.push(inner),
            Err(error) => return Err(error),
        }
    }
    let offered = if offered.is_empty() { "none at all".into() } else { offered.join(", ") };
    Err(Error::NoPlatform { what: what.into(), wanted: host.to_string(), offered })
}

fn manifest(
    store: &Store,
    source: &dyn Source,
    descriptor: &Descriptor,
    names: Vec<String>,
) -> Result<Listed, Error> {
    let (label, bytes) = verified(source, descriptor)?;
    let manifest: Manifest = document::read(&label, &bytes)?;
    if manifest.schema_version != 2 {
        return Err(Error::malformed(label, format!("schemaVersion is {}, not 2", manifest.schema_version)));
    }
    if !manifest.config.is_config() {
        let kind = manifest.config.media_type;
        return Err(Error::malformed(
            label,
            format!("its configuration is a {kind:?}: an artifact, not an image"),
        ));
    }
    if let Some(layer) = manifest.layers.iter().find(|layer| !layer.is_layer()) {
        return Err(Error::malformed(
            label,
            format!("a layer is a {:?}, which cannot be unpacked", layer.media_type),
        ));
    }
    let (config_label, config_bytes) = verified(source, &manifest.config)?;
    let config: Config = document::read(&config_label, &config_bytes)?;
    config.check_platform(&config_label)?;
    let diff_ids = config.diff_ids(&config_label, manifest.layers.len())?;
    if let Some(known) = known(store, &descriptor.digest, &names)? {
        return Ok(known);
    }
    let mut layers = Vec::new();
    for (layer, diff_id) in manifest.layers.iter().zip(&diff_ids) {
        let digest = Digest::parse(&layer.digest)?;
        let part = blob_name(&digest);
        if layer.size > store.limit_bytes {
            return Err(Error::TooLarge { what: source.label(&part), limit_bytes: store.limit_bytes });
        }
        if !store.blob(&digest).exists() {
            keep(store, source.open(&part)?, &source.label(&part), Some((&digest, layer.size)))?;
        }
        layers.push(info(&digest, diff_id, layer.size));
    }
    keep_bytes(store, &bytes)?;
    keep_bytes(store, &config_bytes)?;
    listed(names, &Digest::parse(&descriptor.digest)?, &Digest::of(&config_bytes), &diff_ids, layers)
}

/// An image of a `docker save` archive: the only one, or the one tagged `tag`.
///
/// # Errors
/// What is broken, forged or missing.
pub(crate) fn saved(store: &Store, source: &dyn Source, tag: Option<&str>) -> Result<Listed, Error> {
    let what = source.label("manifest.json");
    let images: Vec<Saved> = document::read(&what, &bounded(source.open("manifest.json")?, &what)?)?;
    let tags = |image: &Saved| image.repo_tags.clone().unwrap_or_default();
    let mut matching =
        images.iter().filter(|image| tag.is_none_or(|tag| tags(image).iter().any(|n| is_tag(n, tag))));
    let (Some(image), None) = (matching.next(), matching.next()) else {
        let names: Vec<String> = images.iter().flat_map(tags).collect();
        return Err(Error::malformed(what, format!("name one of its images as PATH:TAG; it has {names:?}")));
    };
    let config_label = source.label(&image.config);
    let config_bytes = bounded(source.open(&image.config)?, &config_label)?;
    check_name(&config_label, &image.config, &Digest::of(&config_bytes))?;
    let config: Config = document::read(&config_label, &config_bytes)?;
    config.check_platform(&config_label)?;
    let diff_ids = config.diff_ids(&config_label, image.layers.len())?;
    let mut layers = Vec::new();
    for (part, diff_id) in image.layers.iter().zip(&diff_ids) {
        let label = source.label(part);
        let (layer, size) = keep(store, source.open(part)?, &label, None)?;
        check_name(&label, part, &layer)?;
        layers.push(info(&layer, diff_id, size));
    }
    composed(store, tags(image), &config_bytes, &diff_ids, layers)
}

/// An image that was delivered without a manifest gets one. Its layers are in the store.
pub(crate) fn composed(
    store: &Store,
    names: Vec<String>,
    config: &[u8],
    diff_ids: &[Digest],
    layers: Vec<LayerInfo>,
) -> Result<Listed, Error> {
    let mut described = Vec::new();
    for layer in &layers {
        let digest = Digest::parse(&layer.digest)?;
        let path = store.blob(&digest);
        let mut start = Vec::new();
        let read = fs::File::open(&path).and_then(|file| file.take(4).read_to_end(&mut start));
        read.map_err(Error::io("read layer", &path))?;
        let compression = Compression::of(&start);
        described.push(compose::Layer { digest, size_bytes: layer.size_bytes, compression });
    }
    let manifest = compose::manifest(config, &described);
    if let Some(known) = known(store, &manifest.digest.to_string(), &names)? {
        return Ok(known);
    }
    keep_bytes(store, config)?;
    keep_bytes(store, &manifest.bytes)?;
    listed(names, &manifest.digest, &Digest::of(config), diff_ids, layers)
}

/// A root file system as one layer, `layer` being its uncompressed tar.
///
/// # Errors
/// What the system said.
pub(crate) fn rootfs(store: &Store, path: &Path, layer: impl Read) -> Result<Listed, Error> {
    let (diff_id, size) = keep(store, (Box::new(layer), None), &path.display().to_string(), None)?;
    let layers = vec![info(&diff_id, &diff_id, size)];
    composed(store, plain_names(path), &plain_config(&diff_id), &[diff_id], layers)
}

/// The image of a root file system with this diffID, if the store has it.
///
/// # Errors
/// What the system said.
pub(crate) fn known_rootfs(
    store: &Store,
    path: &Path,
    diff_id: &Digest,
    size_bytes: u64,
) -> Result<Option<Listed>, Error> {
    let layer = compose::Layer { digest: diff_id.clone(), size_bytes, compression: Compression::None };
    let manifest = compose::manifest(&plain_config(diff_id), &[layer]);
    known(store, &manifest.digest.to_string(), &plain_names(path))
}

/// The configuration such an image gets: the same for the same files, so without a date.
fn plain_config(diff_id: &Digest) -> Vec<u8> {
    let platform = Platform::host();
    let config = serde_json::json!({
        "architecture": platform.architecture,
        "os": platform.os,
        "config": { "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"] },
        "rootfs": { "type": "layers", "diff_ids": [diff_id.to_string()] },
    });
    config.to_string().into_bytes()
}

fn plain_names(path: &Path) -> Vec<String> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let stem = |name: String| name.split(".tar").next().map(str::to_owned).unwrap_or(name);
    name.map(stem).filter(|name| !name.is_empty()).into_iter().collect()
}

/// The image already in the store, with the names it is now known by as well.
fn known(store: &Store, digest: &str, names: &[String]) -> Result<Option<Listed>, Error> {
    let Some(mut image) = store.list()?.into_iter().find(|image| image.digest == digest) else {
        return Ok(None);
    };
    for name in names {
        if !image.names.contains(name) {
            image.names.push(name.clone());
        }
    }
    // Layers may have been taken away by hand; then it is brought in anew.
    let whole = image.parts().all(|digest| Digest::parse(digest).is_ok_and(|d| store.blob(&d).exists()));
    Ok(whole.then_some(image))
}

fn listed(
    names: Vec<String>,
    digest: &Digest,
    config: &Digest,
    diff_ids: &[Digest],
    layers: Vec<LayerInfo>,
) -> Result<Listed, Error> {
    let chain =
        Digest::chain(diff_ids).ok_or_else(|| Error::malformed(digest.to_string(), "has no layers"))?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Ok(Listed {
        names,
        digest: digest.to_string(),
        config_digest: config.to_string(),
        chain_id: chain.to_string(),
        layers,
        imported_unix_ns: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
    })
}

pub(crate) fn info(digest: &Digest, diff_id: &Digest, size_bytes: u64) -> LayerInfo {
    LayerInfo { digest: digest.to_string(), diff_id: diff_id.to_string(), size_bytes }
}

/// `docker save` names parts by their digest, `<hex>.json` or `blobs/sha256/<hex>`; it must be true.
fn check_name(label: &str, part: &str, actual: &Digest) -> Result<(), Error> {
    let last = part.rsplit('/').next().unwrap_or(part);
    match Digest::from_hex(last.strip_suffix(".json").unwrap_or(last)) {
        Some(expected) if expected != *actual => Err(Error::DigestMismatch {
            what: label.into(),
            expected: expected.to_string(),
            actual: actual.to_string(),
        }),
        _ => Ok(()),
    }
}

/// A document, its length and digest checked.
fn verified(source: &dyn Source, descriptor: &Descriptor) -> Result<(String, Vec<u8>), Error> {
    let digest = Digest::parse(&descriptor.digest)?;
    let part = blob_name(&digest);
    let label = source.label(&part);
    if descriptor.size > document::LIMIT_BYTES {
        return Err(Error::TooLarge { what: label, limit_bytes: document::LIMIT_BYTES });
    }
    let is_manifest = descriptor.is_index() || descriptor.is_manifest();
    let opened = if is_manifest { source.open_manifest(&part)? } else { source.open(&part)? };
    if let Some(length) = opened.1 {
        check_size(&label, descriptor.size, length)?;
    }
    let bytes = bounded(opened, &label)?;
    check_size(&label, descriptor.size, bytes.len() as u64)?;
    check_digest(&label, &digest, &Digest::of(&bytes))?;
    Ok((label, bytes))
}

pub(crate) fn bounded((reader, _): Part<'_>, label: &str) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let read = reader.take(document::LIMIT_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|why| Error::malformed(label, why))?;
    if bytes.len() as u64 > document::LIMIT_BYTES {
        return Err(Error::TooLarge { what: label.into(), limit_bytes: document::LIMIT_BYTES });
    }
    Ok(bytes)
}

fn check_size(label: &str, expected: u64, actual: u64) -> Result<(), Error> {
    if expected == actual {
        return Ok(());
    }
    Err(Error::SizeMismatch { what: label.into(), expected, actual })
}

fn check_digest(label: &str, expected: &Digest, actual: &Digest) -> Result<(), Error> {
    if expected == actual {
        return Ok(());
    }
    Err(Error::DigestMismatch {
        what: label.into(),
        expected: expected.to_string(),
        actual: actual.to_string(),
    })
}

fn keep_bytes(store: &Store, bytes: &[u8]) -> Result<(), Error> {
    keep(store, (Box::new(bytes), None), "document", None).map(drop)
}

/// Copies a part into the store under its digest, checking it on the way.
pub(crate) fn keep(
    store: &Store,
    (reader, length): Part<'_>,
    label: &str,
    expected: Option<(&Digest, u64)>,
) -> Result<(Digest, u64), Error> {
    let mut limit_bytes = store.limit_bytes;
    if let Some((_, size)) = expected {
        if let Some(length) = length {
            check_size(label, size, length)?;
        }
        limit_bytes = size;
    }
    let temporary = store.temporary();
    let mut file = temporary.create()?;
    let mut reader = Hashing::new(reader, limit_bytes);
    let copied = io::copy(&mut reader, &mut file);
    if reader.exceeded() {
        return Err(Error::TooLarge { what: label.into(), limit_bytes });
    }
    copied.map_err(Error::io("copy into the store", &temporary.path))?;
    let (size, digest) = reader.finish();
    if let Some((expected, expected_size)) = expected {
        check_size(label, expected_size, size)?;
        check_digest(label, expected, &digest)?;
    }
    let path = store.blob(&digest);
    if fs::symlink_metadata(&path).is_ok_and(|found| found.len() == size) {
        return Ok((digest, size));
    }
    file.rewind().map_err(Error::io("rewind", &temporary.path))?;
    temporary.publish(&file, &path)?;
    Ok((digest, size))
}
