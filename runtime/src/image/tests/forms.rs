//! Every form an image comes in, and what is no image.

use std::fs;
use std::path::{Path, PathBuf};

use super::build::{archive, file, folder, gzip, layout, saved, symbolic, tar, write, zstd};
use crate::image::{Error, Image, Store, inspect};

fn store(folder: &Path) -> Store {
    Store::open(&folder.join("store")).expect("store")
}

fn layers() -> Vec<Vec<u8>> {
    vec![
        tar(&[folder("bin", 0o755), file("bin/app", b"1"), file("gone", b"1")]),
        tar(&[file("bin/app", b"2"), file(".wh.gone", b"")]),
    ]
}

fn check(image: &Image) {
    let rootfs = image.rootfs.as_ref().expect("rootfs");
    assert_eq!(fs::read(rootfs.join("bin/app")).expect("app"), b"2");
    assert!(!rootfs.join("gone").exists());
    assert_eq!(image.command, ["/bin/app", "--go"]);
    assert_eq!(
        (image.environment.as_slice(), image.working_directory.as_str()),
        (&["A=b".to_owned()][..], "/srv")
    );
    assert_eq!(image.user, "7:8");
    assert_eq!(inspect(image)["layers"].as_array().expect("layers").len(), 2);
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let path = folder.join(name);
    fs::write(&path, bytes).expect("write");
    path.to_string_lossy().into_owned()
}

#[test]
fn layouts_in_folders_and_archives_are_the_same_image() {
    for (suffix, pack) in [("", <[u8]>::to_vec as fn(&[u8]) -> Vec<u8>), ("+gzip", gzip), ("+zstd", zstd)] {
        let here = tempfile::tempdir().expect("folder");
        let delivered: Vec<Vec<u8>> = layers().iter().map(|layer| pack(layer)).collect();
        let made = layout(&layers(), &delivered, suffix);
        write(&here.path().join("layout"), &made.parts);
        let packed = archive(&made.parts);
        let references = [
            here.path().join("layout").to_string_lossy().into_owned(),
            put(here.path(), "layout.tar", &packed),
            put(here.path(), "layout.tar.gz", &gzip(&packed)),
            put(here.path(), "layout.tar.zst", &zstd(&packed)),
        ];
        let store = store(here.path());
        for reference in &references {
            let image = Image::resolve(reference, &store).expect("image");
            check(&image);
            assert_eq!(image.digest, made.manifest);
        }
        assert_eq!(store.list().expect("list").len(), 1);
        for name in ["mine:1", &made.manifest, &made.manifest[..20], &made.manifest[7..20]] {
            assert_eq!(Image::resolve(name, &store).expect("by name").digest, made.manifest, "{name}");
        }
        assert!(Image::resolve(&format!("{}:1", references[0]), &store).is_ok());
        let error = Image::resolve(&format!("{}:9", references[0]), &store).expect_err("no such tag");
        assert!(error.to_string().contains("mine:1"), "{error}");
    }
}

#[test]
fn docker_save_archives_old_and_new() {
    for old in [true, false] {
        let here = tempfile::tempdir().expect("folder");
        let store = store(here.path());
        let reference = put(here.path(), "saved.tar", &archive(&saved(&layers(), old)));
        let image = Image::resolve(&reference, &store).expect("image");
        check(&image);
        // It came without a manifest and got one, which names the configuration it came with.
        assert_ne!(image.digest, image.config_digest);
        assert_eq!(Image::resolve(&image.config_digest, &store).expect("by ID").digest, image.digest);
        assert_eq!(Image::resolve("mine:2", &store).expect("by tag").digest, image.digest);
    }
}

#[test]
fn root_file_systems_as_folder_and_tar() {
    let here = tempfile::tempdir().expect("folder");
    let store = store(here.path());
    let plain = tar(&[folder("bin", 0o755), file("bin/app", b"2"), symbolic("sh", "bin/app")]);
    let mut digests = Vec::new();
    for (name, bytes) in [("r.tar", plain.clone()), ("r.tar.gz", gzip(&plain)), ("r.tar.zst", zstd(&plain))] {
        let image = Image::resolve(&put(here.path(), name, &bytes), &store).expect("image");
        assert_eq!(fs::read(image.rootfs.expect("rootfs").join("sh")).expect("sh"), b"2");
        digests.push(image.digest);
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]));

    let root = here.path().join("tree");
    fs::create_dir_all(root.join("bin")).expect("bin");
    fs::write(root.join("bin/app"), "3").expect("app");
    fs::hard_link(root.join("bin/app"), root.join("bin/twin")).expect("twin");
    std::os::unix::fs::symlink("/etc/passwd", root.join("bin/outward")).expect("link");
    let reference = root.to_string_lossy().into_owned();
    let first = Image::resolve(&reference, &store).expect("image");
    let files = first.rootfs.clone().expect("rootfs");
    assert_ne!(files, root);
    assert_eq!(fs::read(files.join("bin/twin")).expect("twin"), b"3");
    assert_eq!(fs::read_link(files.join("bin/outward")).expect("link"), PathBuf::from("/etc/passwd"));
    assert_eq!(Image::resolve(&reference, &store).expect("again").digest, first.digest);
    fs::write(root.join("bin/app"), "4").expect("app");
    assert_ne!(Image::resolve(&reference, &store).expect("changed").digest, first.digest);
}

#[test]
fn what_is_no_image_is_said_to_be_none() {
    let here = tempfile::tempdir().expect("folder");
    let store = store(here.path());
    fs::create_dir(here.path().join("empty")).expect("folder");
    let text = [b"just some text, ".repeat(100), vec![b'!'; 200]].concat();
    let cases = [
        put(here.path(), "text", &text),
        put(here.path(), "short", b"x"),
        put(here.path(), "nothing", b""),
        put(here.path(), "broken.gz", &gzip(&text)[..40]),
        put(here.path(), "text.gz", &gzip(&text)),
        put(here.path(), "letters.tar", &tar(&[file("letter.txt", b"dear")])),
        here.path().join("empty").to_string_lossy().into_owned(),
        "/dev/null".to_owned(),
    ];
    for reference in cases {
        let error = Image::resolve(&reference, &store).expect_err("no image");
        assert!(matches!(error, Error::NotAnImage { .. }), "{reference}: {error}");
        assert!(error.to_string().contains(&reference) && error.to_string().contains("expected"), "{error}");
    }
    for reference in ["nowhere", "/no/such/path", "", "sha256:00000000"] {
        let error = Image::resolve(reference, &store).expect_err("nothing");
        assert!(matches!(error, Error::NotFound { .. }), "{reference}: {error}");
    }
    assert!(Image::resolve("builtin", &store).expect("builtin").rootfs.is_none());
}

#[test]
fn what_is_forged_is_refused() {
    let delivered = layers();
    let made = layout(&layers(), &delivered, "");
    // Every part in turn: the same length with another content, then another length.
    for position in 0..made.parts.len() - 2 {
        for grow in [false, true] {
            let here = tempfile::tempdir().expect("folder");
            let mut parts = made.parts.clone();
            let bytes = &mut parts[position].1;
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            if grow {
                bytes.push(0);
            }
            write(&here.path().join("layout"), &parts);
            let reference = here.path().join("layout").to_string_lossy().into_owned();
            let error = Image::resolve(&reference, &store(here.path())).expect_err("forged");
            let expected = match grow {
                true => matches!(error, Error::SizeMismatch { .. }),
                false => matches!(error, Error::DigestMismatch { .. }),
            };
            assert!(expected, "part {position}: {error}");
        }
    }
    // A layer that is what its descriptor says, but not what the configuration says.
    let here = tempfile::tempdir().expect("folder");
    let other = vec![delivered[0].clone(), tar(&[file("evil", b"x")])];
    write(&here.path().join("layout"), &layout(&layers(), &other, "").parts);
    let reference = here.path().join("layout").to_string_lossy().into_owned();
    let error = Image::resolve(&reference, &store(here.path())).expect_err("forged");
    assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");
    assert_eq!(fs::read_dir(here.path().join("store/rootfs/sha256")).expect("list").count(), 0);
}

#[test]
fn an_image_for_another_machine_is_refused() {
    let here = tempfile::tempdir().expect("folder");
    let made = layout(&layers(), &layers(), "");
    let mut parts = made.parts;
    for (name, bytes) in &mut parts {
        if name == "index.json" {
            let text = String::from_utf8(bytes.clone()).expect("text");
            *bytes = text.replace("\"linux\"", "\"minix\"").into_bytes();
        }
    }
    write(&here.path().join("layout"), &parts);
    let reference = here.path().join("layout").to_string_lossy().into_owned();
    let error = Image::resolve(&reference, &store(here.path())).expect_err("foreign");
    assert!(matches!(error, Error::NoPlatform { .. }) && error.to_string().contains("plan9/vax"), "{error}");
}
