//! A registry as a source of parts.

use std::cell::RefCell;
use std::collections::HashMap;
use std::error::Error as _;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use serde_json::json;
use tokio::runtime::Runtime;

use super::super::compose;
use super::super::digest::Digest;
use super::super::document::{INDEXES, MANIFESTS, REF_NAME};
use super::super::source::{Part, Source};
use super::super::store::{Listed, Store};
use super::super::{Error, import};
use super::{SCHEME, credential};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Between two pieces of an answer, not for all of it.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) fn bring_in(store: &Store, reference: &str) -> Result<Listed, Error> {
    let what = format!("{SCHEME}{reference}");
    let parsed: Reference =
        reference.parse().map_err(|error| Error::Registry { what: what.clone(), why: format!("{error}") })?;
    let registry = Registry::open(parsed, what)?;
    import::layout(store, &registry, None)
}

struct Registry {
    label: PathBuf,
    reference: Reference,
    auth: RegistryAuth,
    client: Client,
    runtime: Runtime,
    /// What the reference stands for.
    index: Vec<u8>,
    /// Manifests already fetched, by their digits.
    manifests: RefCell<HashMap<String, Vec<u8>>>,
}

impl Registry {
    fn open(reference: Reference, what: String) -> Result<Registry, Error> {
        // Another part of the program may have chosen one already; either will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let host = reference.resolve_registry().to_owned();
        let auth = credential::find(&host).map_err(|why| Error::Registry { what: what.clone(), why })?;
        let protocol = if is_loopback(&host) { ClientProtocol::Http } else { ClientProtocol::Https };
        let client = Client::new(ClientConfig {
            protocol,
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(READ_TIMEOUT),
            ..ClientConfig::default()
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::io("start an event loop for", Path::new(&what)))?;
        let (index, manifests) = (Vec::new(), RefCell::default());
        let mut registry =
            Registry { label: what.into(), reference, auth, client, runtime, index, manifests };
        let top = registry.manifest(&registry.reference)?;
        registry.index = registry.index_of(&top)?;
        registry.manifests.borrow_mut().insert(Digest::of(&top).hex().to_owned(), top);
        Ok(registry)
    }

    /// An index of what the reference stands for, as a layout would have it.
    fn index_of(&self, top: &[u8]) -> Result<Vec<u8>, Error> {
        let label = self.label.display().to_string();
        let document: serde_json::Value =
            serde_json::from_slice(top).map_err(|error| Error::malformed(&label, error))?;
        // Manifests of the first version of OCI need not say what they are.
        let guess = if document.get("manifests").is_some() { INDEXES[0] } else { MANIFESTS[0] };
        let kind = document["mediaType"].as_str().unwrap_or(guess);
        if !INDEXES.contains(&kind) && !MANIFESTS.contains(&kind) {
            return Err(Error::malformed(label, format!("is a {kind:?}, neither a manifest nor an index")));
        }
        let mut descriptor =
            json!({ "mediaType": kind, "digest": Digest::of(top).to_string(), "size": top.len() });
        if self.reference.digest().is_none() {
            descriptor["annotations"] = json!({ REF_NAME: self.reference.whole() });
        }
        let index = json!({ "schemaVersion": 2, "mediaType": compose::INDEX, "manifests": [descriptor] });
        Ok(index.to_string().into_bytes())
    }

    fn manifest(&self, reference: &Reference) -> Result<Vec<u8>, Error> {
        let accepted: Vec<&str> = MANIFESTS.into_iter().chain(INDEXES).collect();
        let answer = self.client.pull_manifest_raw(reference, &self.auth, &accepted);
        let (bytes, _) = self.runtime.block_on(answer).map_err(|error| self.refused(error))?;
        Ok(bytes.to_vec())
    }

    fn refused(&self, error: OciDistributionError) -> Error {
        let mut why = error.to_string();
        // What really happened (no such host, connection refused) is at the end of the chain.
        let mut source = error.source();
        while let Some(inner) = source {
            let text = inner.to_string();
            if !why.contains(&text) {
                why = format!("{why}: {text}");
            }
            source = inner.source();
        }
        let is_denied = matches!(
            error,
            OciDistributionError::UnauthorizedError { .. } | OciDistributionError::AuthenticationFailure(_)
        );
        if is_denied {
            why = format!("{why}; log in first: docker login {}", self.reference.registry());
        }
        Error::Registry { what: self.label.display().to_string(), why }
    }
}

impl Source for Registry {
    fn path(&self) -> &Path {
        &self.label
    }

    fn has(&self, part: &str) -> bool {
        part == "index.json"
    }

    fn open(&self, part: &str) -> Result<Part<'_>, Error> {
        if part == "index.json" {
            return Ok((Box::new(self.index.as_slice()), Some(self.index.len() as u64)));
        }
        let descriptor =
            OciDescriptor { digest: format!("sha256:{}", digits(part)), ..OciDescriptor::default() };
        let answer = self.client.pull_blob_stream(&self.reference, &descriptor);
        let blob = self.runtime.block_on(async {
            self.client.store_auth_if_needed(self.reference.resolve_registry(), &self.auth).await;
            answer.await
        });
        let blob = blob.map_err(|error| self.refused(error))?;
        let reader = Chunks { runtime: &self.runtime, stream: blob.stream, chunk: None, used: 0 };
        Ok((Box::new(reader), blob.content_length))
    }

    fn open_manifest(&self, part: &str) -> Result<Part<'_>, Error> {
        let known = self.manifests.borrow().get(digits(part)).cloned();
        let bytes = match known {
            Some(bytes) => bytes,
            None => {
                let reference = self.reference.clone_with_digest(format!("sha256:{}", digits(part)));
                self.manifest(&reference)?
            }
        };
        let length = bytes.len() as u64;
        Ok((Box::new(io::Cursor::new(bytes)), Some(length)))
    }
}

fn digits(part: &str) -> &str {
    part.rsplit('/').next().unwrap_or(part)
}

/// A body as it arrives.
struct Chunks<'a, S, B> {
    runtime: &'a Runtime,
    stream: S,
    chunk: Option<B>,
    used: usize,
}

impl<S: Stream<Item = io::Result<B>> + Unpin, B: AsRef<[u8]>> Read for Chunks<'_, S, B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = self.chunk.as_ref().map_or(&[][..], |chunk| &chunk.as_ref()[self.used..]);
            if !left.is_empty() || buffer.is_empty() {
                let n = buffer.len().min(left.len());
                buffer[..n].copy_from_slice(&left[..n]);
                self.used += n;
                return Ok(n);
            }
            match self.runtime.block_on(self.stream.next()) {
                Some(chunk) => (self.chunk, self.used) = (Some(chunk?), 0),
                None => return Ok(0),
            }
        }
    }
}

/// Whether a registry is on this host, where nothing is gained by TLS.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_this_host_is_spoken_to_without_tls() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.8.9.1", "[::1]:5000"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in
            ["example.org", "localhost.example.org:5000", "128.0.0.1", "127.0.0.1.example.org", "[::2]:1"]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
