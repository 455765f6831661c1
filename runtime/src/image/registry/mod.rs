//! Images of registries (OCI distribution specification), through the crate `oci-client`.

#[cfg(feature = "registry")]
mod credential;
#[cfg(feature = "registry")]
mod pull;

use super::Error;
use super::store::{Listed, Store};

/// What a reference to a registry begins with.
pub(crate) const SCHEME: &str = "docker://";

/// Brings in `docker://HOST/NAME:TAG` or `…@sha256:…`. Over TLS, except on this host's loopback.
///
/// # Errors
/// What the registry or the network said, or what is wrong with the image.
#[cfg(feature = "registry")]
pub(crate) fn bring_in(store: &Store, reference: &str) -> Result<Listed, Error> {
    pull::bring_in(store, reference.strip_prefix(SCHEME).unwrap_or(reference))
}

/// As above, in a program built without it.
///
/// # Errors
/// Always.
#[cfg(not(feature = "registry"))]
pub(crate) fn bring_in(_store: &Store, reference: &str) -> Result<Listed, Error> {
    let why = "this program was built without the feature `registry`; fetch the image with another tool \
               (skopeo copy docker://… oci:FOLDER) and give its path";
    Err(Error::Registry { what: reference.into(), why: why.into() })
}
