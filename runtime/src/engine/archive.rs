//! The image as an archive an engine loads, without a registry.
//!
//! The built-in image becomes one layer with the guest program and the folders it needs; an image of
//! the store is handed on as it came. Both are what `docker save` writes (image specification 1.2).

use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::image::{Format, Image, Store};
use crate::{Error, RunContext};

/// Where the guest program is in the built-in image.
pub(super) const PROGRAM: &str = "/.bench/guest";
/// Name of the built-in image in an engine, without its tag.
const NAME: &str = "bench.local/builtin";

/// Name of the image that keeps a pod's namespaces, for engines that are told so.
const PAUSE: &str = "bench.local/pause:1";

/// An archive, and what the engine knows the image in it as.
pub(super) struct Archive {
    pub(super) file: File,
    /// `sha256:…` of its configuration, which is its id to engines.
    pub(super) id: String,
}

/// The archive of `image`; the built-in one also as [`PAUSE`] where `for_pods`.
///
/// # Errors
/// Where it cannot be written, or the image not be read.
pub(super) fn of(context: &RunContext, image: &Image, for_pods: bool) -> Result<Archive, Error> {
    let path = context.state_dir.join(format!("image-{}.tar", std::process::id()));
    let written =
        if image.rootfs.is_none() { builtin(&path, for_pods) } else { stored(context, image, &path) };
    // The open file is enough.
    let _ = std::fs::remove_file(&path);
    written
}

fn stored(context: &RunContext, image: &Image, path: &Path) -> Result<Archive, Error> {
    let cannot = |error: crate::image::Error| Error::Invalid(format!("cannot hand the image on: {error}"));
    let store = Store::open(&context.cache_dir.join("images")).map_err(cannot)?;
    let mut file = create(path)?;
    store.export(image, Format::Docker, &mut file).map_err(cannot)?;
    file.rewind().map_err(Error::system("read an archive"))?;
    Ok(Archive { file, id: image.config_digest.clone() })
}

fn create(path: &Path) -> Result<File, Error> {
    let opened = File::options().read(true).write(true).create_new(true).open(path);
    opened.map_err(Error::system(format!("create {}", path.display())))
}

fn builtin(path: &Path, for_pods: bool) -> Result<Archive, Error> {
    let cannot = |error: std::io::Error| Error::system(format!("write {}", path.display()))(error);
    let layer = layer().map_err(cannot)?;
    let digest = |bytes: &[u8]| format!("{:x}", Sha256::digest(bytes));
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        // By itself it waits, so that it can also be the sandbox of a pod.
        "config": { "Entrypoint": [PROGRAM, "fd:1", r#"{"workload":"ready"}"#], "Env": ["PATH=/"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", digest(&layer))] },
        "history": [{ "created": "1970-01-01T00:00:00Z", "created_by": "bench" }],
    })
    .to_string();
    let id = digest(config.as_bytes());
    let mut names = vec![format!("{NAME}:{}", &id[..12])];
    names.extend(for_pods.then(|| PAUSE.to_owned()));
    let manifest: Value =
        json!([{ "Config": format!("{id}.json"), "RepoTags": names, "Layers": ["layer.tar"] }]);
    let mut file = create(path)?;
    let mut tar = tar::Builder::new(&mut file);
    let parts = [
        (format!("{id}.json"), config.into_bytes()),
        ("layer.tar".to_owned(), layer),
        ("manifest.json".to_owned(), manifest.to_string().into_bytes()),
    ];
    for (name, bytes) in parts {
        append(&mut tar, &name, tar::EntryType::Regular, &bytes).map_err(cannot)?;
    }
    tar.into_inner().map_err(cannot)?.flush().map_err(cannot)?;
    file.rewind().map_err(cannot)?;
    Ok(Archive { file, id: format!("sha256:{id}") })
}

fn layer() -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for folder in ["dev/", "etc/", "proc/", "sys/", "tmp/", ".bench/", ".bench/run/"] {
        append(&mut tar, folder, tar::EntryType::Directory, &[])?;
    }
    append(&mut tar, PROGRAM.trim_start_matches('/'), tar::EntryType::Regular, crate::guest_program_bytes())?;
    tar.into_inner()
}

/// Always the same bytes for the same content.
fn append(
    tar: &mut tar::Builder<impl Write>,
    name: &str,
    kind: tar::EntryType,
    bytes: &[u8],
) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, name, bytes)
}
