//! What can be wrong with an image.

use std::io;
use std::path::{Path, PathBuf};

/// Why an image could not be brought in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither a path nor in the store.
    #[error(
        "no image {reference}: there is no such file or folder and the store at {store} holds {known}; \
         give `builtin`, the path of an OCI layout, of a `docker save` archive, of an App Container Image, of an \
         OCI bundle or of a root file system (folder or tar), docker://HOST/NAME:TAG, or a name or digest from the store"
    )]
    NotFound {
        /// What was asked for.
        reference: String,
        /// The store's folder.
        store: PathBuf,
        /// What the store does hold.
        known: String,
    },
    /// It exists and is something else.
    #[error(
        "{path} is not an image: {why}; expected an OCI layout (oci-layout and index.json), a `docker save` \
         archive (manifest.json), an App Container Image (manifest and rootfs) or a root file system, as a \
         folder or a tar (plain, gzip, zstd, xz or bzip2)"
    )]
    NotAnImage {
        /// The file or folder.
        path: PathBuf,
        /// What was found instead.
        why: String,
    },
    /// A document or an archive that breaks its own format.
    #[error("{what}: {why}")]
    Malformed {
        /// The document.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// Content whose length is not what its descriptor says.
    #[error("{what} has {actual} bytes where its descriptor says {expected}; the image is damaged or forged")]
    SizeMismatch {
        /// The content.
        what: String,
        /// Bytes promised.
        expected: u64,
        /// Bytes found.
        actual: u64,
    },
    /// Content that does not hash to its name.
    #[error("{what} hashes to {actual}, not to {expected}; the image is damaged or forged")]
    DigestMismatch {
        /// The content.
        what: String,
        /// Digest promised.
        expected: String,
        /// Digest found.
        actual: String,
    },
    /// Nothing in it is for this machine.
    #[error("{what} has no image for {wanted}; it offers {offered}")]
    NoPlatform {
        /// The index or configuration.
        what: String,
        /// This machine's platform.
        wanted: String,
        /// What is there.
        offered: String,
    },
    /// An entry of a layer that is refused.
    #[error("{layer}: entry {entry:?}: {why}")]
    Entry {
        /// The layer.
        layer: String,
        /// The entry's name in it.
        entry: String,
        /// Why it is refused, or what the system said.
        why: String,
    },
    /// More than the store is willing to unpack.
    #[error("{what} unpacks to more than {limit_bytes} bytes; raise the store's limit if that is meant")]
    TooLarge {
        /// The layer or archive.
        what: String,
        /// The limit.
        limit_bytes: u64,
    },
    /// A registry that does not give it.
    #[error("{what}: {why}")]
    Registry {
        /// The image.
        what: String,
        /// What the registry or the network said, and what to do about it.
        why: String,
    },
    /// A program that is needed is not installed.
    #[error("{program} is not installed (try: apt-get install {program})")]
    Missing {
        /// The program, which is also the package's name.
        program: String,
    },
    /// A program that did not do its work.
    #[error("{program}: {why}")]
    Program {
        /// The program.
        program: String,
        /// What it said, and what to do about it.
        why: String,
    },
    /// Somebody is using it.
    #[error("{digest} is in use by another process; try again when its run is over")]
    InUse {
        /// The image.
        digest: String,
    },
    /// No room.
    #[error(
        "{doing}: {source}; nothing of it was kept: make room there, remove images (bench image rm) or keep \
         them on another disk (XDG_CACHE_HOME)"
    )]
    Full {
        /// What was being done, to what.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused.
    #[error("{doing} {path}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err` on an operation on `path`.
    pub(crate) fn io<E: Into<io::Error>>(doing: &'static str, path: &Path) -> impl FnOnce(E) -> Error {
        let path = path.to_path_buf();
        move |source| match source.into() {
            source if is_full(&source) => {
                Error::Full { doing: format!("{doing} {}", path.display()), source }
            }
            source => Error::Io { doing, path, source },
        }
    }

    /// A document that breaks its format.
    pub(crate) fn malformed(what: impl Into<String>, why: impl ToString) -> Error {
        Error::Malformed { what: what.into(), why: why.to_string() }
    }
}

/// Whether the disk or a quota is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
