//! Hands an image on as it came: manifest, configuration and layers byte for byte, so that whoever
//! takes it finds the same digests.
//!
//! A `docker save` archive is an OCI layout with `manifest.json` beside the index, as engines write
//! it since version 25: one file that new and old readers take.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::json;
use tar::{Builder, EntryType, Header};

use super::compose::{self, blob_name};
use super::digest::{Digest, Hashing};
use super::document::{self, REF_NAME};
use super::store::Store;
use super::{Error, Image};

/// What an image is handed on as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A tar of an OCI layout.
    Oci,
    /// An OCI layout as a folder, which must not exist.
    OciFolder,
    /// What `docker load` and `podman load` take.
    Docker,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MediaType {
    #[serde(default)]
    media_type: String,
}

impl Store {
    /// Writes the image to `path`, which gets its name only when it is complete.
    ///
    /// # Errors
    /// It is the built-in one without files, it is damaged, or what the system said.
    pub fn export_to(&self, image: &Image, format: Format, path: &Path) -> Result<(), Error> {
        if format == Format::OciFolder {
            fs::create_dir(path).map_err(Error::io("make folder", path))?;
            return self.parts(image, format, &mut Sink::Folder(path.into())).inspect_err(|_| {
                // Made by us just now; that it cannot be removed says less than what went wrong.
                let _ = fs::remove_dir_all(path);
            });
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let partial = path.with_file_name(format!(".{name}.{}", std::process::id()));
        let file = File::create_new(&partial).map_err(Error::io("create", &partial))?;
        let written = self
            .export(image, format, &mut io::BufWriter::with_capacity(256 << 10, file))
            .and_then(|()| fs::rename(&partial, path).map_err(Error::io("rename to", path)));
        written.inspect_err(|_| {
            let _ = fs::remove_file(&partial);
        })
    }

    /// Writes the image as an archive.
    ///
    /// # Errors
    /// As [`Store::export_to`]; a folder cannot be written to a stream.
    pub fn export(&self, image: &Image, format: Format, out: &mut dyn Write) -> Result<(), Error> {
        if format == Format::OciFolder {
            return Err(Error::malformed("export", "a folder cannot be written to a stream"));
        }
        let mut sink = Sink::Tar(Builder::new(out));
        self.parts(image, format, &mut sink)?;
        sink.finish()
    }

    fn parts(&self, image: &Image, format: Format, sink: &mut Sink<'_>) -> Result<(), Error> {
        let digest = Digest::parse(&image.digest)?;
        let names = self.find(&image.digest)?.map(|listed| listed.names).unwrap_or_default();
        sink.bytes("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        let mut parts: Vec<&str> = vec![&image.digest, &image.config_digest];
        for layer in &image.layers {
            // Equal layers are one part.
            if !parts.contains(&layer.digest.as_str()) {
                parts.push(&layer.digest);
            }
        }
        for part in parts {
            self.blob_to(&Digest::parse(part)?, sink)?;
        }
        if format == Format::Docker {
            sink.bytes("manifest.json", &saved(image, &names)?)?;
        }
        let path = self.blob(&digest);
        let manifest = fs::read(&path).map_err(Error::io("read manifest", &path))?;
        sink.bytes("index.json", &index(&digest, &manifest, &names)?)
    }

    fn blob_to(&self, digest: &Digest, sink: &mut Sink<'_>) -> Result<(), Error> {
        let path = self.blob(digest);
        let file = File::open(&path).map_err(Error::io("open", &path))?;
        let size_bytes = file.metadata().map_err(Error::io("look at", &path))?.len();
        let mut reader = Hashing::new(file, u64::MAX);
        sink.part(&blob_name(digest), size_bytes, &mut reader)?;
        let (_, actual) = reader.finish();
        if actual != *digest {
            return Err(Error::DigestMismatch {
                what: path.display().to_string(),
                expected: digest.to_string(),
                actual: actual.to_string(),
            });
        }
        Ok(())
    }
}

enum Sink<'a> {
    Tar(Builder<&'a mut dyn Write>),
    Folder(PathBuf),
}

impl Sink<'_> {
    fn finish(self) -> Result<(), Error> {
        match self {
            Sink::Tar(builder) => {
                let done = builder.into_inner().and_then(|out| out.flush());
                done.map_err(Error::io("write", Path::new("archive")))
            }
            Sink::Folder(_) => Ok(()),
        }
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.part(name, bytes.len() as u64, &mut &bytes[..])
    }

    fn part(&mut self, name: &str, size_bytes: u64, content: &mut dyn Read) -> Result<(), Error> {
        match self {
            Sink::Tar(builder) => {
                let mut header = Header::new_ustar();
                header.set_entry_type(EntryType::Regular);
                header.set_mode(0o644);
                header.set_uid(0);
                header.set_gid(0);
                header.set_mtime(0);
                header.set_size(size_bytes);
                builder.append_data(&mut header, name, content).map_err(Error::io("write", Path::new(name)))
            }
            Sink::Folder(folder) => {
                let path = folder.join(name);
                let parent = path.parent().unwrap_or(folder);
                fs::create_dir_all(parent).map_err(Error::io("make folder", parent))?;
                let mut file = File::create_new(&path).map_err(Error::io("create", &path))?;
                io::copy(content, &mut file).map(drop).map_err(Error::io("write", &path))
            }
        }
    }
}

/// One descriptor for each name, as tools that list an archive's tags expect.
fn index(digest: &Digest, manifest: &[u8], names: &[String]) -> Result<Vec<u8>, Error> {
    let kind: MediaType = document::read("manifest", manifest)?;
    let kind = if kind.media_type.is_empty() { compose::MANIFEST.to_owned() } else { kind.media_type };
    let plain = json!({ "mediaType": kind, "digest": digest.to_string(), "size": manifest.len() });
    let named = names.iter().map(|name| {
        let mut descriptor = plain.clone();
        descriptor["annotations"] = json!({ REF_NAME: name });
        descriptor
    });
    let mut manifests: Vec<_> = named.collect();
    if manifests.is_empty() {
        manifests.push(plain);
    }
    let index = json!({ "schemaVersion": 2, "mediaType": compose::INDEX, "manifests": manifests });
    Ok(index.to_string().into_bytes())
}

fn saved(image: &Image, names: &[String]) -> Result<Vec<u8>, Error> {
    let name = |digest: &str| Ok::<_, Error>(blob_name(&Digest::parse(digest)?));
    let layers: Result<Vec<String>, Error> = image.layers.iter().map(|layer| name(&layer.digest)).collect();
    let tags: Vec<String> = names.iter().filter_map(|name| tag(name)).collect();
    let manifest = json!([{ "Config": name(&image.config_digest)?, "RepoTags": tags, "Layers": layers? }]);
    Ok(manifest.to_string().into_bytes())
}

/// The name as `name:tag`, where engines would take it.
fn tag(name: &str) -> Option<String> {
    let is_valid = |part: &str, more: &str| {
        let mut bytes = part.bytes();
        bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || more.as_bytes().contains(&b))
    };
    let (repository, tag) = match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, "latest"),
    };
    let is_tag = !tag.is_empty()
        && tag.len() <= 128
        && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    let valid = is_tag && repository.split('/').all(|part| is_valid(part, "._-:"));
    valid.then(|| format!("{repository}:{tag}"))
}

#[cfg(test)]
mod tests {
    use super::tag;

    #[test]
    fn names_become_tags_where_engines_take_them() {
        assert_eq!(tag("redis").as_deref(), Some("redis:latest"));
        assert_eq!(tag("mine/redis:7.0").as_deref(), Some("mine/redis:7.0"));
        assert_eq!(tag("localhost:5000/redis").as_deref(), Some("localhost:5000/redis:latest"));
        for bad in ["My Image", "", "/x", "x:", "x/", "-x", "x:ü"] {
            assert_eq!(tag(bad), None, "{bad}");
        }
    }
}
