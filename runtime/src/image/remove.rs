//! Takes images out of the store, never from under somebody who uses them.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use super::Error;
use super::digest::Digest;
use super::store::{Listed, Removed, Store};

impl Store {
    /// Removes an image and what no other image needs; where it is called by one of several
    /// names, only that name.
    ///
    /// # Errors
    /// It is not there, it is in use, or what could not be removed.
    pub fn remove(&self, reference: &str) -> Result<Removed, Error> {
        let _nothing_is_brought_in_now = self.lock_exclusive()?;
        let Some(mut image) = self.find(reference)? else { return Err(self.not_found(reference)) };
        if image.names.len() > 1 && image.names.iter().any(|name| name == reference) {
            image.names.retain(|name| name != reference);
            self.write_record(&image)?;
            return Ok(Removed::Name(reference.into()));
        }
        let lock = self.lock_of(&Digest::parse(&image.digest)?)?;
        if !lock.try_take().map_err(Error::io("lock", &self.path("locks")))? {
            return Err(Error::InUse { digest: image.digest });
        }
        // Nobody can begin to use it while the store's lock is held.
        drop(lock);
        // The record first: what follows is then nobody's, and is found by the next removal if this
        // one does not get to its end.
        delete(&self.record_path(&image.digest)?)?;
        self.collect(&self.list()?)?;
        Ok(Removed::Image(image.digest))
    }

    /// Removes everything that none of `images` needs and nobody uses.
    fn collect(&self, images: &[Listed]) -> Result<(), Error> {
        let mut needed = HashSet::new();
        for image in images {
            needed.extend(image.chains()?.iter().map(|chain| chain.hex().to_owned()));
            needed.extend(image.parts().filter_map(|part| Some(Digest::parse(part).ok()?.hex().to_owned())));
        }
        for hex in self.names_in("rootfs/sha256")?.into_iter().filter(|hex| !needed.contains(hex)) {
            let Some(chain) = Digest::from_hex(&hex) else { continue };
            let lock = self.lock_of(&chain)?;
            if !lock.try_take().map_err(Error::io("lock", &self.path("locks")))? {
                continue;
            }
            let (rootfs, temporary) = (self.rootfs(&chain), self.temporary());
            fs::rename(&rootfs, &temporary.path).map_err(Error::io("remove", &rootfs))?;
            temporary.remove()?;
        }
        for folder in ["blobs/sha256", "locks"] {
            for hex in self.names_in(folder)?.into_iter().filter(|hex| !needed.contains(hex)) {
                let path = self.path(folder).join(&hex);
                let is_used = folder == "locks" && is_locked(self, &hex)?;
                if !is_used {
                    delete(&path)?;
                }
            }
        }
        for hex in self.names_in("sources")? {
            let path = self.path("sources").join(hex);
            let image = fs::read_to_string(&path).unwrap_or_default();
            if images.iter().all(|known| known.digest != image) {
                delete(&path)?;
            }
        }
        Ok(())
    }

    fn names_in(&self, folder: &str) -> Result<Vec<String>, Error> {
        let path = self.path(folder);
        let entries = fs::read_dir(&path).map_err(Error::io("list", &path))?;
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect::<io::Result<Vec<_>>>().map_err(Error::io("list", &path))
    }
}

/// New users take a lock only while they hold the store's, which this process has alone.
fn is_locked(store: &Store, hex: &str) -> Result<bool, Error> {
    let Some(digest) = Digest::from_hex(hex) else { return Ok(true) };
    let lock = store.lock_of(&digest)?;
    Ok(!lock.try_take().map_err(Error::io("lock", &store.path("locks")))?)
}

fn delete(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}
