//! Bundles on disk: made of an image, and made an image again.
//!
//! A bundle says what a container is to run, not what it was made of (OCI runtime specification,
//! config.md): what an image has beyond that is gone when it comes back. [`differences`] names it.

use std::fs::{self, File};
use std::io::{BufWriter, Seek};
use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::Spec;
use serde_json::{Map, Value, json};

use super::digest::{Digest, Summing};
use super::document::{self, Platform};
use super::layer::Layer;
use super::store::{Listed, Store};
use super::tree::Tree;
use super::{BundleOptions, Error, Image, bundle_config, import, pack};

/// Of a bundle.
pub(super) const CONFIG: &str = "config.json";
/// Where bundles made here have their files.
const ROOTFS: &str = "rootfs";
/// What annotations that are fields of an image's configuration begin with (conversion.md).
const FIELD: &str = "org.opencontainers.image.";
/// For images without a command, which a bundle must have.
const SHELL: &str = "/bin/sh";

impl Image {
    /// Writes a bundle with files of its own into the folder `bundle`, which is made.
    ///
    /// # Errors
    /// As [`bundle_config`], or what the system said.
    pub fn write_bundle(&self, store: &Store, bundle: &Path) -> Result<(), Error> {
        let arguments = self.command.is_empty().then(|| vec![SHELL.to_owned()]);
        let options = BundleOptions { rootfs: Some(ROOTFS.into()), arguments, ..BundleOptions::default() };
        let config = bundle_config(self, &options)?;
        let from = self.rootfs.as_ref().ok_or_else(|| Error::malformed(&self.reference, "has no files"))?;
        let (rootfs, trash) = (bundle.join(ROOTFS), bundle.join(".trash"));
        for folder in [bundle, &rootfs, &trash] {
            fs::create_dir(folder).map_err(Error::io("make folder", folder))?;
        }
        let (layer, diff_id, _) = packed(from, store)?;
        let mut tree = Tree::open(&rootfs, &trash, store.devices).map_err(Error::io("open", &rootfs))?;
        let layer = Layer { label: rootfs.display().to_string(), blob: &layer, diff_id: &diff_id };
        let mut budget_bytes = store.limit_bytes;
        layer.apply(&mut tree, true, &mut budget_bytes)?;
        tree.finish().map_err(|refusal| Error::malformed(rootfs.display().to_string(), refusal.why))?;
        fs::remove_dir_all(&trash).map_err(Error::io("remove", &trash))?;
        let path = bundle.join(CONFIG);
        let text = serde_json::to_string_pretty(&config).map_err(|error| Error::malformed(CONFIG, error))?;
        fs::write(&path, text).map_err(Error::io("write", &path))
    }
}

/// The files of `folder` as one layer: its uncompressed tar, of which the name is gone, digest and length.
fn packed(folder: &Path, store: &Store) -> Result<(File, Digest, u64), Error> {
    let (size_bytes, diff_id) = sum(folder)?;
    let temporary = store.temporary();
    let mut layer = temporary.create()?;
    pack::pack(folder, BufWriter::with_capacity(256 << 10, &layer))?;
    layer.rewind().map_err(Error::io("read", &temporary.path))?;
    Ok((layer, diff_id, size_bytes))
}

fn sum(folder: &Path) -> Result<(u64, Digest), Error> {
    let mut summing = Summing::new();
    pack::pack(folder, &mut summing)?;
    Ok(summing.finish())
}

/// The image of the bundle at `path`: its files as one layer, and of its configuration what an image's
/// can say.
///
/// # Errors
/// A configuration that is none, files outside of the bundle, or what the system said.
pub(super) fn bring_in(store: &Store, path: &Path) -> Result<Listed, Error> {
    let config_path = path.join(CONFIG);
    let opened = File::open(&config_path).map_err(Error::io("open", &config_path))?;
    let length = opened.metadata().map_err(Error::io("read", &config_path))?.len();
    let what = config_path.display().to_string();
    let bytes = import::bounded((Box::new(opened), Some(length)), &what)?;
    let spec: Spec = document::read(&what, &bytes)?;
    let rootfs = root_of(&spec, path)?;
    let (layer, diff_id, size_bytes) = packed(&rootfs, store)?;
    let (kept, kept_bytes) =
        import::keep(store, (Box::new(layer), Some(size_bytes)), &rootfs.display().to_string(), None)?;
    let layers = vec![import::info(&kept, &kept, kept_bytes)];
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let config = image_config(&spec, &diff_id).to_string().into_bytes();
    import::composed(store, name.into_iter().collect(), &config, &[diff_id], layers)
}

/// The folder of a bundle's files. A bundle that came from elsewhere must not choose among the host's.
fn root_of(spec: &Spec, bundle: &Path) -> Result<PathBuf, Error> {
    let root = spec.root().as_ref().map(|root| root.path().clone()).unwrap_or_default();
    let below = root.strip_prefix(bundle).unwrap_or(&root);
    let is_inside = below.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
        && below.components().any(|part| matches!(part, Component::Normal(_)));
    let mut path = bundle.to_owned();
    let mut is_plain = is_inside;
    for part in below.components() {
        path.push(part);
        is_plain = is_plain && fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
    }
    if is_plain {
        return Ok(path);
    }
    let why = format!("its files are at {}, which is no folder inside of it", root.display());
    Err(Error::NotAnImage { path: bundle.into(), why })
}

/// conversion.md read backwards.
fn image_config(spec: &Spec, diff_id: &Digest) -> Value {
    let spec = serde_json::to_value(spec).unwrap_or_default();
    let process = &spec["process"];
    let empty = Map::new();
    let annotations = spec["annotations"].as_object().unwrap_or(&empty);
    let field = |name: &str| annotations.get(&format!("{FIELD}{name}")).and_then(Value::as_str);
    let fields = ["os", "architecture", "author", "created", "stopSignal", "exposedPorts"];
    let is_field = |name: &String| name.strip_prefix(FIELD).is_some_and(|name| fields.contains(&name));
    let labels: Map<String, Value> = annotations
        .iter()
        .filter(|(name, _)| !is_field(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let (uid, gid) = (process["user"]["uid"].as_u64(), process["user"]["gid"].as_u64());
    let mut execution = Map::new();
    let mut set = |name: &str, value: Value| drop(execution.insert(name.to_owned(), value));
    set("Cmd", process["args"].clone());
    set("Env", process["env"].clone());
    set("WorkingDir", process["cwd"].clone());
    if let (Some(uid), Some(gid)) = (uid, gid)
        && (uid, gid) != (0, 0)
    {
        set("User", format!("{uid}:{gid}").into());
    }
    if !labels.is_empty() {
        set("Labels", labels.into());
    }
    if let Some(signal) = field("stopSignal") {
        set("StopSignal", signal.into());
    }
    if let Some(ports) = field("exposedPorts") {
        let ports = ports.split(',').map(|port| (port.to_owned(), json!({})));
        set("ExposedPorts", ports.collect::<Map<_, _>>().into());
    }
    let host = Platform::host();
    let mut config = json!({
        "os": field("os").unwrap_or(&host.os),
        "architecture": field("architecture").unwrap_or(&host.architecture),
        "config": execution,
        "rootfs": { "type": "layers", "diff_ids": [diff_id.to_string()] },
    });
    for name in ["author", "created"] {
        if let Some(value) = field(name) {
            config[name] = value.into();
        }
    }
    config
}

/// In what an image that came back differs from what it was; nothing where their digests are equal.
/// The first says whether the files do, compared as the bytes of one layer.
///
/// # Errors
/// Files that cannot be read.
pub fn differences(before: &Image, after: &Image) -> Result<Vec<String>, Error> {
    if before.digest == after.digest {
        return Ok(Vec::new());
    }
    let files = |image: &Image| match &image.rootfs {
        Some(rootfs) => sum(rootfs).map(|(bytes, digest)| (digest.to_string(), bytes)),
        None => Err(Error::malformed(&image.reference, "has no files")),
    };
    let (was, is) = (files(before)?, files(after)?);
    let mut found = vec![if was == is {
        format!("the files are the same ({} bytes as a layer, {})", was.1, was.0)
    } else {
        format!("the files differ: as a layer {} bytes, {} were {}, {}", is.1, is.0, was.1, was.0)
    }];
    if before.layers.len() != after.layers.len() {
        found.push(format!("{} layers are {}", before.layers.len(), after.layers.len()));
    } else if before.layers != after.layers {
        found.push("its layers are other archives of the files".into());
    }
    let mut compare = |what: &str, was: String, is: String| {
        if was != is {
            found.push(format!("{what} was {was} and is {is}"));
        }
    };
    let list = |words: &[String]| format!("{words:?}");
    compare("command", list(&before.command), list(&after.command));
    let (was, is) = (&before.details, &after.details);
    compare("entrypoint", list(&was.entrypoint), list(&is.entrypoint));
    compare("environment", list(&before.environment), list(&after.environment));
    compare("working directory", before.working_directory.clone(), after.working_directory.clone());
    compare("user", format!("{:?}", before.user), format!("{:?}", after.user));
    compare("ports", list(&was.exposed_ports), list(&is.exposed_ports));
    compare("volumes", list(&was.volumes), list(&is.volumes));
    compare("labels", format!("{:?}", was.labels), format!("{:?}", is.labels));
    compare("stop signal", format!("{:?}", was.stop_signal), format!("{:?}", is.stop_signal));
    compare("author", format!("{:?}", was.author), format!("{:?}", is.author));
    compare("date", format!("{:?}", was.created), format!("{:?}", is.created));
    compare("platform", format!("{}/{}", was.os, was.architecture), format!("{}/{}", is.os, is.architecture));
    if found.len() == 1 {
        found.push("its configuration says the same in other bytes".into());
    }
    Ok(found)
}
