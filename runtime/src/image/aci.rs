//! App Container Images (App Container specification 0.8.11, spec/aci.md): a tar with `manifest`
//! and `rootfs/`, which becomes an OCI image of one layer upon those of its dependencies.
//!
//! Limits (`isolators`) are left out: those are a run's to set, and an OCI image has no place for
//! them. What would change how the app runs and has no place there is refused by name.

use std::io::{self, Seek};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha512};

use super::digest::Digest;
use super::document::{self, Platform};
use super::source::{Archive, Source};
use super::store::{Listed, Store};
use super::{Error, LayerInfo, import};

mod layer;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    ac_kind: String,
    name: String,
    #[serde(default)]
    labels: Vec<Pair>,
    #[serde(default)]
    app: Option<App>,
    #[serde(default)]
    dependencies: Vec<Dependency>,
    #[serde(default)]
    path_whitelist: Vec<String>,
    #[serde(default)]
    annotations: Vec<Pair>,
}

#[derive(Deserialize)]
struct Pair {
    name: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct App {
    exec: Vec<String>,
    user: String,
    group: String,
    #[serde(default, rename = "supplementaryGIDs")]
    supplementary_gids: Vec<u32>,
    #[serde(default)]
    event_handlers: Vec<Value>,
    #[serde(default)]
    working_directory: Option<String>,
    #[serde(default)]
    environment: Vec<Pair>,
    #[serde(default)]
    mount_points: Vec<MountPoint>,
    #[serde(default)]
    ports: Vec<Port>,
}

#[derive(Deserialize)]
struct MountPoint {
    path: String,
}

#[derive(Deserialize)]
struct Port {
    protocol: String,
    port: u16,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    image_name: String,
    #[serde(default, rename = "imageID")]
    image_id: Option<String>,
    #[serde(default)]
    labels: Vec<Pair>,
}

/// Brings in the image of an uncompressed archive.
///
/// # Errors
/// What is broken, not supported or not in the store, or what the system said.
pub(crate) fn bring_in(store: &Store, archive: &Archive, path: &Path) -> Result<Listed, Error> {
    let what = archive.label("manifest");
    let bytes = import::bounded(archive.open("manifest")?, &what)?;
    let manifest: Manifest = document::read(&what, &bytes)?;
    manifest.check(&what)?;
    let mut layers = Vec::new();
    for dependency in &manifest.dependencies {
        let Some(found) = dependency.find(store)? else {
            let why = format!(
                "depends on {}, which is not in the store: bring that in first, under that name",
                dependency.described()
            );
            return Err(Error::malformed(what, why));
        };
        layers.extend(found.layers);
    }
    layers.push(own_layer(store, archive)?);
    let ids: Result<Vec<Digest>, Error> = layers.iter().map(|layer| Digest::parse(&layer.diff_id)).collect();
    let ids = ids?;
    let config = manifest.config(&what, &ids)?.to_string().into_bytes();
    let mut names = vec![manifest.name.clone()];
    names.extend(manifest.label("version").map(|version| format!("{}:{version}", manifest.name)));
    let listed = import::composed(store, names, &config, &ids, layers)?;
    store.write(&known_as(store, &id_of(archive, path)?), listed.digest.as_bytes())?;
    Ok(listed)
}

/// Its files as a layer of their own.
fn own_layer(store: &Store, archive: &Archive) -> Result<LayerInfo, Error> {
    let temporary = store.temporary();
    let mut file = temporary.create()?;
    layer::write(archive, io::BufWriter::with_capacity(256 << 10, &file))?;
    file.rewind().map_err(Error::io("read", &temporary.path))?;
    let label = archive.label("rootfs");
    let (digest, size_bytes) = import::keep(store, (Box::new(file), None), &label, None)?;
    Ok(import::info(&digest, &digest, size_bytes))
}

/// "The image ID is the hash of the uncompressed tar" (aci.md).
fn id_of(archive: &Archive, path: &Path) -> Result<String, Error> {
    let mut file = archive.whole().map_err(Error::io("read", path))?;
    let mut hash = Sha512::new();
    io::copy(&mut file, &mut hash).map_err(Error::io("read", path))?;
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("sha512-{hex}"))
}

fn known_as(store: &Store, id: &str) -> std::path::PathBuf {
    store.source(&Digest::of(id.as_bytes()))
}

impl Dependency {
    fn find(&self, store: &Store) -> Result<Option<Listed>, Error> {
        let Some(id) = &self.image_id else { return store.find(&self.described()) };
        match std::fs::read_to_string(known_as(store, id)) {
            Ok(digest) => store.find(&digest),
            Err(_) => Ok(None),
        }
    }

    fn described(&self) -> String {
        match self.labels.iter().find(|label| label.name == "version") {
            Some(version) => format!("{}:{}", self.image_name, version.value),
            None => self.image_name.clone(),
        }
    }
}

impl Manifest {
    /// Refuses what cannot be kept.
    fn check(&self, what: &str) -> Result<(), Error> {
        let refuse = |why: String| Err(Error::malformed(what, why));
        if self.ac_kind != "ImageManifest" {
            return refuse(format!("acKind is {:?}, not \"ImageManifest\"", self.ac_kind));
        }
        if !self.path_whitelist.is_empty() {
            return refuse("pathWhitelist is not supported".into());
        }
        let Some(app) = &self.app else { return Ok(()) };
        if !app.event_handlers.is_empty() {
            return refuse("app.eventHandlers is not supported: they would not be run".into());
        }
        if !app.supplementary_gids.is_empty() {
            return refuse("app.supplementaryGIDs is not supported: an OCI image cannot say them".into());
        }
        for (field, name) in [("user", &app.user), ("group", &app.group)] {
            if name.starts_with('/') {
                return refuse(format!("app.{field} is the owner of {name:?}, which is not supported"));
            }
        }
        Ok(())
    }

    fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|label| label.name == name).map(|label| label.value.as_str())
    }

    fn config(&self, what: &str, diff_ids: &[Digest]) -> Result<Value, Error> {
        let host = Platform::host();
        let platform = Platform {
            os: self.label("os").unwrap_or(&host.os).to_owned(),
            architecture: go_name(self.label("arch").unwrap_or(&host.architecture)).to_owned(),
        };
        if !platform.matches(&host) {
            let (wanted, offered) = (host.to_string(), platform.to_string());
            return Err(Error::NoPlatform { what: what.into(), wanted, offered });
        }
        let mut config = json!({
            "architecture": platform.architecture,
            "os": platform.os,
            "config": self.app.as_ref().map(App::execution).unwrap_or_else(|| json!({})),
            "rootfs": {
                "type": "layers",
                "diff_ids": diff_ids.iter().map(Digest::to_string).collect::<Vec<_>>(),
            },
        });
        let mut labels = Map::new();
        for Pair { name, value } in &self.annotations {
            match name.as_str() {
                "created" => config["created"] = json!(value),
                "authors" => config["author"] = json!(value),
                _ => drop(labels.insert(name.clone(), json!(value))),
            }
        }
        if !labels.is_empty() {
            config["config"]["Labels"] = Value::Object(labels);
        }
        Ok(config)
    }
}

impl App {
    fn execution(&self) -> Value {
        let set = |names: Vec<String>| names.into_iter().map(|name| (name, json!({}))).collect::<Map<_, _>>();
        let ports = self.ports.iter().map(|port| format!("{}/{}", port.port, port.protocol)).collect();
        let volumes = self.mount_points.iter().map(|point| point.path.clone()).collect();
        let environment: Vec<String> =
            self.environment.iter().map(|pair| format!("{}={}", pair.name, pair.value)).collect();
        json!({
            "Entrypoint": self.exec,
            "Env": environment,
            "User": format!("{}:{}", self.user, self.group),
            "WorkingDir": self.working_directory.as_deref().unwrap_or("/"),
            "ExposedPorts": set(ports),
            "Volumes": set(volumes),
        })
    }
}

/// The specification's names of architectures that Go has others for.
fn go_name(architecture: &str) -> &str {
    match architecture {
        "i386" => "386",
        "aarch64" => "arm64",
        "armv6l" | "armv7l" => "arm",
        other => other,
    }
}
