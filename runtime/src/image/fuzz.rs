//! What the fuzz targets call (`fuzz/`); compiled for them alone.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use super::digest::Digest;
use super::document::{Config, Descriptor, Index, Manifest, Saved};
use super::layer::Layer;
use super::source::{Archive, Memory, Source};
use super::tree::{Devices, Tree};
use super::{Store, compose, decompress, discard, document, import, resolve};

const LIMIT_BYTES: u64 = 1 << 20;
const BLOCK_BYTES: usize = 512;

/// Applies `data` as up to three layers below a folder with a canary beside it.
///
/// The first byte says whether header checksums are put right (otherwise hardly anything would get
/// past them), the next two where the layers end, in blocks.
///
/// # Panics
/// Where the canary was touched.
pub fn layers(data: &[u8]) {
    let [how, first, second, rest @ ..] = data else { return };
    let cut = |at: &u8| rest.len().min(usize::from(*at) * BLOCK_BYTES);
    let (one, two) = (cut(first).min(cut(second)), cut(first).max(cut(second)));
    let layers = [&rest[..one], &rest[one..two], &rest[two..]];
    let outer = scratch();
    fs::write(outer.join("canary"), "untouched").expect("canary");
    let (root, trash) = (outer.join("root"), outer.join("trash"));
    fs::create_dir(&root).and_then(|()| fs::create_dir(&trash)).expect("folders");
    let mut tree = Tree::open(&root, &trash, Devices::Refuse).expect("tree");
    let mut budget = LIMIT_BYTES;
    let mut is_whole = true;
    for (position, layer) in layers.into_iter().filter(|layer| !layer.is_empty()).enumerate() {
        let mut layer = layer.to_vec();
        if how & 1 == 0 {
            put_checksums_right(&mut layer);
        }
        let path = outer.join("layer");
        fs::write(&path, &layer).expect("layer");
        let mut plain = Vec::new();
        if let Ok(reader) = decompress::open(layer.as_slice()) {
            // What is broken is met again when it is applied.
            let _ = reader.take(LIMIT_BYTES).read_to_end(&mut plain);
        }
        let (blob, diff_id) = (fs::File::open(&path).expect("layer"), Digest::of(&plain));
        let layer = Layer { label: "layer".into(), blob: &blob, diff_id: &diff_id };
        if layer.apply(&mut tree, position == 0, &mut budget).is_err() {
            is_whole = false;
            break;
        }
    }
    if is_whole {
        let _ = tree.finish();
    }
    let mut names: Vec<_> =
        fs::read_dir(&outer).expect("list").map(|entry| entry.expect("entry").file_name()).collect();
    names.retain(|name| name != "layer");
    names.sort();
    assert_eq!(names, ["canary", "root", "trash"], "something is beside the root");
    assert_eq!(fs::read(outer.join("canary")).expect("canary"), b"untouched", "the canary was touched");
    assert!(fs::symlink_metadata(&root).expect("root").is_dir(), "the root was replaced");
    remove(&outer);
}

/// Reads `data` as every document there is, as a configuration of an image, and as an archive.
pub fn documents(data: &[u8]) {
    let text = "fuzz";
    if let Ok(index) = document::read::<Index>(text, data) {
        index.manifests.iter().for_each(look_at);
    }
    if let Ok(manifest) = document::read::<Manifest>(text, data) {
        manifest.layers.iter().chain([&manifest.config]).for_each(look_at);
    }
    let _ = document::read::<Vec<Saved>>(text, data);
    if let Ok(config) = document::read::<Config>(text, data) {
        let _ = config.diff_ids(text, data.len() % 4);
        let _ = config.check_platform(text);
    }
    let outer = scratch();
    {
        let store = Store::open(&outer.join("store")).expect("store").with_limit_bytes(LIMIT_BYTES);
        // Configuration and layer of an image whose manifest fits them.
        let (config, layer) = data.split_at(data.iter().position(|byte| *byte == 0).unwrap_or(data.len()));
        let described = compose::Layer {
            digest: Digest::of(layer),
            size_bytes: layer.len() as u64,
            compression: decompress::Compression::of(layer),
        };
        let manifest = compose::manifest(config, &[described]);
        let part = |bytes: &[u8]| (compose::blob_name(&Digest::of(bytes)), bytes.to_vec());
        let index = ("index.json".to_owned(), compose::index(&manifest, Some(text)));
        let parts = HashMap::from([part(config), part(layer), part(&manifest.bytes), index]);
        if let Ok(listed) = import::layout(&store, &Memory::new(text, parts), None) {
            let _ = resolve::ready(text, listed, &store);
        }
        // An index of the stranger's own.
        let parts = HashMap::from([("index.json".to_owned(), data.to_vec()), part(data)]);
        let _ = import::layout(&store, &Memory::new(text, parts), None);
        let mut archive = data.to_vec();
        put_checksums_right(&mut archive);
        let path = outer.join("archive");
        fs::write(&path, &archive).expect("archive");
        if let Ok(archive) = Archive::open(&path, fs::File::open(&path).expect("archive")) {
            let _ = archive.has("manifest.json");
        }
        let _ = super::Image::resolve(&path.to_string_lossy(), &store);
    }
    remove(&outer);
}

fn look_at(descriptor: &Descriptor) {
    let _ = (descriptor.is_index(), descriptor.is_layer(), Digest::parse(&descriptor.digest));
}

/// Every block gets the checksum a header would have, except the empty ones.
fn put_checksums_right(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(BLOCK_BYTES) {
        if block.iter().any(|byte| *byte != 0) {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

fn scratch() -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("bench-fuzz-{}", std::process::id()));
    remove(&path);
    fs::create_dir(&path).expect("scratch folder");
    path
}

fn remove(path: &Path) {
    let (folder, name) = (path.parent().expect("folder"), path.file_name().expect("name"));
    discard::discard(folder, name.as_encoded_bytes()).expect("removed");
}
