//! One store, several users of it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::build::{file, folder, hard, layout, raw, symbolic, tar, write};
use crate::image::{Error, Image, Removed, Store};

fn archive(folder: &Path, name: &str, content: &[u8]) -> String {
    let path = folder.join(name);
    fs::write(&path, tar(&[file("bin/app", content)])).expect("write");
    path.to_string_lossy().into_owned()
}

#[test]
fn bringing_in_twice_unpacks_once() {
    let here = tempfile::tempdir().expect("folder");
    let store = Store::open(&here.path().join("store")).expect("store");
    let reference = archive(here.path(), "one.tar", b"1");
    let inode = |image: &Image| fs::metadata(image.rootfs.as_ref().expect("rootfs")).expect("found").ino();
    let first = inode(&Image::resolve(&reference, &store).expect("image"));
    assert_eq!(first, inode(&Image::resolve(&reference, &store).expect("image")));
}

fn of_layers(folder: &Path, name: &str, layers: &[Vec<u8>], store: &Store) -> Image {
    write(&folder.join(name), &layout(layers, layers, "").parts);
    Image::resolve(&folder.join(name).to_string_lossy(), store).expect("image")
}

#[test]
fn images_with_the_same_lower_layers_share_their_files() {
    let here = tempfile::tempdir().expect("folder");
    let store = Store::open(&here.path().join("store")).expect("store");
    let base = tar(&[folder("bin", 0o750), file("bin/app", b"1"), file("bin/gone", b"1")]);
    let one = tar(&[file("bin/one", b"1"), file("bin/.wh.gone", b"")]);
    let two = tar(&[file("bin/app", b"changed"), file("two", b"2")]);
    let plain = of_layers(here.path(), "plain", std::slice::from_ref(&base), &store);
    let first = of_layers(here.path(), "first", &[base.clone(), one.clone()], &store);
    let second = of_layers(here.path(), "second", &[base.clone(), one, two], &store);
    let at = |image: &Image, name: &str| image.rootfs.as_ref().expect("files").join(name);
    let inode = |image: &Image, name: &str| fs::metadata(at(image, name)).expect("found").ino();
    assert_eq!(inode(&plain, "bin/app"), inode(&first, "bin/app"));
    assert_eq!(inode(&first, "bin/one"), inode(&second, "bin/one"));
    // Each sees its own layers, and only those.
    assert_eq!(fs::read(at(&first, "bin/app")).expect("app"), b"1");
    assert_eq!(fs::read(at(&second, "bin/app")).expect("app"), b"changed");
    assert!(at(&plain, "bin/gone").exists() && !at(&first, "bin/gone").exists());
    assert!(!at(&plain, "bin/one").exists() && !at(&first, "two").exists());
    // A folder nobody named again is as the lowest layer made it.
    let folder = fs::metadata(at(&second, "bin")).expect("bin");
    assert_eq!((folder.mode() & 0o7777, folder.mtime()), (0o750, 1_000_000_000));
    // Any can go first; what is left stays whole.
    let gone = plain.digest.clone();
    drop(plain);
    assert_eq!(store.remove(&gone).expect("removed"), Removed::Image(gone));
    let gone = first.digest.clone();
    drop(first);
    store.remove(&gone).expect("removed");
    assert_eq!(fs::read(at(&second, "bin/one")).expect("one"), b"1");
    let gone = second.digest.clone();
    drop(second);
    store.remove(&gone).expect("removed");
    for folder in ["rootfs/sha256", "blobs/sha256", "locks", "images", "tmp"] {
        assert_eq!(
            fs::read_dir(here.path().join("store").join(folder)).expect("list").count(),
            0,
            "{folder}"
        );
    }
}

#[test]
fn an_upper_layer_cannot_change_the_files_it_shares() {
    let here = tempfile::tempdir().expect("folder");
    let store = Store::open(&here.path().join("store")).expect("store");
    let base = tar(&[file("bin/app", b"1"), file("bin/other", b"2"), symbolic("link", "bin/app")]);
    let lower = of_layers(here.path(), "lower", std::slice::from_ref(&base), &store);
    let state = || {
        ["bin/app", "bin/other"].map(|name| {
            let path = lower.rootfs.as_ref().expect("files").join(name);
            let found = fs::metadata(&path).expect("found");
            (fs::read(&path).expect("read"), found.mode(), found.mtime(), found.uid())
        })
    };
    let before = state();
    // Every way to write to what is there: anew, by another name, through a link, with a mode.
    let attacks = [
        vec![file("bin/app", b"evil")],
        vec![hard("alias", "bin/app"), file("alias", b"evil")],
        vec![hard("alias", "bin/app"), raw(b'1', b"alias", b"bin/other", 0o6777, 0, b"")],
        vec![file("link", b"evil")],
        vec![raw(b'0', b"bin/app", b"", 0o4777, 0, b"")],
        vec![folder("bin", 0o777), raw(b'5', b"bin/app", b"", 0o777, 0, b"")],
        vec![hard("bin/app", "bin/other")],
    ];
    for (number, attack) in attacks.iter().enumerate() {
        let upper = of_layers(here.path(), &format!("upper-{number}"), &[base.clone(), tar(attack)], &store);
        assert_ne!(upper.rootfs, lower.rootfs);
        assert_eq!(state(), before, "attack {number}");
    }
}

#[test]
fn a_name_moves_to_the_image_it_was_last_given_to() {
    let here = tempfile::tempdir().expect("folder");
    let store = Store::open(&here.path().join("store")).expect("store");
    let old = of_layers(here.path(), "old", &[tar(&[file("bin/app", b"1")])], &store);
    let new = of_layers(here.path(), "new", &[tar(&[file("bin/app", b"2")])], &store);
    assert_eq!(store.find("mine:1").expect("list").expect("found").digest, new.digest);
    assert!(store.find(&old.digest).expect("list").expect("kept").names.is_empty());
    store.name(&old.digest, "elder").expect("named");
    store.name(&old.digest, "eldest").expect("named");
    let digest = old.digest.clone();
    assert!(matches!(store.remove(&digest), Err(Error::InUse { .. })));
    drop(old);
    // One of two names is only a name; the last is the image.
    assert_eq!(store.remove("elder").expect("removed"), Removed::Name("elder".into()));
    assert_eq!(store.remove("eldest").expect("removed"), Removed::Image(digest));
    assert_eq!(store.list().expect("list").len(), 1);
}

#[test]
fn eight_at_once_agree() {
    // flock belongs to the open file, so threads with stores of their own contend like processes.
    let here = tempfile::tempdir().expect("folder");
    let reference = archive(here.path(), "one.tar", &vec![5; 3 << 20]);
    let images: Vec<Image> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let store = Store::open(&here.path().join("store")).expect("store");
                    Image::resolve(&reference, &store).expect("image")
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("thread")).collect()
    });
    assert!(images.iter().all(|image| image.rootfs == images[0].rootfs));
    assert_eq!(fs::read_dir(here.path().join("store/rootfs/sha256")).expect("list").count(), 1);
    assert_eq!(fs::read_dir(here.path().join("store/tmp")).expect("list").count(), 0);
}

#[test]
fn what_is_in_use_is_not_removed() {
    let here = tempfile::tempdir().expect("folder");
    let store = Store::open(&here.path().join("store")).expect("store");
    let image = Image::resolve(&archive(here.path(), "one.tar", b"1"), &store).expect("image");
    let other = Image::resolve(&archive(here.path(), "two.tar", b"2"), &store).expect("image");
    assert_eq!(store.list().expect("list").len(), 2);
    assert!(matches!(store.remove("one"), Err(Error::InUse { .. })));
    let (rootfs, digest) = (image.rootfs.clone().expect("rootfs"), image.digest.clone());
    assert!(rootfs.exists());
    drop(image);
    store.remove(&digest).expect("removed");
    assert!(!rootfs.exists());
    assert!(matches!(store.remove(&digest), Err(Error::NotFound { .. })));
    assert!(other.rootfs.as_ref().expect("rootfs").join("bin/app").exists());
    // What is left are its layer, its configuration and its manifest.
    assert_eq!(
        fs::read_dir(here.path().join("store/blobs/sha256")).expect("list").count(),
        other.layers.len() + 2
    );
}

#[test]
fn what_a_killed_process_left_is_swept() {
    let here = tempfile::tempdir().expect("folder");
    let left = here.path().join("store/tmp/1-1/rootfs/deep");
    fs::create_dir_all(&left).expect("left");
    fs::write(left.join("x"), "").expect("left");
    Store::open(&here.path().join("store")).expect("store");
    assert_eq!(fs::read_dir(here.path().join("store/tmp")).expect("list").count(), 0);
}

#[test]
fn a_full_disk_leaves_nothing_under_the_final_name() {
    let here = tempfile::tempdir().expect("folder");
    let reference = archive(here.path(), "big.tar", &vec![5; 3 << 20]);
    let mount = here.path().join("small");
    fs::create_dir(&mount).expect("folder");
    // Room for the blob, not for its files as well.
    let options = c"size=5m";
    let flags = rustix::mount::MountFlags::empty();
    if let Err(error) = rustix::mount::mount("tmpfs", &mount, "tmpfs", flags, options) {
        println!("skipped: cannot mount a small file system: {error}");
        return;
    }
    let store = Store::open(&mount.join("store")).expect("store");
    let outcome = Image::resolve(&reference, &store);
    let left = |name: &str| fs::read_dir(mount.join("store").join(name)).expect("list").count();
    let left = (left("rootfs/sha256"), left("images"), left("tmp"));
    drop(store);
    rustix::mount::unmount(&mount, rustix::mount::UnmountFlags::DETACH).expect("unmount");
    let error = outcome.expect_err("full");
    assert!(matches!(error, Error::Full { .. }), "{error}");
    assert!(error.to_string().contains("No space left"), "{error}");
    assert_eq!(left, (0, 0, 0));
}
