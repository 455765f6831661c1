//! Where images are kept, by content. Any number of processes may use one store.
//!
//! | path | what |
//! |---|---|
//! | `blobs/sha256/<hex>` | manifests, configurations and layers as delivered, verified |
//! | `rootfs/sha256/<hex>` | unpacked layers, by the ChainID of the stack |
//! | `images/<hex>.json` | an image: its names and what it is made of |
//! | `sources/<hex>` | the image found in a compressed archive with this digest |
//! | `locks/<hex>` | flock of an image or a stack: exclusive while made or removed, shared while used |
//! | `names` | flock: exclusive while an image is listed |
//! | `lock` | flock: shared while something is brought in, exclusive while something is removed |
//! | `tmp/` | everything unfinished; moved to its name when complete |

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::discard::discard;
use super::temporary::Temporary;
use super::{Devices, Error, LayerInfo};
use crate::lock::Lock;

/// What an image may unpack to unless [`Store::with_limit_bytes`] says otherwise: 16 GiB.
const LIMIT_BYTES: u64 = 16 << 30;

/// A folder of images.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    pub(crate) devices: Devices,
    pub(crate) limit_bytes: u64,
}

/// Keeps an unpacked image from being removed. A clone shares it.
#[derive(Clone, Debug)]
pub struct Lease {
    _locks: Arc<[Lock; 2]>,
}

/// An image in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Tags and file names it came with.
    pub names: Vec<String>,
    /// `sha256:…` of its manifest or configuration.
    pub digest: String,
    /// `sha256:…` of its configuration.
    pub config_digest: String,
    /// `sha256:…` naming its unpacked files.
    pub chain_id: String,
    /// Its layers, lowest first.
    pub layers: Vec<LayerInfo>,
    /// When it was brought in, nanoseconds since the epoch.
    pub imported_unix_ns: u64,
}

/// What removing has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// The image is no longer known by this name.
    Name(String),
    /// The image is gone, and what no other needs with it.
    Image(String),
}

impl Listed {
    /// Bytes of its layers as they were delivered.
    pub fn size_bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size_bytes).sum()
    }

    /// The ChainID of every stack of its layers, the lowest layer alone first.
    pub(crate) fn chains(&self) -> Result<Vec<Digest>, Error> {
        let ids: Result<Vec<Digest>, Error> =
            self.layers.iter().map(|layer| Digest::parse(&layer.diff_id)).collect();
        let ids = ids?;
        Ok((1..=ids.len()).filter_map(|length| Digest::chain(&ids[..length])).collect())
    }

    /// The digests of everything it is made of.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &str> {
        let layers = self.layers.iter().map(|layer| layer.digest.as_str());
        layers.chain([self.digest.as_str(), self.config_digest.as_str()])
    }
}

impl Store {
    /// Opens or makes the store in a folder only its owner can enter: an image may contain
    /// set-user-id programs.
    ///
    /// # Errors
    /// What could not be made.
    pub fn open(cache_dir: &Path) -> Result<Store, Error> {
        let store = Store { root: cache_dir.into(), devices: Devices::default(), limit_bytes: LIMIT_BYTES };
        for folder in ["", "blobs/sha256", "rootfs/sha256", "images", "sources", "locks", "tmp"] {
            let path = if folder.is_empty() { store.root.clone() } else { store.root.join(folder) };
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
            made.map_err(Error::io("make folder", &path))?;
        }
        if let Some(_alone) = store.try_lock_alone()? {
            store.sweep();
        }
        Ok(store)
    }

    /// Says what becomes of device nodes in images.
    pub fn with_devices(self, devices: Devices) -> Store {
        Store { devices, ..self }
    }

    /// Sets what one image may unpack to.
    pub fn with_limit_bytes(self, limit_bytes: u64) -> Store {
        Store { limit_bytes, ..self }
    }

    /// What is in it, newest first.
    ///
    /// # Errors
    /// What could not be read.
    pub fn list(&self) -> Result<Vec<Listed>, Error> {
        let folder = self.root.join("images");
        let mut listed = Vec::new();
        for entry in fs::read_dir(&folder).map_err(Error::io("list", &folder))? {
            let path = entry.map_err(Error::io("list", &folder))?.path();
            let bytes = match fs::read(&path) {
                Ok(bytes) => bytes,
                // Removed by another process since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::io("read", &path)(error)),
            };
            let image: Listed = serde_json::from_slice(&bytes)
                .map_err(|error| Error::malformed(path.display().to_string(), error))?;
            listed.push(image);
        }
        listed.sort_by(|a, b| {
            b.imported_unix_ns.cmp(&a.imported_unix_ns).then_with(|| a.digest.cmp(&b.digest))
        });
        Ok(listed)
    }

    /// Finds an image by digest (of manifest or configuration; eight digits of it are enough) or
    /// by name; the newest where several bear it.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub fn find(&self, reference: &str) -> Result<Option<Listed>, Error> {
        let hex = reference.strip_prefix("sha256:").unwrap_or(reference);
        let is_digest = hex.len() >= 8 && hex.bytes().all(|b| b.is_ascii_hexdigit());
        let has_digest = |digest: &str| is_digest && digest.trim_start_matches("sha256:").starts_with(hex);
        Ok(self.list()?.into_iter().find(|image| {
            image.names.iter().any(|name| name == reference)
                || has_digest(&image.digest)
                || has_digest(&image.config_digest)
        }))
    }

    /// The error for what is not there.
    pub(crate) fn not_found(&self, reference: &str) -> Error {
        let listed = self.list().unwrap_or_default();
        let names: Vec<&str> = listed
            .iter()
            .map(|image| image.names.first().map_or(image.digest.as_str(), String::as_str))
            .collect();
        let known = if names.is_empty() { "nothing".into() } else { names.join(", ") };
        Error::NotFound { reference: reference.into(), store: self.root.clone(), known }
    }

    /// Taken while something is brought in: nothing is removed meanwhile.
    pub(crate) fn lock_shared(&self) -> Result<Lock, Error> {
        let lock = self.lock_file("lock")?;
        lock.share().map_err(Error::io("lock", &self.root.join("lock")))?;
        Ok(lock)
    }

    /// Taken while something is removed: nothing is brought in meanwhile.
    pub(crate) fn lock_exclusive(&self) -> Result<Lock, Error> {
        let lock = self.lock_file("lock")?;
        lock.take().map_err(Error::io("lock", &self.root.join("lock")))?;
        Ok(lock)
    }

    /// The lock of an image or of one unpacked stack of layers, not yet taken.
    pub(crate) fn lock_of(&self, digest: &Digest) -> Result<Lock, Error> {
        self.lock_file(&format!("locks/{}", digest.hex()))
    }

    /// A lease of an image, from the lock of its stack of layers, taken shared. The store's shared
    /// lock must be held.
    pub(crate) fn lease(&self, image: &Digest, stack: Lock) -> Result<Lease, Error> {
        let own = self.lock_of(image)?;
        own.share().map_err(Error::io("lock", &self.root))?;
        Ok(Lease { _locks: Arc::new([own, stack]) })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    pub(crate) fn rootfs(&self, chain: &Digest) -> PathBuf {
        self.root.join("rootfs/sha256").join(chain.hex())
    }

    pub(crate) fn source(&self, digest: &Digest) -> PathBuf {
        self.root.join("sources").join(digest.hex())
    }

    /// Lists the image. The names it has are taken from whichever image had them, as tags are, and
    /// added to those it is known by already.
    pub(crate) fn record(&self, image: &Listed) -> Result<(), Error> {
        let _one_at_a_time = self.lock_names()?;
        let mut image = image.clone();
        for mut other in self.list()? {
            if other.digest == image.digest {
                other.names.retain(|name| !image.names.contains(name));
                image.names.extend(other.names);
                image.imported_unix_ns = other.imported_unix_ns;
            } else if other.names.iter().any(|name| image.names.contains(name)) {
                other.names.retain(|name| !image.names.contains(name));
                self.write_record(&other)?;
            }
        }
        self.write_record(&image)
    }

    /// Gives an image another name, taking it from whichever image had it.
    ///
    /// # Errors
    /// It is not there, or what the system said.
    pub fn name(&self, reference: &str, name: &str) -> Result<(), Error> {
        let _nothing_is_removed_now = self.lock_shared()?;
        let image = self.find(reference)?.ok_or_else(|| self.not_found(reference))?;
        self.record(&Listed { names: vec![name.into()], ..image })
    }

    fn lock_names(&self) -> Result<Lock, Error> {
        let lock = self.lock_file("names")?;
        lock.take().map_err(Error::io("lock", &self.root))?;
        Ok(lock)
    }

    pub(crate) fn record_path(&self, digest: &str) -> Result<PathBuf, Error> {
        Ok(self.root.join("images").join(format!("{}.json", Digest::parse(digest)?.hex())))
    }

    pub(crate) fn write_record(&self, image: &Listed) -> Result<(), Error> {
        let text =
            serde_json::to_vec_pretty(image).map_err(|error| Error::malformed("image record", error))?;
        self.write(&self.record_path(&image.digest)?, &text)
    }

    /// Writes a small file under its final name at once.
    pub(crate) fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let temporary = self.temporary();
        let mut file = temporary.create()?;
        file.write_all(bytes).map_err(Error::io("write", &temporary.path))?;
        temporary.publish(&file, path)
    }

    /// A name in `tmp/`, removed with all below it when dropped.
    pub(crate) fn temporary(&self) -> Temporary {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Temporary::at(self.root.join("tmp").join(name))
    }

    fn lock_file(&self, name: &str) -> Result<Lock, Error> {
        let path = self.root.join(name);
        let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        opened.map(Lock::of).map_err(Error::io("open lock", &path))
    }

    fn try_lock_alone(&self) -> Result<Option<Lock>, Error> {
        let lock = self.lock_file("lock")?;
        Ok(lock.try_take().is_ok_and(|is_taken| is_taken).then_some(lock))
    }

    /// Removes what killed processes left; nobody else is bringing anything in.
    fn sweep(&self) {
        let folder = self.root.join("tmp");
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            // What cannot be removed now is tried again next time and is in nobody's way.
            let _ = discard(&folder, entry.file_name().as_encoded_bytes());
        }
    }
}
