//! What the workload comes in.

use std::path::PathBuf;

/// An image, unpacked and ready to be used by every backend.
#[derive(Clone, Debug)]
pub struct Image {
    /// What it was asked for as.
    pub reference: String,
    /// `sha256:…` over its content.
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
        }
    }
}
