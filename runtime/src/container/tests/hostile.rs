//! Mistakes other runtimes have made, by their CVE numbers: none may work here.

use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::setup::{output, shell, tools};
use crate::container::setup::{Mount, MountAttributes, MountSource, Reach};

/// Every file below `root` with its length and change time.
fn tree(root: &Path) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root).expect("listed").flatten() {
        let data = entry.metadata().expect("data");
        found.push(format!("{} {} {}", entry.path().display(), data.len(), data.ctime_nsec()));
        if data.is_dir() {
            found.extend(tree(&entry.path()));
        }
    }
    found.sort();
    found
}

/// CVE-2019-19921, CVE-2023-27561, CVE-2026-41579: a link of the image where a file system of the kernel belongs.
#[test]
fn links_in_the_place_of_kernel_file_systems_are_refused() {
    for name in ["dev", "proc", "sys"] {
        let Some(root) = tools() else { return };
        let canary = tempfile::tempdir().expect("folder");
        std::fs::write(canary.path().join("file"), "canary").expect("written");
        let before = tree(canary.path());
        symlink(canary.path(), root.path().join(name)).expect("link");
        let error = output(&shell(root.path(), "true")).expect_err("refused").to_string();
        assert!(error.contains(&format!("/{name}")) && error.contains("symbolic links"), "{error}");
        assert_eq!(tree(canary.path()), before);
    }
}

/// CVE-2025-31133: the image's own /dev/null, a link, must not be what masks are made of.
#[test]
fn masks_are_made_of_the_hosts_null() {
    let Some(root) = tools() else { return };
    std::fs::create_dir(root.path().join("dev")).expect("made");
    symlink("/proc/sys/kernel/core_pattern", root.path().join("dev/null")).expect("link");
    let mut setup = shell(
        root.path(),
        "echo hit > /proc/timer_list; wc -c < /proc/timer_list; ls -l /proc/timer_list | cut -c1",
    );
    // With the image's /dev in place there is no fresh one to hide the link.
    setup.mounts.retain(|mount| !mount.target.starts_with("/dev"));
    setup.devices.clear();
    setup.links.clear();
    let before = std::fs::read_to_string("/proc/sys/kernel/core_pattern").expect("read");
    assert_eq!(output(&setup).expect("started"), "0\nc\n");
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/core_pattern").expect("read"), before);
}

/// CVE-2024-21626: a descriptor of the host's left open, or a working directory through one.
#[test]
fn no_descriptor_of_ours_gets_in() {
    let Some(root) = tools() else { return };
    let outside = std::fs::File::open("/").expect("root");
    // Without close-on-exec, as a careless library opens.
    let leaks: Vec<_> = (0..80).map(|_| rustix::io::dup(outside.as_fd()).expect("dup")).collect();
    // One more is the listing's own.
    assert_eq!(output(&shell(root.path(), "ls /proc/self/fd | wc -l")).expect("started").trim(), "4");
    for number in 3..110 {
        let mut setup = shell(root.path(), "readlink /proc/self/cwd");
        setup.process.cwd = format!("/proc/self/fd/{number}").into();
        if let Ok(cwd) = output(&setup) {
            panic!("started in {cwd} through descriptor {number}");
        }
    }
    drop(leaks);
}

/// CVE-2019-5736: the program cannot be written through its own /proc/self/exe.
#[test]
fn the_guest_program_cannot_be_overwritten_from_inside() {
    let Some(root) = tools() else { return };
    std::fs::write(root.path().join("entry"), "#!/proc/self/exe\n").expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(root.path().join("entry"), mode).expect("executable");
    let before = digest("/proc/self/exe");
    let text = output(&shell(root.path(), "/entry; echo x > /proc/1/exe")).expect("started");
    assert!(text.contains("/proc/1/exe"), "{text}");
    assert_eq!(digest("/proc/self/exe"), before);
}

/// SHA-256 of a file's content.
pub(super) fn digest(path: &str) -> String {
    use sha2::Digest;
    format!("{:x}", sha2::Sha256::digest(std::fs::read(path).expect("read")))
}

/// CVE-2021-30465: a mount target exchanged for a link while the container starts.
#[test]
fn an_exchanged_mount_target_leads_nowhere() {
    let Some(root) = tools() else { return };
    let (volume, canary) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
    std::fs::create_dir(volume.path().join("a")).expect("made");
    symlink(canary.path(), volume.path().join("b")).expect("link");
    let ends = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let folder = std::fs::File::open(volume.path()).expect("opened");
            while !ends.load(std::sync::atomic::Ordering::Relaxed) {
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                let _ = rustix::fs::renameat_with(&folder, "a", &folder, "b", flags);
            }
        });
        let mut setup = shell(root.path(), "true");
        let mount = |target: &str, source| Mount {
            target: target.into(),
            source,
            attributes: MountAttributes::default(),
            propagation: None,
        };
        let bind = MountSource::Bind { path: volume.path().into(), reach: Reach::One, id_mapped: false };
        let memory = MountSource::Kind { kind: "tmpfs".into(), source: "tmpfs".into(), options: Vec::new() };
        setup.mounts.extend([mount("/volume", bind), mount("/volume/a/new", memory)]);
        for _ in 0..30 {
            // Started or refused: either way nothing is made outside.
            let _ = output(&setup);
        }
        ends.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(std::fs::read_dir(canary.path()).expect("listed").count(), 0);
}

/// CVE-2022-0492: no hierarchy of v1 can be mounted from inside, so no release_agent written.
#[test]
fn inside_nothing_can_be_mounted() {
    let Some(root) = tools() else { return };
    std::fs::create_dir(root.path().join("tmp")).expect("made");
    let script = "mount -t cgroup -o memory none /tmp; echo $?; mount -t tmpfs none /tmp; echo $?";
    let mut setup = shell(root.path(), script);
    let refused = output(&setup).expect("started");
    assert_eq!(refused.matches("32").count(), 2, "{refused}");
    // Its control: with all capabilities and no filter the second one works.
    (setup.process.capabilities, setup.process.seccomp) = (None, None);
    let allowed = output(&setup).expect("started");
    assert!(allowed.trim().ends_with('0'), "{allowed}");
}
