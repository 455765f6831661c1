//! What the workload comes in: images are brought into a [`Store`], verified and unpacked once,
//! and every backend gets the same files from there.
//!
//! The way in: [`Image::resolve`] (`resolve`) finds out what a reference is, `source` reads its
//! parts from a folder or an archive, `document` the JSON in it, `import` verifies it into the
//! `store`, `layer` applies each layer (`member` reads the tar, `name` its names) to a `tree`.
//! `bundle` says what a runtime is told of an image, `unbundle` writes it down and reads it back.

mod aci;
mod adopt;
mod attribute;
mod builtin;
mod bundle;
mod compose;
mod debian;
mod decompress;
mod digest;
mod discard;
mod document;
mod error;
mod export;
#[cfg(fuzzing)]
pub mod fuzz;
mod import;
mod inspect;
mod layer;
mod member;
mod name;
mod pack;
mod refusal;
mod registry;
mod remove;
mod resolve;
mod source;
mod store;
mod temporary;
mod tree;
mod unbundle;
mod unpack;
mod user;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use bundle::{BundleOptions, bundle_config};
pub use debian::{BuildOptions, VARIANTS};
pub use digest::Digest;
pub use error::Error;
pub(crate) use error::is_full;
pub use export::Format;
pub use inspect::inspect;
pub use store::{Lease, Listed, Removed, Store};
pub use tree::Devices;
pub use unbundle::differences;

/// An image, unpacked and ready to be used by every backend.
#[derive(Clone, Debug)]
pub struct Image {
    /// What it was asked for as.
    pub reference: String,
    /// `sha256:…` over its content: of its manifest or, where it has none, its configuration.
    pub digest: String,
    /// Its files; never written to. `None` for the built-in image, which is the guest program
    /// in otherwise empty folders.
    pub rootfs: Option<PathBuf>,
    /// Entrypoint and command.
    pub command: Vec<String>,
    /// `NAME=value`.
    pub environment: Vec<String>,
    /// Where the command starts.
    pub working_directory: String,
    /// Who it runs as, as the image says it (`user`, `uid`, `user:group`); empty for root.
    pub user: String,
    /// `sha256:…` of its configuration.
    pub config_digest: String,
    /// Its layers, lowest first.
    pub layers: Vec<LayerInfo>,
    /// What else its configuration says.
    pub details: Details,
    /// Keeps its files from being removed while it is used; none for the built-in image.
    pub lease: Option<Lease>,
}

/// The rest of an image's configuration (OCI image specification, config.md).
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Details {
    /// The part of the command that arguments do not replace.
    pub entrypoint: Vec<String>,
    /// `PORT/PROTOCOL`.
    pub exposed_ports: Vec<String>,
    /// Folders meant for data.
    pub volumes: Vec<String>,
    /// Free text by name.
    pub labels: BTreeMap<String, String>,
    /// The signal that asks its command to end.
    pub stop_signal: Option<String>,
    /// Operating system, in the names Go uses.
    pub os: String,
    /// Processor, in the names Go uses.
    pub architecture: String,
    /// Who made it.
    pub author: Option<String>,
    /// When it was made (RFC 3339).
    pub created: Option<String>,
}

/// One layer of an image.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LayerInfo {
    /// `sha256:…` as it was delivered, compressed or not.
    pub digest: String,
    /// `sha256:…` of its uncompressed content.
    pub diff_id: String,
    /// Bytes as it was delivered.
    pub size_bytes: u64,
}

impl Image {
    /// The built-in image: nothing but the guest program, without files of its own (see
    /// [`Image::with_files`]).
    pub fn builtin() -> Image {
        builtin::image()
    }

    /// The image with a root file system; only the built-in one comes without.
    ///
    /// # Errors
    /// What the system said while it was brought into the store.
    pub fn with_files(&self, store: &Store) -> Result<Image, Error> {
        if self.rootfs.is_some() {
            return Ok(self.clone());
        }
        let _nothing_is_removed_now = store.lock_shared()?;
        resolve::ready(&self.reference, builtin::bring_in(store)?, store)
    }
}
