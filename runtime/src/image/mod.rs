//! What the workload comes in: images are brought into a [`Store`], verified and unpacked once,
//! and every backend gets the same files from there.
//!
//! The way in: [`Image::resolve`] (`resolve`) finds out what a reference is, `source` reads its
//! parts from a folder or an archive, `document` the JSON in it, `import` verifies it into the
//! `store`, `layer` applies each layer (`member` reads the tar, `name` its names) to a `tree`.

mod attribute;
mod decompress;
mod digest;
mod discard;
mod document;
mod error;
mod import;
mod inspect;
mod layer;
mod member;
mod name;
mod pack;
mod resolve;
mod source;
mod store;
mod tree;
mod unpack;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use digest::Digest;
pub use error::Error;
pub use inspect::inspect;
pub use store::{Lease, Listed, Store};
pub use tree::Devices;

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
    /// `sha256:…` of its configuration; empty for the built-in image.
    pub config_digest: String,
    /// Its layers, lowest first.
    pub layers: Vec<LayerInfo>,
    /// Keeps its files from being removed while it is used; none for the built-in image.
    pub lease: Option<Lease>,
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
    /// The built-in image: nothing but the guest program.
    pub fn builtin() -> Image {
        Image {
            reference: "builtin".into(),
            digest: String::new(),
            rootfs: None,
            command: Vec::new(),
            environment: Vec::new(),
            working_directory: "/".into(),
            user: String::new(),
            config_digest: String::new(),
            layers: Vec::new(),
            lease: None,
        }
    }
}
