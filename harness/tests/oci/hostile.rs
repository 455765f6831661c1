//! Bundles that try to reach the host: mistakes of other runtimes that this one must not make.

use serde_json::json;

use super::Bundle;

/// CVE-2019-19921, CVE-2023-27561: /proc and /sys that are not where they seem.
#[test]
fn links_in_place_of_the_kernels_folders_are_refused() {
    let Some(bundle) = Bundle::new() else { return };
    for name in ["proc", "sys", "dev"] {
        let place = bundle.file("rootfs").join(name);
        std::fs::remove_dir(&place).unwrap();
        std::os::unix::fs::symlink("tmp", &place).unwrap();
        bundle.oci("create ID").fails(&format!("on /{name} inside"));
        bundle.assert_gone();
        std::fs::remove_file(&place).unwrap();
        std::fs::create_dir(&place).unwrap();
    }
}

/// CVE-2024-21626: a working directory that is a folder of the host's.
#[test]
fn a_descriptor_is_no_way_out() {
    let Some(bundle) = Bundle::new() else { return };
    for number in 3..24 {
        bundle.configure(|config| {
            config["process"]["cwd"] = json!(format!("/proc/self/fd/{number}"));
            config["process"]["args"] = json!(["/bin/sh", "-c", "true"]);
        });
        bundle.oci("create ID").fails(&format!("/proc/self/fd/{number}"));
    }
    bundle.script("ls /proc/self/fd; while :; do sleep 0.05; done");
    bundle.oci("run --detach ID").fine();
    for number in 3..24 {
        let said = bundle.oci(&format!("exec --cwd /proc/self/fd/{number} ID /bin/true"));
        assert_eq!(said.code, Some(1), "{said:?}");
    }
    bundle.assert_no_host_descriptors();
}

/// CVE-2025-31133, CVE-2021-30465: what is mounted over a path must be what it is meant to be, and
/// on the path inside.
#[test]
fn links_of_the_image_lead_nowhere_outside() {
    let Some(bundle) = Bundle::new() else { return };
    let canary = bundle.file("canary");
    std::fs::write(&canary, "untouched").unwrap();
    std::fs::create_dir(bundle.file("target")).unwrap();
    // Without a file system of its own on /dev the image's /dev/null would be taken for the kernel's.
    std::os::unix::fs::symlink(&canary, bundle.file("rootfs/dev/null")).unwrap();
    bundle.configure(|config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    });
    bundle.oci("create ID").fails("/dev/null");
    std::fs::remove_file(bundle.file("rootfs/dev/null")).unwrap();
    // A mount point through a link that climbs is made inside.
    std::os::unix::fs::symlink("../../../..", bundle.file("rootfs/up")).unwrap();
    bundle.configure(|config| {
        let target = format!("/up{}", bundle.file("target/made").display());
        config["mounts"].as_array_mut().unwrap().push(json!({ "destination": target, "type": "tmpfs" }));
        config["process"]["args"] = json!(["/bin/sh", "-c", "echo x > /up/canary-inside"]);
    });
    bundle.oci("run ID").fine();
    assert_eq!(bundle.read("canary"), "untouched");
    assert_eq!(std::fs::read_dir(bundle.file("target")).unwrap().count(), 0);
    assert!(bundle.file("rootfs/canary-inside").exists());
}

/// CVE-2019-5736: what a container can find as this program's file cannot be written.
#[test]
fn the_programs_own_file_is_out_of_reach() {
    let Some(bundle) = Bundle::new() else { return };
    bundle.script("while :; do sleep 0.05; done");
    bundle.oci("create ID").fine();
    let exe = format!("/proc/{}/exe", bundle.state()["pid"]);
    // With O_TRUNC the kernel asks the mount first; the file itself is in use, which would spare it.
    let error = std::fs::OpenOptions::new().write(true).truncate(true).open(exe).unwrap_err();
    // Not "text file busy", which ends with the process.
    assert_eq!(error.raw_os_error(), Some(nix::errno::Errno::EROFS as i32), "{error}");
}
