//! An image as a bundle: what its configuration becomes, and that other runtimes run it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::build::{archive, file, saved, tar};
use crate::image::{BundleOptions, Image, Store, bundle_config};

fn image(folder: &Path) -> Image {
    let path = folder.join("image.tar");
    let passwd = file("etc/passwd", b"seven:x:7:8::/:/bin/sh\n");
    fs::write(&path, archive(&saved(&[tar(&[file("bin/app", b"1"), passwd])], false))).expect("write");
    let store = Store::open(&folder.join("store")).expect("store");
    Image::resolve(&path.to_string_lossy(), &store).expect("image")
}

#[test]
fn the_configuration_follows_the_image() {
    let here = tempfile::tempdir().expect("folder");
    let mut image = image(here.path());
    image.details.labels = [("org.example".to_owned(), "yes".to_owned())].into();
    image.details.stop_signal = Some("SIGQUIT".into());
    let spec = |image: &Image, options: BundleOptions| {
        serde_json::to_value(bundle_config(image, &options).expect("spec")).expect("json")
    };
    let made = spec(&image, BundleOptions::default());
    assert_eq!(made["process"]["args"], serde_json::json!(["/bin/app", "--go"]));
    assert_eq!(made["process"]["cwd"], "/srv");
    assert_eq!((&made["process"]["user"]["uid"], &made["process"]["user"]["gid"]), (&7.into(), &8.into()));
    let env = made["process"]["env"].as_array().expect("env");
    assert!(
        env.contains(&"A=b".into()) && env.iter().any(|e| e.as_str().is_some_and(|e| e.starts_with("PATH=")))
    );
    assert_eq!(made["annotations"]["org.example"], "yes");
    assert_eq!(made["annotations"]["org.opencontainers.image.stopSignal"], "SIGQUIT");
    assert_eq!(made["annotations"]["org.opencontainers.image.os"], "linux");
    assert_eq!(made["root"]["path"], image.rootfs.as_ref().expect("files").to_string_lossy().as_ref());

    let options = BundleOptions {
        arguments: Some(vec!["/bin/other".into()]),
        environment: vec!["A=c".into(), "PATH=/x".into()],
        hostname: Some("box".into()),
        rootfs: Some("rootfs".into()),
        is_read_only: true,
    };
    let made = spec(&image, options);
    assert_eq!(made["process"]["args"], serde_json::json!(["/bin/other"]));
    assert_eq!(made["process"]["env"], serde_json::json!(["PATH=/x", "A=c"]));
    assert_eq!((&made["hostname"], &made["root"]["readonly"]), (&"box".into(), &true.into()));

    image.user = "nobody-known".into();
    let error = bundle_config(&image, &BundleOptions::default()).expect_err("user");
    assert!(error.to_string().contains("nobody-known"), "{error}");
    image.user = String::new();
    image.command.clear();
    let error = bundle_config(&image, &BundleOptions::default()).expect_err("command");
    assert!(error.to_string().contains("no command"), "{error}");
    let error = bundle_config(&Image::builtin(), &BundleOptions::default()).expect_err("files");
    assert!(error.to_string().contains("no files"), "{error}");
}

/// crun refuses hosts that mount both versions of cgroups, even where it is to use none. In a mount
/// namespace of its own it does not see the second.
const WITHOUT_HYBRID: &str = r#"
[ ! -d /sys/fs/cgroup/unified ] || mount -t tmpfs none /sys/fs/cgroup/unified || exit 1
exec "$0" "$@"
"#;

/// Runs the built-in image with another runtime. The guest program, told nothing, says how it
/// wants to be called.
fn is_run_by(runtime: &str, options: &[&str]) {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: {runtime} needs root to run this bundle");
        return;
    }
    if Command::new(runtime).arg("--version").output().is_err() {
        println!("skipped: {runtime} is not installed");
        return;
    }
    let here = tempfile::tempdir().expect("folder");
    let store = Store::open(&here.path().join("store")).expect("store");
    let image = Image::builtin().with_files(&store).expect("image");
    // Read-only: the files are the store's own.
    let options_of = BundleOptions { is_read_only: true, ..BundleOptions::default() };
    let spec = bundle_config(&image, &options_of).expect("spec");
    fs::write(here.path().join("config.json"), serde_json::to_vec(&spec).expect("json")).expect("config");
    let name = format!("bundle-test-{}", std::process::id());
    let root = here.path().join("state");
    let call = |arguments: &[&str]| -> Output {
        Command::new("unshare")
            .args(["--mount", "timeout", "30", "sh", "-c", WITHOUT_HYBRID, runtime])
            .args(options)
            .arg("--root")
            .arg(&root)
            .args(arguments)
            .current_dir(here.path())
            .output()
            .expect("called")
    };
    let said = call(&["run", &name]);
    call(&["delete", "--force", &name]);
    let text = String::from_utf8_lossy(&said.stderr);
    assert!(text.contains("guest: usage"), "{said:?}");
    assert_eq!(said.status.code(), Some(2), "{said:?}");
}

#[test]
fn runc_runs_it() {
    is_run_by("runc", &[]);
}

#[test]
fn crun_runs_it() {
    is_run_by("crun", &["--cgroup-manager=disabled"]);
}

#[test]
fn the_built_in_image_is_the_same_in_every_store() {
    let bare = Image::builtin();
    assert!(bare.rootfs.is_none() && bare.digest.starts_with("sha256:"));
    for _ in 0..2 {
        let here = tempfile::tempdir().expect("folder");
        let store = Store::open(&here.path().join("store")).expect("store");
        let image = bare.with_files(&store).expect("image");
        assert_eq!((&image.digest, &image.config_digest), (&bare.digest, &bare.config_digest));
        assert_eq!(image.layers, bare.layers);
        let program = image.rootfs.expect("files").join("init");
        assert!(fs::read(program).expect("program") == crate::guest_program_bytes());
        assert_eq!(image.command, ["/init"]);
        assert_eq!(store.find("builtin").expect("listed").expect("found").digest, bare.digest);
    }
}
