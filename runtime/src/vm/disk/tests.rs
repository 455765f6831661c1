//! Disks: most of it needs no more than a folder, the rest says what it misses.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use super::build::{build, fill};
use super::filesystem::uuid;
use super::format::DiskFormat;
use super::master::Master;
use super::partition::ROOT_BEGIN_BYTES;
use super::tool::{DEBUGFS, GRUB_MKIMAGE, MFORMAT, MKE2FS, QEMU_IMG};
use super::{cache, clone, qcow2};
use crate::image::Image;
use crate::vm::options::CloneKind;

/// The files of something that looks like an operating system and is none.
pub(in crate::vm) fn hollow_system(folder: &Path) -> Image {
    for path in ["boot", "etc", "sbin", "usr/lib/systemd"] {
        fs::create_dir_all(folder.join(path)).expect("folder");
    }
    for (path, text) in [
        ("boot/vmlinuz-1.0", "no kernel"),
        ("boot/initrd.img-1.0", "no initramfs"),
        ("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
        ("usr/lib/systemd/systemd", "no init"),
    ] {
        fs::write(folder.join(path), text).expect("written");
    }
    std::os::unix::fs::symlink("/usr/lib/systemd/systemd", folder.join("sbin/init")).expect("linked");
    let digest = format!("sha256:hollow-{}", std::process::id());
    Image { digest, rootfs: Some(folder.into()), ..Image::builtin() }
}

/// Whether the tools are here; says so where they are not.
pub(in crate::vm) fn have_tools() -> bool {
    let missing =
        [MKE2FS, DEBUGFS, QEMU_IMG, GRUB_MKIMAGE, MFORMAT].into_iter().find(|tool| tool.find().is_none());
    let modules = ["/usr/lib/grub/i386-pc", "/usr/lib/grub/x86_64-efi"];
    let absent = modules.into_iter().find(|folder| !Path::new(folder).is_dir());
    match missing.map(|tool| tool.name).or(absent) {
        Some(what) => eprintln!("skipped: no {what} on this host"),
        None => return true,
    }
    false
}

#[test]
fn an_overlay_is_what_qemu_takes_for_one() {
    if QEMU_IMG.find().is_none() {
        eprintln!("skipped: no qemu-img on this host");
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    // The last needs two clusters for its first-level table.
    for disk_bytes in [1 << 20, (3 << 30) + 512, 8 << 40] {
        File::create(folder.path().join("master")).expect("made").set_len(disk_bytes).expect("sized");
        let path = folder.path().join("overlay");
        fs::write(&path, qcow2::overlay(disk_bytes, "master", "raw")).expect("written");
        let told = |words: &[&str]| {
            let output = Command::new("qemu-img").args(words).arg(&path).output().expect("qemu-img");
            assert!(output.status.success(), "{disk_bytes}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        assert!(told(&["check"]).contains("No errors were found"));
        let info: serde_json::Value = serde_json::from_str(&told(&["info", "--output=json"])).expect("JSON");
        assert_eq!(info["virtual-size"], disk_bytes);
        assert_eq!(
            (&info["backing-filename"], &info["backing-filename-format"]),
            (&"master".into(), &"raw".into())
        );
    }
}

fn raw_master(folder: &Path) -> Master {
    let path = folder.join("disk");
    let mut file = File::create(&path).expect("made");
    file.set_len(8 << 20).expect("sized");
    file.write_all(b"begin").expect("written");
    file.seek(SeekFrom::Start((8 << 20) - 3)).expect("sought");
    file.write_all(b"end").expect("written");
    Master::of_file(&path).expect("a disk")
}

#[test]
fn a_copy_has_everything_but_the_holes_and_no_clone_has_a_name() {
    let folder = tempfile::tempdir().expect("folder");
    let master = raw_master(folder.path());
    assert_eq!((master.format, master.disk_bytes), (DiskFormat::Raw, 8 << 20));
    let clones = folder.path().join("clones");
    let copy = clone(&master, CloneKind::Copy, &clones).expect("copied");
    let mut end = [0; 8];
    copy.file().read_exact_at(&mut end, (8 << 20) - 8).expect("read");
    assert_eq!(&end, b"\0\0\0\0\0end");
    assert!((8..4 << 20).contains(&copy.made_bytes), "{}", copy.made_bytes);
    assert!(copy.below.is_none());
    let linked = clone(&master, CloneKind::Linked, &clones).expect("linked");
    assert!(linked.below.is_some() && linked.made_bytes < 1 << 20);
    assert_eq!(fs::read_dir(&clones).expect("folder").count(), 0);
    let before = linked.occupied_bytes().expect("counted");
    linked.file().write_all_at(&[7; 1 << 20], 4 << 20).expect("written");
    assert!(linked.occupied_bytes().expect("counted") >= before + (1 << 20));
}

/// Mounts a file system in memory where only this thread sees it: it ends with the thread.
pub(in crate::vm) fn mount_small(folder: &Path, options: &std::ffi::CStr) {
    // SAFETY: this thread shares nothing that the new namespace takes away: it opens paths only.
    unsafe {
        rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS | rustix::thread::UnshareFlags::FS)
    }
    .expect("mounts of its own");
    use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).expect("private");
    mount("none", folder, "tmpfs", MountFlags::empty(), Some(options)).expect("mounted");
}

#[test]
fn a_full_disk_is_said_so() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can mount a small file system to fill");
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let small = folder.path().join("small");
    fs::create_dir(&small).expect("folder");
    let path = folder.path().join("disk");
    fs::write(&path, vec![1; 2 << 20]).expect("written");
    let master = Master::of_file(&path).expect("a disk");
    let made = std::thread::spawn(move || {
        mount_small(&small, c"size=1m");
        clone(&master, CloneKind::Copy, &small).map(drop)
    });
    let error = made.join().expect("thread").expect_err("does not fit").to_string();
    assert!(error.contains("cannot copy the master disk") && error.contains("No space left"), "{error}");
}

#[test]
fn disks_not_used_for_long_go_first_and_who_has_one_keeps_it() {
    let folder = tempfile::tempdir().expect("folder");
    let disks = cache::folder(folder.path()).expect("made");
    let path = |number: usize| disks.join(format!("{number}.{}", ["qcow2", "ext4"][number % 2]));
    let more = 4;
    for number in 0..cache::BOUNDS.count + more {
        fs::write(path(number), vec![number as u8 + 1; 5000]).expect("written");
        fs::write(path(number).with_extension("length"), "5000").expect("written");
        let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(1000 - number as u64);
        File::open(path(number)).and_then(|file| file.set_modified(long_ago)).expect("set");
    }
    // Used again, open elsewhere, just being opened by somebody, and the newest though its time is old.
    crate::vm::kept::use_again(&path(0));
    let open = Master::of_file(&path(1)).expect("a disk");
    let held = cache::lock(&path(2).with_extension("lock")).expect("locked");
    cache::prune(&disks, &path(3));
    let there = |number: usize| path(number).exists();
    assert!(there(0) && !there(1) && there(2) && there(3) && !there(4) && !there(5) && !there(6));
    assert!((7..cache::BOUNDS.count + more).all(there));
    assert!(!path(1).with_extension("length").exists() && !path(1).with_extension("lock").exists());
    let mut content = Vec::new();
    open.open().expect("opened").read_to_end(&mut content).expect("read");
    assert_eq!(content, vec![2; 5000]);
    drop(held);
}

#[test]
fn a_disk_that_cannot_be_one_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("disk");
    let refused = |path: &Path| Master::of_file(path).expect_err("refused").to_string();
    assert!(refused(&path).contains("No such file"));
    fs::write(&path, b"").expect("written");
    assert!(refused(&path).contains("empty"));
    fs::write(&path, qcow2::overlay(1 << 20, "other", "raw")).expect("written");
    assert!(refused(&path).contains("itself an overlay"));
    let disk = File::create(&path).expect("made");
    super::partition::write(&disk, 4 << 20).expect("written");
    disk.set_len(ROOT_BEGIN_BYTES + (4 << 20)).expect("sized");
    Master::of_file(&path).expect("whole");
    disk.set_len(ROOT_BEGIN_BYTES + (4 << 20) - 512).expect("cut");
    assert!(refused(&path).contains("is cut off"), "{}", refused(&path));
}

#[test]
fn an_image_that_is_no_operating_system_says_what_it_lacks() {
    let folder = tempfile::tempdir().expect("folder");
    let system = folder.path().join("system");
    hollow_system(&system);
    let lack = || {
        let error = build(&system, "00", folder.path(), &folder.path().join("disk"));
        error.expect_err("refused").to_string()
    };
    fs::remove_file(system.join("sbin/init")).expect("removed");
    assert!(lack().contains("no init"), "{}", lack());
    fs::remove_file(system.join("boot/initrd.img-1.0")).expect("removed");
    assert!(lack().contains("no initramfs for its kernel 1.0"), "{}", lack());
    fs::remove_file(system.join("boot/vmlinuz-1.0")).expect("removed");
    assert!(lack().contains("no kernel"), "{}", lack());
    assert!(
        Master::of_image(&Image::builtin(), folder.path())
            .expect_err("refused")
            .to_string()
            .contains("built-in")
    );
}

#[test]
fn a_disk_has_what_the_kernel_is_mounted_on_whatever_the_image_has() {
    if !have_tools() {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let (system, raw) = (folder.path().join("system"), folder.path().join("raw"));
    hollow_system(&system);
    fs::create_dir(system.join("run")).expect("folder");
    fill(&system, &uuid("00112233445566778899aabbccddeeff"), folder.path(), &raw, Vec::new())
        .expect("filled");
    for path in ["/dev", "/proc", "/run", "/sys"] {
        let target = format!("{}?offset={ROOT_BEGIN_BYTES}", raw.display());
        let said = DEBUGFS.run("look", &["-R", &format!("stat {path}"), &target]).expect("looked");
        assert!(said.contains("Type: directory"), "{path}: {said}");
    }
}

#[test]
fn a_master_is_made_once_and_again_where_it_is_not_whole() {
    if !have_tools() {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let image = hollow_system(&folder.path().join("system"));
    let cache = folder.path().join("cache");
    let masters: Vec<Master> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..2).map(|_| scope.spawn(|| Master::of_image(&image, &cache).expect("made"))).collect();
        threads.into_iter().map(|thread| thread.join().expect("thread")).collect()
    });
    assert_eq!(masters.iter().filter(|master| master.made_in.is_some()).count(), 1);
    assert_eq!(masters[0].path, masters[1].path);
    assert_eq!(masters[0].format, DiskFormat::Qcow2);

    let raw = folder.path().join("raw");
    let words = ["convert", "-O", "raw", &masters[0].path.to_string_lossy(), &raw.to_string_lossy()];
    QEMU_IMG.run("convert", &words).expect("converted");
    let mut sector = [0; 512];
    File::open(&raw).and_then(|mut file| file.read_exact(&mut sector)).expect("read");
    assert_eq!(&sector[510..], b"\x55\xaa");
    assert_eq!((sector[450], sector[466], sector[466 - 4]), (0xef, 0x83, 0x80));
    let inside = |what: &str| {
        let target = format!("{}?offset={ROOT_BEGIN_BYTES}", raw.display());
        DEBUGFS.run("look", &["-R", what, &target]).expect("debugfs")
    };
    assert!(inside("stat /usr/lib/bench/guest").contains("Mode:  0755"));
    assert!(inside("stat /etc/machine-id").contains("Size: 0"));
    assert!(inside("ls /boot").contains("vmlinuz-1.0"));

    let path = &masters[0].path;
    File::options().write(true).open(path).and_then(|file| file.set_len(4096)).expect("cut");
    let again = Master::of_image(&image, &cache).expect("made again");
    assert!(again.made_in.is_some() && again.file_bytes == masters[0].file_bytes);
    assert_eq!(fs::read_dir(cache.join("disks")).expect("folder").count(), 3, "disk, length and lock");
}
