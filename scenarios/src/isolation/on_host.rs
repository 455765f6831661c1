//! What the host plants for more than one topic.

use std::fs;
use std::path::PathBuf;

use super::check::{Absent, HostPlant, OnHost};
use super::nonce::Nonce;

/// A file of the host called by the nonce, with the nonce in it.
pub struct CanaryFile {
    path: PathBuf,
    text: String,
}

impl CanaryFile {
    /// Where the run has what everybody may read.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn plant(nonce: &Nonce) -> HostPlant {
        let path = nonce.path();
        fs::write(&path, nonce.word()).map_err(|error| Absent(format!("{}: {error}", path.display())))?;
        Ok(Box::new(CanaryFile { path, text: nonce.word() }))
    }
}

impl OnHost for CanaryFile {
    fn witness(&self) -> Result<String, String> {
        match fs::read_to_string(&self.path) {
            Ok(text) if text == self.text => Ok(format!("{} is there", self.path.display())),
            other => Err(format!("{}: {other:?}", self.path.display())),
        }
    }

    fn text(&self) -> String {
        self.path.display().to_string()
    }
}

impl Drop for CanaryFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// A value of the host's kernel that has a file, as the host reads it now.
pub struct HostFile {
    path: &'static str,
    text: String,
}

impl HostFile {
    /// What `path` says.
    ///
    /// # Errors
    /// Where this host has no such file: then there is nothing to be seen.
    pub fn read(path: &'static str) -> HostPlant {
        match fs::read_to_string(path) {
            Ok(text) if !text.trim().is_empty() => {
                Ok(Box::new(HostFile { path, text: text.trim().to_owned() }))
            }
            Ok(_) => Err(Absent(format!("{path} is empty on the host"))),
            Err(error) => Err(Absent(format!("{path} on the host: {error}"))),
        }
    }
}

impl OnHost for HostFile {
    fn witness(&self) -> Result<String, String> {
        match fs::read_to_string(self.path) {
            Ok(text) if !text.trim().is_empty() => {
                Ok(format!("the host's {} has {} bytes", self.path, text.len()))
            }
            other => Err(format!("{}: {other:?}", self.path)),
        }
    }

    fn text(&self) -> String {
        self.text.clone()
    }
}
