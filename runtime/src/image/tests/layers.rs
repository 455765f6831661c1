//! What applying good layers gives.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::build::{file, folder, gzip, hard, pax, raw, symbolic, tar, zstd};
use crate::image::Error;
use crate::image::digest::Digest;
use crate::image::layer::Layer;
use crate::image::tree::{Devices, Tree};

/// Applies layers to a new root, without a store.
pub(super) fn apply(folder: &Path, layers: &[Vec<u8>], limit_bytes: u64) -> Result<PathBuf, Error> {
    let ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
    apply_as(folder, layers, &ids, Devices::Refuse, limit_bytes)
}

pub(super) fn apply_as(
    folder: &Path,
    delivered: &[Vec<u8>],
    ids: &[Digest],
    devices: Devices,
    limit_bytes: u64,
) -> Result<PathBuf, Error> {
    let (root, trash) = (folder.join("root"), folder.join("trash"));
    fs::create_dir(&root).expect("root");
    fs::create_dir(&trash).expect("trash");
    let mut tree = Tree::open(&root, &trash, devices).expect("tree");
    let mut budget = limit_bytes;
    for (position, (layer, diff_id)) in delivered.iter().zip(ids).enumerate() {
        let path = folder.join(format!("layer-{position}"));
        fs::write(&path, layer).expect("layer");
        let blob = fs::File::open(&path).expect("layer");
        let layer = Layer { label: format!("layer {position}"), blob: &blob, diff_id };
        layer.apply(&mut tree, position == 0, &mut budget)?;
    }
    tree.finish().map_err(|refusal| Error::malformed("layers", refusal.why))?;
    Ok(root)
}

const LIMIT_BYTES: u64 = 64 << 20;

fn applied(layers: &[Vec<u8>]) -> (tempfile::TempDir, PathBuf) {
    let temporary = tempfile::tempdir().expect("folder");
    let root = apply(temporary.path(), layers, LIMIT_BYTES).expect("applied");
    (temporary, root)
}

#[test]
fn every_kind_keeps_what_it_came_with() {
    let member = |records: &[(&str, &[u8])], member: Vec<u8>| [pax(records), member].concat();
    let (_kept, root) = applied(&[tar(&[
        folder("./", 0o750),
        folder("bin/", 0o555),
        member(
            &[("mtime", b"1234567890.5"), ("SCHILY.xattr.user.note", b"a\n12 size=99\n")],
            file("bin/app", b"run"),
        ),
        raw(b'0', b"bin/su", b"", 0o4755, 1, b"s"),
        symbolic("bin/sh", "app"),
        hard("bin/twin", "bin/app"),
        raw(b'6', b"bin/pipe", b"", 0o600, 0, b""),
        file("made/on/the/way", b""),
    ])]);
    assert_eq!(fs::metadata(&root).expect("root").mode() & 0o7777, 0o750);
    let bin = fs::metadata(root.join("bin")).expect("bin");
    assert_eq!((bin.mode() & 0o7777, bin.mtime()), (0o555, 1_000_000_000));
    let app = fs::metadata(root.join("bin/app")).expect("app");
    assert_eq!((app.mtime(), app.mtime_nsec(), app.nlink()), (1_234_567_890, 500_000_000, 2));
    assert_eq!(app.ino(), fs::metadata(root.join("bin/twin")).expect("twin").ino());
    assert_eq!(fs::read_link(root.join("bin/sh")).expect("link"), Path::new("app"));
    assert_eq!(fs::symlink_metadata(root.join("bin/sh")).expect("link").mtime(), 1_000_000_000);
    assert_eq!(fs::metadata(root.join("bin/su")).expect("su").mode() & 0o7777, 0o4755);
    assert!(root.join("made/on/the/way").exists());
    let mut note = [0; 64];
    match rustix::fs::getxattr(root.join("bin/app"), "user.note", &mut note) {
        // A reader that cuts records at line ends would have seen a size here.
        Ok(length) => assert_eq!(&note[..length], b"a\n12 size=99\n"),
        Err(error) => panic!("attribute: {error}"),
    }
    // So that an ordinary user can remove it again.
    fs::set_permissions(root.join("bin"), fs::Permissions::from_mode(0o755)).expect("mode");
}

#[test]
fn whiteouts_hide_lower_layers_only() {
    let lower = tar(&[file("a/old", b"1"), file("a/kept", b"1"), file("b/one", b"1"), file("b/two/x", b"1")]);
    let upper = tar(&[
        file("a/.wh.old", b""),
        file("b/new", b"2"),
        // After the file it must not hide, and before one it must.
        file("b/.wh..wh..opq", b""),
        file("a/.wh.same", b""),
        file("a/same", b"2"),
        file("c/.wh.absent", b""),
    ]);
    let (_kept, root) = applied(&[lower, upper]);
    let list = |name: &str| {
        let mut names: Vec<_> = fs::read_dir(root.join(name))
            .expect("folder")
            .map(|entry| entry.expect("entry").file_name())
            .collect();
        names.sort();
        names
    };
    assert_eq!(list("a"), ["kept", "same"]);
    assert_eq!(list("b"), ["new"]);
    assert!(!root.join("c").exists());
}

#[test]
fn a_file_replaces_a_folder_and_a_folder_keeps_its_files() {
    let lower = tar(&[folder("d", 0o700), file("d/x", b"1"), folder("e", 0o700), file("e/x", b"1")]);
    let upper = tar(&[folder("d", 0o711), file("e", b"now a file")]);
    let (_kept, root) = applied(&[lower, upper]);
    assert_eq!(fs::metadata(root.join("d")).expect("d").mode() & 0o777, 0o711);
    assert!(root.join("d/x").exists());
    assert_eq!(fs::read(root.join("e")).expect("e"), b"now a file");
}

#[test]
fn an_upper_folder_replaces_the_attributes_of_a_lower_one() {
    let with = |records: &[(&str, &[u8])], mode| [pax(records), folder("d", mode)].concat();
    let lower: &[(&str, &[u8])] = &[("SCHILY.xattr.user.old", b"1"), ("SCHILY.xattr.user.both", b"1")];
    let upper: &[(&str, &[u8])] = &[("SCHILY.xattr.user.both", b"2"), ("SCHILY.xattr.user.new", b"2")];
    let read = |root: &Path, name: &str| {
        let mut value = [0; 8];
        let length = rustix::fs::getxattr(root.join("d"), name, &mut value).ok()?;
        Some(value[..length].to_vec())
    };
    let (_kept, root) = applied(&[tar(&[with(lower, 0o755)]), tar(&[with(upper, 0o700)])]);
    assert_eq!(read(&root, "user.old"), None);
    assert_eq!(read(&root, "user.both"), Some(b"2".to_vec()));
    assert_eq!(read(&root, "user.new"), Some(b"2".to_vec()));
    // The control: a layer that does not name the folder leaves it as it is.
    let (_kept, root) = applied(&[tar(&[with(lower, 0o755)]), tar(&[file("d/x", b"")])]);
    assert_eq!(read(&root, "user.old"), Some(b"1".to_vec()));
}

#[test]
fn compressed_layers_are_told_by_their_first_bytes() {
    let plain = tar(&[file("x", &[7; 300_000])]);
    let skippable = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..], &zstd(&plain)].concat();
    // Two frames and two gzip members after each other are one stream.
    let halves = |pack: fn(&[u8]) -> Vec<u8>| [pack(&plain[..1000]), pack(&plain[1000..])].concat();
    for delivered in [gzip(&plain), zstd(&plain), skippable, halves(gzip), halves(zstd)] {
        let temporary = tempfile::tempdir().expect("folder");
        let ids = [Digest::of(&plain)];
        let root =
            apply_as(temporary.path(), &[delivered], &ids, Devices::Refuse, LIMIT_BYTES).expect("applied");
        assert_eq!(fs::read(root.join("x")).expect("x"), [7; 300_000]);
    }
}

#[test]
fn devices_are_made_only_when_asked_for() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: device nodes need root");
        return;
    }
    let temporary = tempfile::tempdir().expect("folder");
    let layers = [tar(&[raw(b'3', b"null", b"", 0o666, 0, b"")])];
    let ids = [Digest::of(&layers[0])];
    match apply_as(temporary.path(), &layers, &ids, Devices::Create, LIMIT_BYTES) {
        Ok(root) => {
            let made = fs::metadata(root.join("null")).expect("null");
            assert_eq!((made.rdev(), made.mode() & 0o777), (rustix::fs::makedev(1, 3), 0o666));
        }
        Err(error) if error.to_string().contains("not permitted") => println!("skipped: {error}"),
        Err(error) => panic!("{error}"),
    }
}
