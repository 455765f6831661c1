//! `bench image`: bring in, list, show, hand on, remove.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::{Said, bench, said};

/// `bench image …` with a store in `folder`.
fn image(folder: &Path, arguments: &[&str]) -> Said {
    said(bench(folder).env("XDG_CACHE_HOME", folder.join("cache")).arg("image").args(arguments))
}

/// A root file system of one program.
fn root(folder: &Path, name: &str, content: &str) {
    let program = folder.join(name).join("bin/app");
    fs::create_dir_all(program.parent().unwrap()).unwrap();
    fs::write(&program, content).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn an_image_comes_goes_on_and_goes() {
    let here = tempfile::tempdir().unwrap();
    let here = here.path();
    root(here, "tree", "1");
    let imported = image(here, &["import", "tree", "--name", "mine:1"]);
    assert_eq!(imported.code, Some(0), "{imported:?}");
    let digest = imported.out.trim().to_owned();
    assert!(digest.starts_with("sha256:") && digest.len() == 71, "{imported:?}");

    let listed = image(here, &["list"]);
    assert!(listed.out.contains("mine:1") && listed.out.contains(&digest[..19]), "{listed:?}");
    let json: serde_json::Value = serde_json::from_str(&image(here, &["list", "--json"]).out).unwrap();
    assert_eq!((json[0]["digest"].as_str(), json.as_array().unwrap().len()), (Some(digest.as_str()), 1));
    let shown = image(here, &["inspect", "mine:1"]);
    assert!(shown.out.contains(&digest) && shown.out.contains("amd64") || cfg!(not(target_arch = "x86_64")));
    let json: serde_json::Value =
        serde_json::from_str(&image(here, &["inspect", &digest[..20], "--json"]).out).unwrap();
    assert_eq!(json["digest"], digest.as_str());

    // Whatever it is handed on as, it comes back as the same image.
    for (format, file) in [("oci", "out.tar"), ("oci-folder", "out"), ("docker", "saved.tar")] {
        let written = image(here, &["export", "mine:1", "--format", format, file]);
        assert_eq!(written.code, Some(0), "{written:?}");
        let other = here.join(format);
        let back = said(bench(here).env("XDG_CACHE_HOME", &other).args(["image", "import", file]));
        assert_eq!(back.out.trim(), digest, "{format}: {back:?}");
    }
    let again = image(here, &["export", "mine:1", "--format", "oci-folder", "out"]);
    assert!(again.code == Some(1) && again.err.contains("exists"), "{again:?}");

    let removed = image(here, &["rm", "tree"]);
    assert_eq!(removed.out, "removed the name tree\n", "{removed:?}");
    let removed = image(here, &["rm", "mine:1"]);
    assert_eq!(removed.out, format!("removed {digest}\n"), "{removed:?}");
    assert_eq!(image(here, &["list", "--json"]).out.trim(), "[]");
    for folder in ["blobs/sha256", "rootfs/sha256", "images", "tmp", "locks"] {
        let left = fs::read_dir(here.join("cache/bench/images").join(folder)).unwrap().count();
        assert_eq!(left, 0, "{folder}");
    }
}

#[test]
fn what_is_not_there_or_none_is_said() {
    let here = tempfile::tempdir().unwrap();
    let here = here.path();
    fs::write(here.join("letter"), "dear").unwrap();
    for (arguments, code, says) in [
        (&["import", "letter"][..], 1, "is not an image"),
        (&["import", "nowhere"], 2, "no image nowhere"),
        (&["inspect", "nowhere"], 2, "no image nowhere"),
        (&["rm", "nowhere"], 2, "no image nowhere"),
        (&["export", "nowhere", "x"], 2, "no image nowhere"),
        (&["export", "builtin", "missing/x.tar"], 1, "missing"),
        (&["rm"], 2, "required"),
        (&["build"], 2, "--packages"),
        (&["build", "--packages", "a", "--variant", "huge"], 2, "minbase"),
        (&["build", "--packages", "a", "--cmd", "[1"], 2, "--cmd"),
        (&["build", "--packages", "A b"], 1, "is not the name of a package"),
        (&["import", "docker://127.0.0.1:1/x"], 1, "docker://127.0.0.1:1/x"),
    ] {
        let said = image(here, arguments);
        assert_eq!(said.code, Some(code), "{arguments:?}: {said:?}");
        assert!(said.err.contains(says) && said.out.is_empty(), "{arguments:?}: {said:?}");
    }
}

#[test]
fn the_built_in_image_can_be_handed_on() {
    let here = tempfile::tempdir().unwrap();
    let here = here.path();
    let written = image(here, &["export", "builtin", "builtin.tar"]);
    assert_eq!(written.code, Some(0), "{written:?}");
    let other = here.join("other");
    let back = said(bench(here).env("XDG_CACHE_HOME", &other).args(["image", "import", "builtin.tar"]));
    assert!(written.err.contains(back.out.trim()) && back.code == Some(0), "{written:?} {back:?}");
}

#[test]
fn processes_share_a_store() {
    let here = tempfile::tempdir().unwrap();
    let here = here.path();
    for name in ["one", "two"] {
        root(here, name, &name.repeat(100_000));
    }
    // Some bring in, some remove, all at once; each is told the truth, and the end is whole.
    let mut running = Vec::new();
    for round in 0..12 {
        let name = ["one", "two"][round % 2];
        let what = if round % 4 == 3 { "rm" } else { "import" };
        let mut command = bench(here);
        command.env("XDG_CACHE_HOME", here.join("cache")).args(["image", what, name]);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        running.push((what, command.spawn().unwrap()));
    }
    for (what, child) in running {
        let said = Said::from(child.wait_with_output().unwrap());
        let is_fine = said.code == Some(0)
            || what == "rm" && (said.err.contains("no image") || said.err.contains("in use"));
        assert!(is_fine, "{what}: {said:?}");
    }
    for name in ["one", "two"] {
        let imported = image(here, &["import", name]);
        let shown = image(here, &["inspect", imported.out.trim(), "--json"]);
        let found: serde_json::Value = serde_json::from_str(&shown.out).unwrap();
        let program = Path::new(found["rootfs"].as_str().unwrap()).join("bin/app");
        assert_eq!(fs::read_to_string(program).unwrap(), name.repeat(100_000));
    }
    assert_eq!(fs::read_dir(here.join("cache/bench/images/tmp")).unwrap().count(), 0);
    let list: serde_json::Value = serde_json::from_str(&image(here, &["list", "--json"]).out).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 2, "{list}");
}
