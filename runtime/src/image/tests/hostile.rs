//! Layers that try to get out: each is refused or ends inside, and a canary beside the root stays
//! as it was. The control writes to the canary on purpose and must be noticed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::build::{file, folder, gzip, hard, pax, raw, symbolic, tar};
use super::layers::{apply, apply_as};
use crate::image::digest::Digest;
use crate::image::tree::Devices;
use crate::image::{Error, Store};

/// Content, mode, owner, times and number of links of everything in the canary.
type State = BTreeMap<PathBuf, (Vec<u8>, u32, u32, i64, i64, i64, u64)>;

struct Canary {
    folder: tempfile::TempDir,
    before: State,
}

impl Canary {
    fn new() -> Canary {
        let folder = tempfile::tempdir().expect("folder");
        let canary = folder.path().join("canary");
        fs::create_dir_all(canary.join("inner")).expect("canary");
        fs::write(canary.join("secret"), "untouched").expect("canary");
        fs::write(canary.join("inner/deep"), "untouched").expect("canary");
        let before = state(&canary);
        Canary { folder, before }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("canary")
    }

    fn is_untouched(&self) -> bool {
        // Nothing may be beside it either.
        let mut beside: Vec<_> =
            fs::read_dir(self.folder.path()).expect("list").map(|e| e.expect("entry").file_name()).collect();
        beside.retain(|name| !name.to_string_lossy().starts_with("layer-"));
        beside.sort();
        self.before == state(&self.path()) && beside == ["canary", "root", "trash"]
    }
}

fn state(path: &Path) -> State {
    let mut state = State::new();
    let mut left = vec![path.to_path_buf()];
    while let Some(path) = left.pop() {
        let found = fs::symlink_metadata(&path).expect("canary");
        let content = if found.is_file() { fs::read(&path).expect("canary") } else { Vec::new() };
        if found.is_dir() {
            left.extend(fs::read_dir(&path).expect("canary").map(|entry| entry.expect("canary").path()));
        }
        let times = (found.mtime(), found.mtime_nsec(), found.ctime_nsec());
        state.insert(path, (content, found.mode(), found.uid(), times.0, times.1, times.2, found.nlink()));
    }
    state
}

/// Applies the layers and gives the error, if any, after checking the canary.
#[track_caller]
fn attack(layers: impl Fn(&str) -> Vec<Vec<u8>>) -> Result<(Canary, PathBuf), Error> {
    let canary = Canary::new();
    let target = canary.path().to_string_lossy().into_owned();
    let outcome = apply(canary.folder.path(), &layers(&target), 1 << 20);
    assert!(canary.is_untouched(), "the canary was touched: {outcome:?}");
    outcome.map(|root| (canary, root))
}

#[track_caller]
fn refused(layers: impl Fn(&str) -> Vec<Vec<u8>>, because: &str) {
    match attack(layers) {
        Ok(_) => panic!("was taken"),
        Err(error) => assert!(error.to_string().contains(because), "{error}"),
    }
}

#[test]
fn the_canary_notices() {
    let canary = Canary::new();
    for folder in ["root", "trash"] {
        fs::create_dir(canary.folder.path().join(folder)).expect("folder");
    }
    assert!(canary.is_untouched());
    fs::write(canary.path().join("secret"), "touched!!").expect("write");
    assert!(!canary.is_untouched());
}

#[test]
fn names_that_leave() {
    refused(|out| vec![tar(&[file(&format!("{out}/secret"), b"x")])], "absolute");
    refused(|_| vec![tar(&[file("../canary/secret", b"x")])], "`..`");
    refused(|_| vec![tar(&[file("a/../../canary/secret", b"x")])], "`..`");
    refused(|_| vec![tar(&[[pax(&[("path", b"a\0b")]), file("x", b"")].concat()])], "NUL");
    refused(|_| vec![tar(&[[pax(&[("path", &[b'x'; 300])]), file("x", b"")].concat()])], "255");
    refused(|_| vec![tar(&[[pax(&[("path", b"")]), file("x", b"")].concat()])], "empty");
    refused(|_| vec![tar(&[[pax(&[("path", b"../canary/secret")]), file("good", b"x")].concat()])], "`..`");
}

#[test]
fn a_link_then_something_through_it_ends_inside() {
    // Absolute: resolved inside the root, where the folder does not exist.
    refused(|out| vec![tar(&[symbolic("l", out), file("l/secret", b"x")])], "on the way");
    refused(|_| vec![tar(&[symbolic("l", "../canary"), file("l/secret", b"x")])], "on the way");
    refused(|out| vec![tar(&[symbolic("l", out)]), tar(&[file("l/secret", b"x")])], "on the way");
    // The same, where it does exist inside.
    let inside = |out: &str| {
        let there = out.trim_start_matches('/').to_owned();
        vec![tar(&[folder(&there, 0o755), symbolic("l", out), file("l/secret", b"x")])]
    };
    let (canary, root) = attack(inside).expect("applied");
    let there = root.join(canary.path().strip_prefix("/").expect("absolute")).join("secret");
    assert_eq!(fs::read(there).expect("inside"), b"x");
    // Through the kernel's own links.
    refused(|_| vec![tar(&[symbolic("l", "/proc/self/root"), file("l/tmp/x", b"x")])], "on the way");
}

#[test]
fn a_link_then_an_entry_of_its_name_replaces_the_link() {
    let (_kept, root) =
        attack(|out| vec![tar(&[symbolic("l", &format!("{out}/secret")), file("l", b"new")])])
            .expect("applied");
    assert!(fs::symlink_metadata(root.join("l")).expect("l").is_file());
    for mode in [0o777, 0o000] {
        let (_kept, root) =
            attack(|out| vec![tar(&[symbolic("l", out), folder("l/", mode)])]).expect("applied");
        assert!(fs::symlink_metadata(root.join("l")).expect("l").is_dir());
    }
    let (_kept, root) =
        attack(|out| vec![tar(&[folder("d", 0o700)]), tar(&[symbolic("d", out)])]).expect("applied");
    assert!(fs::symlink_metadata(root.join("d")).expect("d").is_symlink());
}

#[test]
fn attributes_do_not_go_through_a_link() {
    let records: &[(&str, &[u8])] = &[("SCHILY.xattr.user.note", b"x"), ("mtime", b"1")];
    // Of a link itself, then of what replaces it; user attributes of links are refused by the kernel.
    refused(
        |out| vec![tar(&[[pax(records), symbolic("l", &format!("{out}/secret"))].concat()])],
        "user.note",
    );
    let (_kept, root) = attack(|out| {
        let times: &[(&str, &[u8])] = &[("mtime", b"1")];
        vec![tar(&[
            [pax(times), symbolic("l", &format!("{out}/secret"))].concat(),
            symbolic("d", out),
            [pax(records), folder("d", 0o777)].concat(),
        ])]
    })
    .expect("applied");
    assert_eq!(fs::symlink_metadata(root.join("l")).expect("l").mtime(), 1);
    assert!(fs::symlink_metadata(root.join("d")).expect("d").is_dir());
}

#[test]
fn a_folder_that_became_a_link_keeps_its_mode_to_itself() {
    // Modes of folders are set at the end: by then the name may be a link out.
    let (_kept, root) =
        attack(|out| vec![tar(&[folder("d", 0o777)]), tar(&[file(".wh.d", b""), symbolic("d", out)])])
            .expect("applied");
    assert!(fs::symlink_metadata(root.join("d")).expect("d").is_symlink());
    let (_kept, root) =
        attack(|out| vec![tar(&[folder("a/b", 0o777), raw(b'2', b"a", out.as_bytes(), 0o777, 0, b"")])])
            .expect("applied");
    assert!(fs::symlink_metadata(root.join("a")).expect("a").is_symlink());
}

#[test]
fn hard_links_that_leave() {
    refused(|out| vec![tar(&[hard("h", &format!("{out}/secret"))])], "absolute");
    refused(|_| vec![tar(&[hard("h", "../canary/secret"), file("h", b"x")])], "`..`");
    refused(|out| vec![tar(&[symbolic("l", out), hard("h", "l/secret"), file("h", b"x")])], "does not exist");
    refused(|_| vec![tar(&[file("h", b"x"), hard("h", "./h")])], "itself");
    // A hard link to a link is the link, and is not written through.
    let (_kept, root) =
        attack(|out| vec![tar(&[symbolic("l", &format!("{out}/secret")), hard("h", "l"), file("h", b"x")])])
            .expect("applied");
    assert!(fs::symlink_metadata(root.join("h")).expect("h").is_file());
}

#[test]
fn the_root_stays_a_folder() {
    refused(|out| vec![tar(&[symbolic(".", out), file("secret", b"x")])], "the root would become");
    refused(|out| vec![tar(&[symbolic("./", out)])], "the root would become");
    refused(|_| vec![tar(&[file("./.", b"x")])], "the root would become");
}

#[test]
fn whiteouts_that_leave() {
    let base = || tar(&[folder("a", 0o755)]);
    refused(|_| vec![base(), tar(&[file(".wh...", b"")])], "names no entry");
    refused(|_| vec![base(), tar(&[file("a/.wh..", b"")])], "names no entry");
    refused(|_| vec![base(), tar(&[file(".wh.", b"")])], "names no entry");
    refused(|_| vec![tar(&[file(".wh...", b"")])], "names no entry");
    refused(|_| vec![base(), tar(&[file("a/../../.wh.canary", b"")])], "`..`");
    // Through a link: of the link itself, or nothing.
    let link = |out: &str| tar(&[symbolic("l", out)]);
    for whiteout in ["l/.wh..wh..opq", "l/.wh.secret"] {
        let (_kept, root) = attack(|out| vec![link(out), tar(&[file(whiteout, b"")])]).expect("applied");
        assert!(fs::symlink_metadata(root.join("l")).expect("l").is_symlink());
    }
    let (_kept, root) = attack(|out| vec![link(out), tar(&[file(".wh.l", b"")])]).expect("applied");
    assert!(fs::symlink_metadata(root.join("l")).is_err());
}

#[test]
fn sizes_that_disagree() {
    // The pax size wins: what a reader of the header's size would take for a member is content.
    let hidden = file("../canary/secret", b"x");
    let length = hidden.len().to_string();
    let (_kept, root) = attack(|_| {
        let outer = raw(b'0', b"outer", b"", 0o644, 0, &hidden);
        vec![tar(&[[pax(&[("size", length.as_bytes())]), outer].concat()])]
    })
    .expect("applied");
    assert_eq!(fs::read(root.join("outer")).expect("outer"), hidden);
    refused(|_| vec![tar(&[raw(b'2', b"l", b"x", 0o777, 512, &[0; 512])])], "content");
    refused(|_| vec![tar(&[raw(b'0', b"x", b"", 0o644, 1 << 30, b"")])], "ends in the middle");
    refused(|_| vec![tar(&[[pax(&[("size", b"-1")]), file("x", b"")].concat()])], "not a number");
    refused(|_| vec![raw(b'L', b"x", b"", 0o644, 4 << 20, b"")], "an extension header of");
    refused(|_| vec![raw(b'x', b"x", b"", 0o644, 8, b"99999 a=\n")], "wrong length");
    refused(|_| vec![raw(b'g', b"x", b"", 0o644, 10, b"10 size=1\n")], "global");
}

#[test]
fn devices_and_unknown_members() {
    for kind in *b"34" {
        refused(|_| vec![tar(&[raw(kind, b"dev/x", b"", 0o666, 0, b"")])], "device");
    }
    refused(|_| vec![tar(&[raw(b'S', b"sparse", b"", 0o644, 0, b"")])], "member type");
}

#[test]
fn the_last_of_two_entries_counts() {
    let (_kept, root) = attack(|_| vec![tar(&[file("x", b"1"), file("x", b"2")])]).expect("applied");
    assert_eq!(fs::read(root.join("x")).expect("x"), b"2");
}

#[test]
fn attributes_of_the_host_are_not_taken() {
    let records: &[(&str, &[u8])] = &[
        ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
        ("SCHILY.xattr.user.overlay.opaque", b"y"),
        ("SCHILY.xattr.security.selinux", b"system_u:object_r:etc_t:s0"),
    ];
    let (_kept, root) = attack(|_| {
        vec![tar(&[[pax(records), folder("d", 0o755)].concat(), [pax(records), file("f", b"")].concat()])]
    })
    .expect("applied");
    for path in ["d", "f"] {
        let mut list = [0; 1024];
        let length = rustix::fs::listxattr(root.join(path), &mut list).expect("list");
        let list = String::from_utf8_lossy(&list[..length]);
        assert!(!list.contains("overlay"), "{list}");
    }
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let canary = Canary::new();
    let plain = tar(&[file("zeros", &vec![0; 64 << 20])]);
    let bomb = gzip(&plain);
    assert!(bomb.len() < 1 << 20);
    let limit = 1 << 20;
    let outcome = apply_as(canary.folder.path(), &[bomb], &[Digest::of(&plain)], Devices::Refuse, limit);
    assert!(matches!(outcome, Err(Error::TooLarge { .. })), "{outcome:?}");
    assert!(fs::metadata(canary.folder.path().join("root/zeros")).expect("zeros").len() <= limit);
    assert!(canary.is_untouched());
}

#[test]
fn a_refused_image_leaves_nothing_in_the_store() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(&folder.path().join("store")).expect("store");
    let path = folder.path().join("bad.tar");
    fs::write(&path, tar(&[file("bin/app", b"x"), file("../canary", b"x")])).expect("write");
    let error = crate::image::Image::resolve(&path.to_string_lossy(), &store).expect_err("refused");
    assert!(error.to_string().contains("`..`"), "{error}");
    for empty in ["rootfs/sha256", "images", "tmp"] {
        let left = fs::read_dir(folder.path().join("store").join(empty)).expect("list").count();
        assert_eq!(left, 0, "{empty}");
    }
}

#[test]
fn folders_nested_without_end_can_be_removed() {
    // Deeper than there may be open files, and than one path may name.
    let folder = tempfile::tempdir().expect("folder");
    let mut place = rustix::fs::open(folder.path(), OFlags::DIRECTORY, Mode::empty()).expect("open");
    for _ in 0..5000 {
        rustix::fs::mkdirat(&place, "d", Mode::RWXU).expect("make");
        place = rustix::fs::openat(&place, "d", OFlags::DIRECTORY, Mode::empty()).expect("open");
    }
    crate::image::discard::discard(folder.path(), b"d").expect("removed");
    assert_eq!(fs::read_dir(folder.path()).expect("list").count(), 0);
}
