//! Images a scenario makes itself, of a folder.

use std::path::Path;

use runtime::image::{Image, Store};

/// Brings `folder` into the store as `name`, which is one with a registry's: engines make up another for
/// one without.
///
/// # Errors
/// What the store said.
pub(crate) fn named(folder: &Path, name: &str, cache_dir: &Path) -> Result<Image, String> {
    let store = Store::open(&cache_dir.join("images")).map_err(|error| error.to_string())?;
    let image = Image::resolve(&folder.to_string_lossy(), &store).map_err(|error| error.to_string())?;
    store.name(&image.digest, name).map_err(|error| error.to_string())?;
    Ok(image)
}
