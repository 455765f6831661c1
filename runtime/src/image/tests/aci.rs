//! App Container Images: what becomes of them, and which are refused.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::build::{file, folder, gzip, hard, symbolic, tar};
use crate::image::{Error, Image, Store};

fn manifest() -> Value {
    json!({
        "acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/app",
        "labels": [{"name": "version", "value": "1.0"}, {"name": "os", "value": "linux"}],
        "app": {
            "exec": ["/bin/app", "--go"], "user": "7", "group": "8", "workingDirectory": "/srv",
            "environment": [{"name": "A", "value": "b"}],
            "ports": [{"name": "www", "protocol": "tcp", "port": 80}],
            "mountPoints": [{"name": "data", "path": "/var/data"}],
            "isolators": [{"name": "resource/memory", "value": {"limit": "1G"}}],
        },
        "annotations": [{"name": "authors", "value": "me"}, {"name": "homepage", "value": "there"}],
    })
}

fn archive(manifest: &Value, files: &[Vec<u8>]) -> Vec<u8> {
    let text = manifest.to_string();
    let mut members = vec![file("manifest", text.as_bytes()), folder("rootfs", 0o750)];
    members.extend(files.iter().cloned());
    tar(&members)
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let path = folder.join(name);
    fs::write(&path, bytes).expect("write");
    path.to_string_lossy().into_owned()
}

fn files() -> Vec<Vec<u8>> {
    vec![
        file("rootfs/bin/app", b"1"),
        hard("rootfs/bin/twin", "rootfs/bin/app"),
        symbolic("rootfs/sh", "bin/app"),
        file("beside", b"not of the image"),
    ]
}

/// With a program that packs; none where it is missing.
fn packed(program: &str, folder: &Path, bytes: &[u8]) -> Option<Vec<u8>> {
    let plain = put(folder, "plain", bytes);
    let output = Command::new(program).arg("-c").arg(plain).stdin(Stdio::null()).output();
    match output {
        Ok(output) => Some(output.stdout),
        Err(error) => {
            println!("skipped: {program}: {error}");
            None
        }
    }
}

#[test]
fn they_become_images() {
    let here = tempfile::tempdir().expect("folder");
    let store = Store::open(&here.path().join("store")).expect("store");
    let plain = archive(&manifest(), &files());
    let mut forms = vec![plain.clone(), gzip(&plain)];
    forms.extend(["xz", "bzip2"].into_iter().filter_map(|program| packed(program, here.path(), &plain)));
    let mut digests = Vec::new();
    for (number, form) in forms.iter().enumerate() {
        let image = Image::resolve(&put(here.path(), &format!("{number}.aci"), form), &store).expect("image");
        digests.push(image.digest.clone());
        let rootfs = image.rootfs.as_ref().expect("files");
        assert_eq!(fs::read(rootfs.join("bin/twin")).expect("twin"), b"1");
        assert_eq!(fs::read(rootfs.join("sh")).expect("link"), b"1");
        assert!(!rootfs.join("beside").exists() && !rootfs.join("rootfs").exists());
        assert_eq!(image.command, ["/bin/app", "--go"]);
        assert_eq!((image.user.as_str(), image.working_directory.as_str()), ("7:8", "/srv"));
        assert_eq!(image.environment, ["A=b"]);
        assert_eq!(image.details.exposed_ports, ["80/tcp"]);
        assert_eq!(image.details.volumes, ["/var/data"]);
        assert_eq!(image.details.author.as_deref(), Some("me"));
        assert_eq!(image.details.labels["homepage"], "there");
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]) && store.list().expect("list").len() == 1);
    for name in ["example.com/app", "example.com/app:1.0"] {
        assert_eq!(Image::resolve(name, &store).expect(name).digest, digests[0]);
    }
}

#[test]
fn dependencies_come_from_the_store_or_are_named() {
    let here = tempfile::tempdir().expect("folder");
    let store = Store::open(&here.path().join("store")).expect("store");
    let mut upper = manifest();
    upper["name"] = json!("example.com/upper");
    upper["dependencies"] =
        json!([{"imageName": "example.com/app", "labels": [{"name": "version", "value": "1.0"}]}]);
    let reference = put(here.path(), "upper.aci", &archive(&upper, &[file("rootfs/upper", b"2")]));
    let error = Image::resolve(&reference, &store).expect_err("missing");
    assert!(error.to_string().contains("depends on example.com/app:1.0"), "{error}");

    let lower = archive(&manifest(), &files());
    Image::resolve(&put(here.path(), "lower.aci", &lower), &store).expect("lower");
    let image = Image::resolve(&reference, &store).expect("image");
    let rootfs = image.rootfs.as_ref().expect("files");
    assert!(rootfs.join("upper").exists() && rootfs.join("bin/app").exists());
    assert_eq!(image.layers.len(), 2);

    // By its ID: the right one is found, another is not.
    use sha2::Digest as _;
    let hex: String = sha2::Sha512::digest(&lower).iter().map(|byte| format!("{byte:02x}")).collect();
    for (id, is_found) in [(format!("sha512-{hex}"), true), (format!("sha512-{}", "0".repeat(128)), false)] {
        upper["dependencies"] = json!([{"imageName": "example.com/app", "imageID": id}]);
        let reference = put(here.path(), "by-id.aci", &archive(&upper, &[file("rootfs/upper", b"3")]));
        assert_eq!(Image::resolve(&reference, &store).is_ok(), is_found, "{id}");
    }
}

#[test]
fn what_cannot_be_kept_is_refused_by_name() {
    let here = tempfile::tempdir().expect("folder");
    let store = Store::open(&here.path().join("store")).expect("store");
    let refuse = |change: &dyn Fn(&mut Value), files: &[Vec<u8>], says: &str| {
        let mut changed = manifest();
        change(&mut changed);
        let reference = put(here.path(), "x.aci", &archive(&changed, files));
        let error = Image::resolve(&reference, &store).expect_err(says);
        assert!(error.to_string().contains(says), "{says}: {error}");
    };
    let same = |_: &mut Value| {};
    refuse(&|m| m["acKind"] = json!("PodManifest"), &files(), "acKind");
    refuse(&|m| m["pathWhitelist"] = json!(["/x"]), &files(), "pathWhitelist");
    refuse(&|m| m["app"]["eventHandlers"] = json!([{"name": "pre-start"}]), &files(), "eventHandlers");
    refuse(&|m| m["app"]["supplementaryGIDs"] = json!([4]), &files(), "supplementaryGIDs");
    refuse(&|m| m["app"]["user"] = json!("/bin/app"), &files(), "owner of");
    refuse(&|m| drop(m["app"].as_object_mut().expect("app").remove("exec")), &files(), "exec");
    refuse(&|m| m["labels"] = json!([{"name": "arch", "value": "vax"}]), &files(), "linux/vax");
    refuse(&same, &[file("rootfs/.wh.x", b"")], "whiteout");
    refuse(&same, &[file("rootfs/../../x", b"")], "`..`");
    refuse(&same, &[hard("rootfs/x", "manifest")], "out of rootfs");
    assert!(store.list().expect("list").is_empty());
    let error = Image::resolve(&put(here.path(), "y.aci", b"\xfd7zXZ\0broken"), &store).expect_err("broken");
    assert!(matches!(error, Error::NotAnImage { .. }), "{error}");
}
