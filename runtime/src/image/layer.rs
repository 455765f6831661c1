//! Applies one layer to the tree of those below it (OCI image specification, layer.md).

use std::fs::File;
use std::io::{self, Read, Seek};

use super::digest::{Digest, Hashing};
use super::member::{Member, Members};
use super::name::{self, Name};
use super::refusal::Refusal;
use super::tree::Tree;
use super::{Error, decompress};

/// Whiteouts of one layer kept in memory.
const WHITEOUTS_LIMIT: usize = 1 << 20;

/// One layer as it lies in the store.
pub(crate) struct Layer<'a> {
    /// How errors call it.
    pub(crate) label: String,
    /// Its content, compressed or not.
    pub(crate) blob: &'a File,
    /// What its uncompressed content must hash to.
    pub(crate) diff_id: &'a Digest,
}

impl Layer<'_> {
    /// Applies it. `budget_bytes` is what may still be unpacked, and is lowered. On an error the
    /// tree is left half done: it must be thrown away.
    ///
    /// # Errors
    /// A broken, forged, hostile or too large layer, or what the system said.
    pub(crate) fn apply(&self, tree: &mut Tree, is_base: bool, budget_bytes: &mut u64) -> Result<(), Error> {
        if !is_base {
            // A whiteout hides what *lower* layers have, wherever in this layer it stands: all of
            // them come first, while the tree is still that of the lower layers.
            for (entry, name) in self.whiteouts(*budget_bytes)? {
                let done = match &name {
                    Name::Opaque(path) => tree.empty(path),
                    Name::Whiteout(path) => tree.remove(path),
                    Name::Plain(_) | Name::Bookkeeping => Ok(()),
                };
                done.map_err(|why| self.refused(&entry, why))?;
            }
        }
        let used = self.each(*budget_bytes, |member, content| match name::read(&member.path)? {
            Name::Plain(path) => tree.place(&path, member, content),
            Name::Whiteout(_) | Name::Opaque(_) | Name::Bookkeeping => Ok(()),
        })?;
        *budget_bytes = budget_bytes.saturating_sub(used);
        Ok(())
    }

    fn whiteouts(&self, limit_bytes: u64) -> Result<Vec<(Vec<u8>, Name)>, Error> {
        let mut found = Vec::new();
        self.each(limit_bytes, |member, _| {
            let name = name::read(&member.path)?;
            if matches!(name, Name::Whiteout(_) | Name::Opaque(_)) {
                if found.len() == WHITEOUTS_LIMIT {
                    return Err(format!("more than {WHITEOUTS_LIMIT} whiteouts").into());
                }
                found.push((member.path.clone(), name));
            }
            Ok(())
        })?;
        // What a folder holds is hidden before single names, so that neither undoes the other.
        found.sort_by_key(|(_, name)| !matches!(name, Name::Opaque(_)));
        Ok(found)
    }

    /// Hands every member to `visit` and then checks the diffID; gives the uncompressed length.
    fn each(
        &self,
        limit_bytes: u64,
        mut visit: impl FnMut(&Member, &mut dyn Read) -> Result<(), Refusal>,
    ) -> Result<u64, Error> {
        let broken = |why: io::Error| Error::malformed(&self.label, why);
        let mut blob = self.blob;
        blob.rewind().map_err(broken)?;
        let mut stream = Hashing::new(decompress::open(blob).map_err(broken)?, limit_bytes);
        let outcome = self.walk(&mut stream, &mut visit);
        if stream.exceeded() {
            return Err(Error::TooLarge { what: self.label.clone(), limit_bytes });
        }
        outcome?;
        let (length, actual) = stream.finish();
        if actual != *self.diff_id {
            return Err(Error::DigestMismatch {
                what: format!("{} uncompressed", self.label),
                expected: self.diff_id.to_string(),
                actual: actual.to_string(),
            });
        }
        Ok(length)
    }

    fn walk(
        &self,
        stream: &mut Hashing<Box<dyn Read + '_>>,
        visit: &mut impl FnMut(&Member, &mut dyn Read) -> Result<(), Refusal>,
    ) -> Result<(), Error> {
        let broken = |why: io::Error| Error::malformed(&self.label, why);
        let mut members = Members::new(&mut *stream);
        while let Some(member) = members.next().map_err(broken)? {
            visit(&member, &mut members.content()).map_err(|why| self.refused(&member.path, why))?;
        }
        // The diffID covers what follows the last member, too.
        io::copy(members.into_inner(), &mut io::sink()).map_err(broken)?;
        Ok(())
    }

    fn refused(&self, entry: &[u8], refusal: Refusal) -> Error {
        let (layer, entry) = (self.label.clone(), String::from_utf8_lossy(entry).into_owned());
        match refusal.full {
            Some(source) => Error::Full { doing: format!("unpack {entry:?} of {layer}"), source },
            None => Error::Entry { layer, entry, why: refusal.why },
        }
    }
}
