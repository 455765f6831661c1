//! The JSON documents of an image, as far as they are needed (OCI image specification: index.md,
//! manifest.md, config.md; `docker save`'s manifest.json). Unknown fields are ignored, as it asks.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::Error;
use super::digest::Digest;

/// The specification asks registries to take manifests of 4 MiB; nothing real comes near.
pub(crate) const LIMIT_BYTES: u64 = 8 << 20;
/// Where a layout gives an image its tag.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
pub(crate) const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
pub(crate) const MANIFESTS: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: String,
    pub(crate) size: u64,
    #[serde(default)]
    pub(crate) platform: Option<Platform>,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Descriptor {
    pub(crate) fn is_index(&self) -> bool {
        INDEXES.contains(&self.media_type.as_str())
    }

    pub(crate) fn is_manifest(&self) -> bool {
        MANIFESTS.contains(&self.media_type.as_str())
    }

    pub(crate) fn is_config(&self) -> bool {
        CONFIGS.contains(&self.media_type.as_str())
    }

    /// tar, tar+gzip or tar+zstd, of either vendor, not encrypted.
    pub(crate) fn is_layer(&self) -> bool {
        let layer = self.media_type.contains(".image.layer.") || self.media_type.contains(".image.rootfs.");
        layer && self.media_type.contains("tar") && !self.media_type.contains("encrypted")
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Platform {
    #[serde(default)]
    pub(crate) os: String,
    #[serde(default)]
    pub(crate) architecture: String,
}

impl Platform {
    /// This machine, in the names Go uses.
    pub(crate) fn host() -> Platform {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "x86" => "386",
            "aarch64" => "arm64",
            "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
            "powerpc64" => "ppc64",
            "loongarch64" => "loong64",
            other => other,
        };
        Platform { os: "linux".into(), architecture: architecture.into() }
    }

    pub(crate) fn matches(&self, other: &Platform) -> bool {
        self.os == other.os && self.architecture == other.architecture
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub(crate) schema_version: u32,
    pub(crate) manifests: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

/// One image of a `docker save` archive.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Saved {
    pub(crate) config: String,
    #[serde(default)]
    pub(crate) repo_tags: Option<Vec<String>>,
    pub(crate) layers: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Config {
    #[serde(default)]
    pub(crate) os: String,
    #[serde(default)]
    pub(crate) architecture: String,
    #[serde(default)]
    pub(crate) author: Option<String>,
    #[serde(default)]
    pub(crate) created: Option<String>,
    #[serde(default)]
    pub(crate) config: Option<Execution>,
    pub(crate) rootfs: Rootfs,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Rootfs {
    #[serde(rename = "type")]
    kind: String,
    diff_ids: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Execution {
    pub(crate) entrypoint: Option<Vec<String>>,
    pub(crate) cmd: Option<Vec<String>>,
    pub(crate) env: Option<Vec<String>>,
    pub(crate) working_dir: Option<String>,
    pub(crate) user: Option<String>,
    /// Sets in JSON: objects whose values say nothing.
    pub(crate) exposed_ports: Option<BTreeMap<String, IgnoredAny>>,
    pub(crate) volumes: Option<BTreeMap<String, IgnoredAny>>,
    pub(crate) labels: Option<BTreeMap<String, String>>,
    pub(crate) stop_signal: Option<String>,
}

impl Config {
    /// What its layers must hash to; `layers` is how many the manifest has.
    pub(crate) fn diff_ids(&self, what: &str, layers: usize) -> Result<Vec<Digest>, Error> {
        if self.rootfs.kind != "layers" {
            return Err(Error::malformed(
                what,
                format!("rootfs.type is {:?}, not \"layers\"", self.rootfs.kind),
            ));
        }
        if self.rootfs.diff_ids.len() != layers || layers == 0 {
            let count = self.rootfs.diff_ids.len();
            return Err(Error::malformed(
                what,
                format!("has {count} rootfs.diff_ids where the manifest has {layers} layers"),
            ));
        }
        self.rootfs.diff_ids.iter().map(|digest| Digest::parse(digest)).collect()
    }

    pub(crate) fn platform(&self) -> Platform {
        Platform { os: self.os.clone(), architecture: self.architecture.clone() }
    }

    /// Refuses an image for another machine.
    pub(crate) fn check_platform(&self, what: &str) -> Result<(), Error> {
        let (wanted, offered) = (Platform::host(), self.platform());
        if offered.matches(&wanted) {
            return Ok(());
        }
        Err(Error::NoPlatform { what: what.into(), wanted: wanted.to_string(), offered: offered.to_string() })
    }
}

/// Reads a document.
///
/// # Errors
/// Where it is not the JSON expected.
pub(crate) fn read<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::malformed(what, error))
}
