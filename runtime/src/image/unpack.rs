//! Makes the files of a stack of layers, once, under the name of its ChainID.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::digest::Digest;
use super::layer::Layer;
use super::store::{Lease, Store};
use super::tree::Tree;
use super::{Error, LayerInfo};

/// The unpacked layers, made now if nobody has yet. The store's shared lock must be held.
///
/// # Errors
/// A layer that is refused, or what the system said; nothing is left under the final name then.
pub(crate) fn unpack(store: &Store, chain: &Digest, layers: &[LayerInfo]) -> Result<(PathBuf, Lease), Error> {
    let rootfs = store.rootfs(chain);
    let lock = store.stack_lock(chain)?;
    let take = |operation| rustix::fs::flock(&lock, operation).map_err(Error::io("lock", &rootfs));
    take(FlockOperation::LockShared)?;
    if !rootfs.exists() {
        take(FlockOperation::LockExclusive)?;
        // Another process may have made it while this one waited.
        if !rootfs.exists() {
            make(store, &rootfs, layers)?;
        }
        take(FlockOperation::LockShared)?;
    }
    Ok((rootfs, Store::lease(lock)))
}

fn make(store: &Store, rootfs: &Path, layers: &[LayerInfo]) -> Result<(), Error> {
    let temporary = store.temporary();
    temporary.create_folder()?;
    let (root, trash) = (temporary.path.join("rootfs"), temporary.path.join("trash"));
    for folder in [&root, &trash] {
        fs::create_dir(folder).map_err(Error::io("make folder", folder))?;
    }
    // For an archive that does not name its root: what the root of a file system usually is.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&root, mode).map_err(Error::io("set mode of", &root))?;
    let mut tree = Tree::open(&root, &trash, store.devices).map_err(Error::io("open", &root))?;
    let mut budget_bytes = store.limit_bytes;
    for (position, layer) in layers.iter().enumerate() {
        let digest = Digest::parse(&layer.digest)?;
        let path = store.blob(&digest);
        let blob = File::open(&path).map_err(Error::io("open layer", &path))?;
        let diff_id = Digest::parse(&layer.diff_id)?;
        let label = format!("layer {} ({digest})", position + 1);
        let layer = Layer { label, blob: &blob, diff_id: &diff_id };
        layer.apply(&mut tree, position == 0, &mut budget_bytes)?;
    }
    tree.finish().map_err(|why| Error::malformed("layers", why))?;
    // Everything on disk before it has its name, also after a power failure.
    let opened = File::open(&temporary.path).map_err(Error::io("open", &temporary.path))?;
    rustix::fs::syncfs(&opened).map_err(Error::io("write", &temporary.path))?;
    fs::rename(&root, rootfs).map_err(Error::io("rename to", rootfs))
}
