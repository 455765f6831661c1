//! Content digests (OCI image specification, descriptor.md).

use std::fmt;
use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use super::Error;

/// A sha256 digest: 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(String);

impl Digest {
    /// Reads `sha256:<hex>`.
    ///
    /// # Errors
    /// Another algorithm, or not 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Result<Digest, Error> {
        let Some(hex) = text.strip_prefix("sha256:") else {
            return Err(Error::malformed(format!("digest {text:?}"), "only sha256 is supported"));
        };
        Digest::from_hex(hex).ok_or_else(|| {
            Error::malformed(format!("digest {text:?}"), "not 64 lower-case hexadecimal digits")
        })
    }

    /// From the digits alone.
    pub(crate) fn from_hex(hex: &str) -> Option<Digest> {
        let valid = hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        valid.then(|| Digest(hex.to_owned()))
    }

    /// Of bytes in memory.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest::finish(Sha256::new_with_prefix(bytes))
    }

    fn finish(hash: Sha256) -> Digest {
        Digest(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The digits alone.
    pub fn hex(&self) -> &str {
        &self.0
    }

    /// The name of the stack of layers with these diffIDs (config.md, "Layer ChainID").
    pub fn chain(diff_ids: &[Digest]) -> Option<Digest> {
        let (first, rest) = diff_ids.split_first()?;
        Some(rest.iter().fold(first.clone(), |chain, diff| Digest::of(format!("{chain} {diff}").as_bytes())))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

/// Hashes what is read through it and refuses to hand out more than `limit_bytes`.
pub(crate) struct Hashing<R> {
    inner: R,
    hash: Sha256,
    count_bytes: u64,
    limit_bytes: u64,
    exceeded: bool,
}

impl<R: Read> Hashing<R> {
    pub(crate) fn new(inner: R, limit_bytes: u64) -> Hashing<R> {
        Hashing { inner, hash: Sha256::new(), count_bytes: 0, limit_bytes, exceeded: false }
    }

    /// Whether it had to stop at the limit.
    pub(crate) fn exceeded(&self) -> bool {
        self.exceeded
    }

    /// How much was read, and its digest.
    pub(crate) fn finish(self) -> (u64, Digest) {
        (self.count_bytes, Digest::finish(self.hash))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.count_bytes += n as u64;
        if self.count_bytes > self.limit_bytes {
            self.exceeded = true;
            return Err(io::Error::other(format!("more than {} bytes", self.limit_bytes)));
        }
        self.hash.update(&buffer[..n]);
        Ok(n)
    }
}

/// Hashes what is written to it and keeps nothing.
pub(crate) struct Summing {
    hash: Sha256,
    count_bytes: u64,
}

impl Summing {
    pub(crate) fn new() -> Summing {
        Summing { hash: Sha256::new(), count_bytes: 0 }
    }

    /// How much was written, and its digest.
    pub(crate) fn finish(self) -> (u64, Digest) {
        (self.count_bytes, Digest::finish(self.hash))
    }
}

impl io::Write for Summing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hash.update(bytes);
        self.count_bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lower_case_sha256_is_a_digest() {
        let good = format!("sha256:{}", "a".repeat(64));
        assert_eq!(Digest::parse(&good).expect("digest").to_string(), good);
        for bad in ["sha512:00", "sha256:", "sha256:../../etc", &good.to_uppercase(), &format!("{good}0")] {
            assert!(Digest::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_chain_of_one_layer_is_its_diff_id() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        assert_eq!(Digest::chain(&[]), None);
        assert_eq!(Digest::chain(std::slice::from_ref(&a)), Some(a.clone()));
        assert_eq!(Digest::chain(&[a.clone(), b.clone()]), Some(Digest::of(format!("{a} {b}").as_bytes())));
    }
}
