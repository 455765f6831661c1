//! Disks that are made where there is no room for them: told with the place and what helps, and nothing
//! half-written is taken for whole later.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, mount_remount};

use super::master::Master;
use super::root::RootDisk;
use super::tests::{have_tools, hollow_system, mount_small};
use crate::Error;
use crate::image::Image;

/// Makes a disk twice in a file system in memory: in four MiB first, then with room enough. The first
/// time it is told and leaves nothing.
fn assert_whole_or_not_at_all(make: impl Fn(&Path) -> Result<(), Error> + Send + 'static) {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can mount a small file system to fill");
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let cache = folder.path().to_owned();
    let made = std::thread::spawn(move || {
        mount_small(&cache, c"size=4m");
        let error = make(&cache).expect_err("no room").to_string();
        let left = fs::read_dir(cache.join("disks")).expect("listed");
        let left: Vec<PathBuf> = left.map(|entry| entry.expect("read").path()).collect();
        mount_remount(&cache, MountFlags::empty(), c"size=256m").expect("more room");
        make(&cache).expect("room enough");
        (error, left)
    });
    let (error, left) = made.join().expect("thread");
    let place = folder.path().join("disks").display().to_string();
    assert!(error.contains(&format!("; no room is left in {place} (make room there")), "{error}");
    let is_lock = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "lock");
    assert!(left.iter().all(is_lock), "{left:?}");
}

#[test]
fn a_disk_of_an_image_is_made_whole_or_not_at_all() {
    if !have_tools() {
        return;
    }
    let rootfs = tempfile::tempdir().expect("folder");
    fs::write(rootfs.path().join("large"), vec![7; 33 << 20]).expect("written");
    let image = Image { rootfs: Some(rootfs.path().into()), ..Image::builtin() };
    assert_whole_or_not_at_all(move |cache| {
        RootDisk::of_large(&image, cache).map(|disk| drop(disk.expect("a large image")))
    });
}

#[test]
fn a_master_is_made_whole_or_not_at_all() {
    if !have_tools() {
        return;
    }
    let system = tempfile::tempdir().expect("folder");
    let image = hollow_system(system.path());
    assert_whole_or_not_at_all(move |cache| Master::of_image(&image, cache).map(drop));
}
