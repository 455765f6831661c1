//! Images that other programs have made or take: skopeo, umoci, podman.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::build::{file, folder, gzip, layout, tar, write};
use crate::image::{Format, Image, Store};

/// Runs a program; none where it is not installed.
fn call(program: &str, arguments: &[&str]) -> Option<String> {
    // Told of a service, podman is its client and knows nothing of a storage of its own.
    match Command::new(program).args(arguments).env_remove("CONTAINER_HOST").output() {
        Err(error) => {
            println!("skipped: {program}: {error}");
            None
        }
        Ok(output) => {
            assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
            Some(String::from_utf8_lossy(&output.stdout).into_owned())
        }
    }
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_string_lossy().into_owned()
}

/// A layout of two layers, tagged `mine:1`.
fn put_layout(here: &Path) {
    let layers = [
        tar(&[folder("bin", 0o755), file("bin/app", b"1"), file("gone", b"1")]),
        tar(&[file("bin/app", b"2"), file(".wh.gone", b"")]),
    ];
    let delivered: Vec<Vec<u8>> = layers.iter().map(|layer| gzip(layer)).collect();
    let mut made = layout(&layers, &delivered, "+gzip");
    for (name, bytes) in &mut made.parts {
        if name == "index.json" {
            // Only what is there: other programs do not take an index that promises more.
            let mut index: serde_json::Value = serde_json::from_slice(bytes).expect("index");
            index["manifests"] = serde_json::json!([index["manifests"][2]]);
            *bytes = index.to_string().into_bytes();
        }
    }
    write(&here.join("layout"), &made.parts);
}

fn check(image: &Image) {
    let rootfs = image.rootfs.as_ref().expect("files");
    assert_eq!(fs::read(rootfs.join("bin/app")).expect("app"), b"2");
    assert!(!rootfs.join("gone").exists());
    assert_eq!(image.command, ["/bin/app", "--go"]);
    assert_eq!((image.user.as_str(), image.working_directory.as_str()), ("7:8", "/srv"));
}

#[test]
fn what_skopeo_copies_is_taken() {
    let here = tempfile::tempdir().expect("folder");
    put_layout(here.path());
    let store = Store::open(&here.path().join("store")).expect("store");
    let from = format!("oci:{}", path(here.path(), "layout"));
    let copies = [
        ("oci", "copy-oci", &[][..]),
        ("oci", "copy-zstd", &["--dest-compress-format=zstd", "--dest-compress"]),
        ("oci-archive", "copy.tar", &[]),
        ("docker-archive", "saved.tar", &[]),
        ("dir", "copy-dir", &[]),
    ];
    for (kind, name, options) in copies {
        let to = path(here.path(), name);
        let tagged =
            if kind == "docker-archive" { format!("{kind}:{to}:some/app:2") } else { format!("{kind}:{to}") };
        let mut arguments = vec!["copy", "--insecure-policy", "--quiet"];
        arguments.extend(options);
        arguments.extend([from.as_str(), tagged.as_str()]);
        if call("skopeo", &arguments).is_none() {
            return;
        }
        match kind {
            // skopeo's own form, which nobody else writes.
            "dir" => assert!(Image::resolve(&to, &store).is_err()),
            _ => check(&Image::resolve(&to, &store).expect(name)),
        }
    }
    assert!(store.find("docker.io/some/app:2").expect("list").is_some());
}

#[test]
fn what_podman_saves_is_taken_and_what_is_exported_it_loads() {
    let here = tempfile::tempdir().expect("folder");
    put_layout(here.path());
    let store = Store::open(&here.path().join("store")).expect("store");
    // A storage of its own, and nothing of the user's.
    let (graph, run) = (path(here.path(), "graph"), path(here.path(), "run"));
    let podman = |arguments: &[&str]| {
        let mut all =
            vec!["--root", &graph, "--runroot", &run, "--storage-driver=vfs", "--cgroup-manager=cgroupfs"];
        all.extend(arguments);
        call("podman", &all)
    };
    if !rustix::process::geteuid().is_root() {
        println!("skipped: podman's own storage needs root or user namespaces");
        return;
    }
    let image = Image::resolve(&path(here.path(), "layout"), &store).expect("image");
    // The ID podman gives an image is that of its configuration.
    let id = &image.config_digest[7..];
    for (format, name) in [(Format::Oci, "oci.tar"), (Format::Docker, "docker.tar")] {
        let out = path(here.path(), name);
        store.export_to(&image, format, Path::new(&out)).expect("exported");
        if podman(&["load", "--quiet", "--input", &out]).is_none() {
            return;
        }
        let known = podman(&["image", "inspect", "--format", "{{.Id}}", id]);
        assert_eq!(known.as_deref().map(str::trim), Some(id), "{name}");
        for kind in ["docker-archive", "oci-archive"] {
            let saved = path(here.path(), &format!("saved-{kind}-of-{name}"));
            podman(&["save", "--quiet", "--format", kind, "--output", &saved, id]);
            check(&Image::resolve(&saved, &store).expect(kind));
        }
        podman(&["rmi", "--force", id]);
    }
}

#[test]
fn what_is_exported_other_programs_take_with_its_digest() {
    let here = tempfile::tempdir().expect("folder");
    put_layout(here.path());
    let store = Store::open(&here.path().join("store")).expect("store");
    let image = Image::resolve(&path(here.path(), "layout"), &store).expect("image");
    let out = path(here.path(), "out");
    store.export_to(&image, Format::OciFolder, Path::new(&out)).expect("exported");
    let tagged = format!("{out}:mine:1");
    if let Some(text) = call("skopeo", &["inspect", "--format", "{{.Digest}}", &format!("oci:{out}:mine:1")])
    {
        assert_eq!(text.trim(), image.digest);
    }
    let archive = path(here.path(), "out.tar");
    store.export_to(&image, Format::Docker, Path::new(&archive)).expect("exported");
    if let Some(text) =
        call("skopeo", &["inspect", "--config", "--raw", &format!("docker-archive:{archive}")])
    {
        assert_eq!(crate::image::Digest::of(text.as_bytes()).to_string(), image.config_digest);
    }
    // umoci unpacks the same files.
    if !rustix::process::geteuid().is_root() {
        println!("skipped: umoci unpacks owners, which needs root");
        return;
    }
    let bundle = path(here.path(), "bundle");
    if call("umoci", &["unpack", "--image", &tagged, &bundle]).is_some() {
        let theirs = here.path().join("bundle/rootfs");
        let ours = image.rootfs.as_ref().expect("files");
        assert_eq!(
            call("diff", &["-r", &theirs.to_string_lossy(), &ours.to_string_lossy()]).as_deref(),
            Some("")
        );
    }
}

#[test]
fn what_umoci_repacks_is_taken() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: umoci unpacks owners, which needs root");
        return;
    }
    let here = tempfile::tempdir().expect("folder");
    put_layout(here.path());
    let image = format!("{}:mine:1", path(here.path(), "layout"));
    let bundle = path(here.path(), "bundle");
    if call("umoci", &["unpack", "--image", &image, &bundle]).is_none() {
        return;
    }
    fs::write(here.path().join("bundle/rootfs/added"), "3").expect("added");
    fs::remove_dir_all(here.path().join("bundle/rootfs/bin")).expect("removed");
    let repacked = format!("{}:mine:2", path(here.path(), "layout"));
    call("umoci", &["repack", "--image", &repacked, &bundle]);
    let store = Store::open(&here.path().join("store")).expect("store");
    let image = Image::resolve(&repacked.replace(":mine:2", ":2"), &store).expect("image");
    let rootfs = image.rootfs.as_ref().expect("files");
    assert_eq!(image.layers.len(), 3);
    assert_eq!(fs::read(rootfs.join("added")).expect("added"), b"3");
    assert!(!rootfs.join("bin").exists());
}
