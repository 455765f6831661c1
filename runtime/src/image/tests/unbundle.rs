//! Images as bundles and back.

use std::fs;
use std::path::Path;

use super::build::{archive, file, saved, tar};
use crate::image::{Image, Store, differences};

fn image(folder: &Path, store: &Store) -> Image {
    let path = folder.join("image.tar");
    let passwd = file("etc/passwd", b"seven:x:7:8::/:/bin/sh\n");
    let layers = [tar(&[file("bin/app", b"1"), passwd]), tar(&[file("bin/app", b"22"), file("srv/x", b"3")])];
    fs::write(&path, archive(&saved(&layers, false))).expect("write");
    let mut image = Image::resolve(&path.to_string_lossy(), store).expect("image");
    image.details.labels = [("org.example".to_owned(), "yes".to_owned())].into();
    image.details.stop_signal = Some("SIGQUIT".into());
    image.details.exposed_ports = vec!["80/tcp".into()];
    image
}

#[test]
fn an_image_comes_back_with_its_files_and_what_a_bundle_can_say() {
    let here = tempfile::tempdir().expect("folder");
    let store = Store::open(&here.path().join("store")).expect("store");
    let before = image(here.path(), &store);
    let bundle = here.path().join("bundle");
    before.write_bundle(&store, &bundle).expect("written");
    assert_eq!(fs::read(bundle.join("rootfs/bin/app")).expect("read"), b"22");
    let names: Vec<_> =
        fs::read_dir(&bundle).expect("listed").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let after = Image::resolve(&bundle.to_string_lossy(), &store).expect("brought in");
    assert_eq!(after.command, ["/bin/app", "--go"]);
    assert_eq!((after.working_directory.as_str(), after.user.as_str()), ("/srv", "7:8"));
    assert_eq!(after.details.labels, before.details.labels);
    assert_eq!(after.details.stop_signal.as_deref(), Some("SIGQUIT"));
    assert_eq!(after.details.exposed_ports, ["80/tcp"]);
    let found = differences(&before, &after).expect("compared");
    assert!(found[0].starts_with("the files are the same"), "{found:?}");
    let named = |what: &str| found.iter().any(|one| one.starts_with(what));
    assert!(named("2 layers are 1") && named("entrypoint was") && named("environment was"), "{found:?}");
    assert!(!named("command") && !named("labels") && !named("ports") && !named("stop signal"), "{found:?}");

    // Once it is what a bundle can say, nothing is lost any more.
    let again = here.path().join("again");
    after.write_bundle(&store, &again).expect("written");
    let last = Image::resolve(&again.to_string_lossy(), &store).expect("brought in");
    assert_eq!(
        (last.digest == after.digest, differences(&after, &last).expect("compared")),
        (true, Vec::new())
    );

    // A file that changed on the way is named.
    fs::write(again.join("rootfs/srv/x"), "4").expect("written");
    let spoilt = Image::resolve(&again.to_string_lossy(), &store).expect("brought in");
    assert!(differences(&after, &spoilt).expect("compared")[0].starts_with("the files differ"));
}

#[test]
fn a_bundle_brings_no_files_of_the_hosts() {
    let here = tempfile::tempdir().expect("folder");
    let store = Store::open(&here.path().join("store")).expect("store");
    let bundle = here.path().join("bundle");
    image(here.path(), &store).write_bundle(&store, &bundle).expect("written");
    let config = fs::read_to_string(bundle.join("config.json")).expect("read");
    std::os::unix::fs::symlink("/etc", bundle.join("link")).expect("linked");
    for root in ["/", "/etc", "..", "rootfs/../..", "link", "nowhere", "."] {
        let mut changed: serde_json::Value = serde_json::from_str(&config).expect("JSON");
        changed["root"]["path"] = root.into();
        fs::write(bundle.join("config.json"), changed.to_string()).expect("written");
        let error = Image::resolve(&bundle.to_string_lossy(), &store).map(drop).expect_err(root).to_string();
        assert!(error.contains("no folder inside of it"), "{root}: {error}");
    }
    fs::write(bundle.join("config.json"), "{").expect("written");
    assert!(Image::resolve(&bundle.to_string_lossy(), &store).is_err());
}
