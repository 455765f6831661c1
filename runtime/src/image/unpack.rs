//! Makes the files of a stack of layers, once, under the name of its ChainID, and of every stack
//! below it: images that begin with the same layers share their files.
//!
//! Each stack is a whole tree, so that one overlay or bind mount takes it and nothing has to know
//! its layers. Two trees share a file as hard links: what is in the store is never written to, and
//! a layer replaces files instead of changing them. Trees do not depend on each other: any of them
//! can go first.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::digest::Digest;
use super::layer::Layer;
use super::store::{Listed, Store};
use super::temporary::Temporary;
use super::tree::Tree;
use super::{Error, adopt};
use crate::lock::Lock;

/// A stack being made, or made.
struct Stack {
    /// Where it is now.
    root: PathBuf,
    /// What keeps it there.
    lock: Lock,
    /// Until it has its final name: its folder, and that name.
    unfinished: Option<(Temporary, PathBuf)>,
}

/// The unpacked layers and their lock, held shared. Made now if nobody has yet. The store's shared
/// lock must be held.
///
/// Locks are taken in the order of the stacks, the lowest first, so that two processes making
/// stacks of each other's do not wait for each other.
///
/// # Errors
/// A layer that is refused, or what the system said; nothing is left under the final name then.
pub(crate) fn unpack(store: &Store, image: &Listed) -> Result<(PathBuf, Lock), Error> {
    let chains = image.chains()?;
    let (mut stacks, mut done) = (Vec::new(), 0);
    for position in (0..chains.len()).rev() {
        if let Some(stack) = finished(store, &chains[position])? {
            (stacks, done) = (vec![stack], position + 1);
            break;
        }
    }
    for (position, chain) in chains.iter().enumerate().skip(done) {
        let lock = store.lock_of(chain)?;
        let rootfs = store.rootfs(chain);
        lock.take().map_err(Error::io("lock", &rootfs))?;
        // Another process may have made it while this one waited.
        if rootfs.exists() {
            stacks.push(Stack { root: rootfs, lock, unfinished: None });
            continue;
        }
        let base = stacks.last().map(|stack| stack.root.as_path());
        let temporary = make(store, image, position, base)?;
        let root = temporary.path.join("rootfs");
        stacks.push(Stack { root, lock, unfinished: Some((temporary, rootfs)) });
    }
    finish(&mut stacks)?;
    let last = stacks.pop().ok_or_else(|| Error::malformed(&image.digest, "has no layers"))?;
    last.lock.share().map_err(Error::io("lock", &last.root))?;
    Ok((last.root, last.lock))
}

fn finished(store: &Store, chain: &Digest) -> Result<Option<Stack>, Error> {
    let (lock, root) = (store.lock_of(chain)?, store.rootfs(chain));
    lock.share().map_err(Error::io("lock", &root))?;
    Ok(root.exists().then_some(Stack { root, lock, unfinished: None }))
}

/// Gives the stacks their names, when everything is on disk, also after a power failure.
fn finish(stacks: &mut [Stack]) -> Result<(), Error> {
    if let Some((temporary, _)) = stacks.iter().find_map(|stack| stack.unfinished.as_ref()) {
        let opened = File::open(&temporary.path).map_err(Error::io("open", &temporary.path))?;
        rustix::fs::syncfs(&opened).map_err(Error::io("write", &temporary.path))?;
    }
    for stack in stacks {
        if let Some((_temporary, rootfs)) = stack.unfinished.take() {
            fs::rename(&stack.root, &rootfs).map_err(Error::io("rename to", &rootfs))?;
            stack.root = rootfs;
        }
    }
    Ok(())
}

/// The stack of the layers up to `position`, upon the one below it, which is `base`.
fn make(store: &Store, image: &Listed, position: usize, base: Option<&Path>) -> Result<Temporary, Error> {
    if let Some(base) = base {
        let (temporary, mut tree) = begin(store)?;
        match adopt::adopt(&mut tree, base) {
            Ok(bytes) => {
                let mut budget_bytes = store.limit_bytes.saturating_sub(bytes);
                apply(store, image, position, &mut tree, &mut budget_bytes)?;
                end(tree)?;
                return Ok(temporary);
            }
            Err(refusal) => {
                if let Some(source) = refusal.full {
                    return Err(Error::Full {
                        doing: format!("unpack to {}", temporary.path.display()),
                        source,
                    });
                }
                // A folder its owner may not read, a file with too many names: without sharing, then.
            }
        }
    }
    let (temporary, mut tree) = begin(store)?;
    let mut budget_bytes = store.limit_bytes;
    for layer in 0..=position {
        apply(store, image, layer, &mut tree, &mut budget_bytes)?;
    }
    end(tree)?;
    Ok(temporary)
}

fn begin(store: &Store) -> Result<(Temporary, Tree), Error> {
    let temporary = store.temporary();
    temporary.create_folder()?;
    let (root, trash) = (temporary.path.join("rootfs"), temporary.path.join("trash"));
    for folder in [&root, &trash] {
        fs::create_dir(folder).map_err(Error::io("make folder", folder))?;
    }
    // For an archive that does not name its root: what the root of a file system usually is.
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&root, mode).map_err(Error::io("set mode of", &root))?;
    let tree = Tree::open(&root, &trash, store.devices).map_err(Error::io("open", &root))?;
    Ok((temporary, tree))
}

fn apply(
    store: &Store,
    image: &Listed,
    position: usize,
    tree: &mut Tree,
    budget_bytes: &mut u64,
) -> Result<(), Error> {
    let layer = &image.layers[position];
    let digest = Digest::parse(&layer.digest)?;
    let path = store.blob(&digest);
    let blob = File::open(&path).map_err(Error::io("open layer", &path))?;
    let diff_id = Digest::parse(&layer.diff_id)?;
    let label = format!("layer {} ({digest})", position + 1);
    Layer { label, blob: &blob, diff_id: &diff_id }.apply(tree, position == 0, budget_bytes)
}

fn end(tree: Tree) -> Result<(), Error> {
    tree.finish().map_err(|refusal| match refusal.full {
        Some(source) => Error::Full { doing: "set modes and times of folders".into(), source },
        None => Error::malformed("layers", refusal.why),
    })
}
