//! Images of Debian packages.

use std::fs;

use crate::image::{BuildOptions, Error, Store};

fn options() -> BuildOptions {
    BuildOptions {
        packages: vec!["busybox-static".into()],
        variant: "extract".into(),
        name: Some("small:1".into()),
        entrypoint: vec!["/bin/busybox".into()],
        command: vec!["uptime".into()],
        environment: vec!["A=b".into()],
        user: Some("7:8".into()),
        working_directory: Some("/tmp".into()),
        ..BuildOptions::default()
    }
}

#[test]
fn packages_become_an_image_the_same_each_time() {
    let here = tempfile::tempdir().expect("folder");
    let store = Store::open(&here.path().join("store")).expect("store");
    let mut log = Vec::new();
    let image = match store.build(&options(), &mut |line| log.push(line.to_owned())) {
        Ok(image) => image,
        Err(Error::Missing { program }) => return println!("skipped: {program} is not installed"),
        // Another distribution, or no way to its packages.
        Err(error) if error.to_string().contains("package sources") => return println!("skipped: {error}"),
        Err(error) => panic!("{error}"),
    };
    let rootfs = image.rootfs.as_ref().expect("files");
    assert!(rootfs.join("bin/busybox").exists());
    assert!(!rootfs.join("etc/hostname").exists() && !rootfs.join("dev/null").exists());
    assert_eq!(image.command, ["/bin/busybox", "uptime"]);
    assert_eq!((image.user.as_str(), image.working_directory.as_str()), ("7:8", "/tmp"));
    assert!(image.environment.contains(&"A=b".to_owned()));
    assert!(log.iter().any(|line| line.contains("extracting")), "{log:?}");
    assert_eq!(store.find("small:1").expect("list").expect("found").digest, image.digest);
    let again = store.build(&options(), &mut |_| {}).expect("again");
    assert_eq!(again.digest, image.digest);
    assert_eq!(fs::read_dir(here.path().join("store/tmp")).expect("list").count(), 0);

    let unknown = BuildOptions { packages: vec!["no-such-package-here".into()], ..options() };
    let error = store.build(&unknown, &mut |_| {}).expect_err("unknown");
    assert!(error.to_string().contains("no-such-package-here"), "{error}");
    assert_eq!(store.list().expect("list").len(), 1);
    assert_eq!(fs::read_dir(here.path().join("store/tmp")).expect("list").count(), 0);
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_runs() {
    let here = tempfile::tempdir().expect("folder");
    let store = Store::open(&here.path().join("store")).expect("store");
    let with = |change: &dyn Fn(&mut BuildOptions)| {
        let mut changed = options();
        change(&mut changed);
        store.build(&changed, &mut |line| panic!("{line}")).expect_err("refused").to_string()
    };
    assert!(with(&|o| o.packages.clear()).contains("at least one"));
    assert!(with(&|o| o.packages.push("--simulate".into())).contains("--simulate"));
    assert!(with(&|o| o.packages.push("a b".into())).contains("a b"));
    assert!(with(&|o| o.variant = "huge".into()).contains("minbase"));
    assert!(with(&|o| o.environment.push("A".into())).contains("NAME=value"));
}
