//! Finds out what a reference means and brings it in.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::Path;

use serde::de::IgnoredAny;

use super::decompress::{self, Compression};
use super::digest::{Digest, Hashing, Summing};
use super::document::{self, Config};
use super::source::{Archive, Folder, Source};
use super::store::{Listed, Store};
use super::{Details, Error, Image, aci, import, pack, registry, unbundle, unpack};

/// One of these at the top makes a root file system.
const ROOT_NAMES: [&[u8]; 8] = [b"bin", b"sbin", b"usr", b"etc", b"lib", b"lib64", b"init", b"opt"];

impl Image {
    /// `builtin`; the path of an OCI layout (folder or archive), of a `docker save` archive, of an App
    /// Container Image or of a root file system (folder or tar), any archive plain or compressed; of an OCI bundle (folder); `PATH:TAG` for one image
    /// of several; `docker://HOST/NAME:TAG` for an image of a registry; or the name or digest of an image in the store. A path comes before a name.
    /// What is in the store already is not unpacked again.
    ///
    /// # Errors
    /// There is no such image, it is none, or it is damaged, forged, hostile, too large or for
    /// another machine; or what the system said.
    pub fn resolve(reference: &str, store: &Store) -> Result<Image, Error> {
        if reference == "builtin" {
            return Ok(Image::builtin());
        }
        let _nothing_is_removed_now = store.lock_shared()?;
        let listed = match locate(reference) {
            Some((path, tag)) => bring_in(path, tag, store)?,
            None if reference.starts_with(registry::SCHEME) => registry::bring_in(store, reference)?,
            None => store.find(reference)?.ok_or_else(|| store.not_found(reference))?,
        };
        ready(reference, listed, store)
    }
}

fn locate(reference: &str) -> Option<(&Path, Option<&str>)> {
    let path = Path::new(reference);
    if !reference.is_empty() && fs::metadata(path).is_ok() {
        return Some((path, None));
    }
    let (path, tag) = reference.rsplit_once(':')?;
    let found = !path.is_empty() && !tag.is_empty() && fs::metadata(path).is_ok();
    found.then(|| (Path::new(path), Some(tag)))
}

fn bring_in(path: &Path, tag: Option<&str>, store: &Store) -> Result<Listed, Error> {
    let found = fs::metadata(path).map_err(Error::io("read", path))?;
    if found.is_dir() {
        return folder(path, tag, store);
    }
    if !found.is_file() {
        return Err(Error::NotAnImage { path: path.into(), why: "it is neither a file nor a folder".into() });
    }
    let mut file = File::open(path).map_err(Error::io("open", path))?;
    let mut start = Vec::new();
    (&mut file).take(decompress::START_BYTES).read_to_end(&mut start).map_err(Error::io("read", path))?;
    if Compression::of(&start) == Compression::None {
        return archive(path, file, tag, store);
    }
    let digest = digest_of(path, &mut file)?;
    let seen = store.source(&digest);
    if let (None, Ok(known)) = (tag, fs::read_to_string(&seen))
        && let Some(listed) = store.list()?.into_iter().find(|image| image.digest == known)
    {
        return Ok(listed);
    }
    let temporary = store.temporary();
    let mut plain = temporary.create()?;
    file.rewind().map_err(Error::io("read", path))?;
    let broken = |why: io::Error| Error::NotAnImage { path: path.into(), why: why.to_string() };
    let mut stream = Hashing::new(decompress::open(file).map_err(broken)?, store.limit_bytes);
    let copied = io::copy(&mut stream, &mut plain);
    if stream.exceeded() {
        return Err(Error::TooLarge { what: path.display().to_string(), limit_bytes: store.limit_bytes });
    }
    copied.map_err(broken)?;
    let listed = archive(path, plain, tag, store)?;
    if tag.is_none() {
        store.write(&seen, listed.digest.as_bytes())?;
    }
    Ok(listed)
}

fn archive(path: &Path, file: File, tag: Option<&str>, store: &Store) -> Result<Listed, Error> {
    let archive = Archive::open(path, file)?;
    if archive.has("index.json") {
        return import::layout(store, &archive, tag);
    }
    if archive.has("manifest.json") {
        return import::saved(store, &archive, tag);
    }
    no_tag(path, tag)?;
    if archive.has("manifest") && archive.top().any(|(name, _)| name == b"rootfs") {
        return aci::bring_in(store, &archive, path);
    }
    if !archive.top().any(|(name, program)| program || ROOT_NAMES.contains(&name)) {
        return Err(Error::NotAnImage { path: path.into(), why: "it is a tar without programs".into() });
    }
    import::rootfs(store, path, archive.whole().map_err(Error::io("read", path))?)
}

fn folder(path: &Path, tag: Option<&str>, store: &Store) -> Result<Listed, Error> {
    let source = Folder::open(path)?;
    if source.has("index.json") && source.has("oci-layout") {
        return import::layout(store, &source, tag);
    }
    if source.has("manifest.json") {
        return import::saved(store, &source, tag);
    }
    no_tag(path, tag)?;
    if source.has(unbundle::CONFIG) && !looks_like_root(path).map_err(Error::io("list", path))? {
        return unbundle::bring_in(store, path);
    }
    if !looks_like_root(path).map_err(Error::io("list", path))? {
        return Err(Error::NotAnImage { path: path.into(), why: "it is a folder without programs".into() });
    }
    let mut summing = Summing::new();
    pack::pack(path, &mut summing)?;
    let (size_bytes, diff_id) = summing.finish();
    if let Some(known) = import::known_rootfs(store, path, &diff_id, size_bytes)? {
        return Ok(known);
    }
    let temporary = store.temporary();
    let mut layer = temporary.create()?;
    pack::pack(path, io::BufWriter::with_capacity(256 << 10, &layer))?;
    layer.rewind().map_err(Error::io("read", &temporary.path))?;
    import::rootfs(store, path, layer)
}

fn no_tag(path: &Path, tag: Option<&str>) -> Result<(), Error> {
    match tag {
        None => Ok(()),
        Some(tag) => Err(Error::NotAnImage {
            path: path.into(),
            why: format!("it is a root file system, which has no tag {tag:?}"),
        }),
    }
}

fn looks_like_root(path: &Path) -> io::Result<bool> {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::PermissionsExt;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if ROOT_NAMES.contains(&entry.file_name().as_bytes()) {
            return Ok(true);
        }
        let found = entry.metadata()?;
        if found.is_file() && found.permissions().mode() & 0o111 != 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

fn digest_of(path: &Path, file: &mut File) -> Result<Digest, Error> {
    file.rewind().map_err(Error::io("read", path))?;
    let mut hashing = Hashing::new(file, u64::MAX);
    io::copy(&mut hashing, &mut io::sink()).map_err(Error::io("read", path))?;
    Ok(hashing.finish().1)
}

/// Unpacks it if need be, and only then lists it.
pub(super) fn ready(reference: &str, listed: Listed, store: &Store) -> Result<Image, Error> {
    let config_digest = Digest::parse(&listed.config_digest)?;
    let path = store.blob(&config_digest);
    let bytes = fs::read(&path).map_err(Error::io("read configuration", &path))?;
    let actual = Digest::of(&bytes);
    if actual != config_digest {
        return Err(Error::DigestMismatch {
            what: path.display().to_string(),
            expected: listed.config_digest,
            actual: actual.to_string(),
        });
    }
    let config: Config = document::read(&path.display().to_string(), &bytes)?;
    let (rootfs, stack) = unpack::unpack(store, &listed)?;
    store.record(&listed)?;
    let lease = store.lease(&Digest::parse(&listed.digest)?, stack)?;
    let execution = config.config.unwrap_or_default();
    let entrypoint = execution.entrypoint.unwrap_or_default();
    let command = entrypoint.iter().cloned().chain(execution.cmd.into_iter().flatten()).collect();
    let names = |set: Option<BTreeMap<String, IgnoredAny>>| set.unwrap_or_default().into_keys().collect();
    let details = Details {
        entrypoint,
        exposed_ports: names(execution.exposed_ports),
        volumes: names(execution.volumes),
        labels: execution.labels.unwrap_or_default(),
        stop_signal: execution.stop_signal.filter(|signal| !signal.is_empty()),
        os: config.os,
        architecture: config.architecture,
        author: config.author,
        created: config.created,
    };
    Ok(Image {
        reference: reference.into(),
        digest: listed.digest,
        rootfs: Some(rootfs),
        command,
        environment: execution.env.unwrap_or_default(),
        working_directory: execution
            .working_dir
            .filter(|path| !path.is_empty())
            .unwrap_or_else(|| "/".into()),
        user: execution.user.unwrap_or_default(),
        config_digest: listed.config_digest,
        layers: listed.layers,
        details,
        lease: Some(lease),
    })
}
