//! Images there and back: made a bundle, which is what OCI runtimes are given, and an image again.

use std::path::Path;

use results::record::{Cell, CellOutcome};
use runtime::clock::now_ns;
use runtime::image::{self, Image, Store};

use super::machines::ROUND_TRIP;
use super::run::{Book, cell};
use super::userland;
use crate::{Error, Stage};

/// The way.
const WAY: &str = "image→bundle→image";
/// The same with what came back, which has nothing that a bundle cannot say.
const AGAIN: &str = "image→bundle→image, once more";

/// Carries the built-in image, a Debian userland of the system at `rootfs` and the image that was asked for.
///
/// # Errors
/// A row that cannot be written.
pub(super) fn carry(rootfs: Option<&Path>, stage: &mut Stage<'_>, book: &mut Book) -> Result<(), Error> {
    let folder = stage.context.state_dir.join("bundles");
    let rows = in_folder(&folder, rootfs, stage);
    let _ = std::fs::remove_dir_all(&folder);
    let rows = rows.unwrap_or_else(|reason| {
        vec![Cell { outcome: CellOutcome::Fails, reason, ..cell(ROUND_TRIP, "image", WAY) }]
    });
    rows.into_iter().try_for_each(|row| book.enter(row, stage))
}

fn in_folder(folder: &Path, rootfs: Option<&Path>, stage: &Stage<'_>) -> Result<Vec<Cell>, String> {
    std::fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let text = |error: image::Error| error.to_string();
    let store = Store::open(&stage.context.cache_dir.join("images")).map_err(text)?;
    // What comes back is kept only until it is compared.
    let passing = Store::open(&folder.join("images")).map_err(text)?;
    let mut images = vec![("static-program", Image::builtin().with_files(&store).map_err(text)?)];
    if let Some(rootfs) = rootfs {
        let taken = userland::image(rootfs, &folder.join("userland"), &stage.context.cache_dir)?;
        images.push(("debian-userland", taken));
    }
    if stage.image.rootfs.is_some() {
        images.push(("image", stage.image.clone()));
    }
    let mut rows = Vec::new();
    for (name, image) in images {
        let (row, back) = there_and_back(name, WAY, &image, &passing, &folder.join(name));
        rows.push(row);
        if let Some(back) = back {
            let again = folder.join(format!("{name}-again"));
            rows.push(there_and_back(name, AGAIN, &back, &passing, &again).0);
        }
    }
    Ok(rows)
}

/// The row, and what came back.
fn there_and_back(
    name: &str,
    way: &str,
    image: &Image,
    store: &Store,
    bundle: &Path,
) -> (Cell, Option<Image>) {
    let row = cell(ROUND_TRIP, name, way);
    let began_ns = now_ns();
    let carried = image
        .write_bundle(store, bundle)
        .and_then(|()| Image::resolve(&bundle.to_string_lossy(), store))
        .and_then(|back| image::differences(image, &back).map(|found| (back, found)));
    let took_ns = Some(now_ns() - began_ns);
    let _ = std::fs::remove_dir_all(bundle);
    match carried {
        Ok((back, found)) => {
            let bytes = Some(back.layers.iter().map(|layer| layer.size_bytes).sum());
            let (outcome, reason) = match found.is_empty() {
                true => (CellOutcome::Works, format!("the same digest, {}", back.digest)),
                false => (CellOutcome::Differs, found.join("; ")),
            };
            (Cell { outcome, reason, bytes, duration_ns: took_ns, ..row }, Some(back))
        }
        Err(error) => (Cell { outcome: CellOutcome::Fails, reason: error.to_string(), ..row }, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_loses_on_the_first_way_what_a_bundle_cannot_say_and_then_nothing() {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::open(&folder.path().join("store")).expect("store");
        let image = Image::builtin().with_files(&store).expect("files");
        let (first, back) = there_and_back("one", WAY, &image, &store, &folder.path().join("a"));
        assert_eq!(first.outcome, CellOutcome::Differs, "{first:?}");
        assert!(first.reason.starts_with("the files are the same"), "{first:?}");
        let back = back.expect("came back");
        let (second, _) = there_and_back("one", AGAIN, &back, &store, &folder.path().join("b"));
        assert_eq!(second.outcome, CellOutcome::Works, "{second:?}");
        assert!(second.reason.contains(&back.digest) && second.bytes > Some(0), "{second:?}");
        // A folder that is in the way is a row, too.
        std::fs::write(folder.path().join("c"), "").expect("written");
        let (failed, none) = there_and_back("one", WAY, &back, &store, &folder.path().join("c"));
        assert_eq!((failed.outcome, none.is_none()), (CellOutcome::Fails, true), "{failed:?}");
    }
}
