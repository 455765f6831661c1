//! A Debian userland small enough to be handed to every engine: shell, a few tools, the C library.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use runtime::image::Image;

/// Programs that need nothing but the C library.
const TOOLS: [&str; 8] = ["dash", "cat", "uname", "tr", "cut", "wc", "seq", "od"];
const FILES: [&str; 4] = ["etc/debian_version", "etc/passwd", "etc/group", "usr/lib/os-release"];
/// Its name in the store and in engines.
const NAME: &str = "bench.local/debian-userland:1";

/// Takes it out of the complete system at `rootfs` into `folder`, and brings it into the store.
///
/// # Errors
/// What is missing, or what the system or the store said.
pub(super) fn image(rootfs: &Path, folder: &Path, cache_dir: &Path) -> Result<Image, String> {
    take_out(rootfs, folder)?;
    crate::folder_image::named(folder, NAME, cache_dir)
}

/// Copies what belongs to it.
pub(super) fn take_out(rootfs: &Path, folder: &Path) -> Result<(), String> {
    let libraries = find(&rootfs.join("usr/lib"), "libc.so.6")
        .ok_or_else(|| format!("{} has no C library below usr/lib", rootfs.display()))?;
    let loader = find(rootfs, "ld-linux-x86-64.so.2")
        .or_else(|| find(&rootfs.join("usr"), "ld-linux-x86-64.so.2"))
        .ok_or_else(|| format!("{} has no dynamic loader", rootfs.display()))?;
    let below = |path: &Path| path.strip_prefix(rootfs).unwrap_or(path).to_owned();
    let copies: Vec<(PathBuf, PathBuf)> = TOOLS
        .iter()
        .map(|tool| (rootfs.join("usr/bin").join(tool), format!("usr/bin/{tool}").into()))
        .chain(FILES.iter().map(|file| (rootfs.join(file), PathBuf::from(file))))
        .chain([(libraries.clone(), below(&libraries)), (loader, "usr/lib64/ld-linux-x86-64.so.2".into())])
        .collect();
    for (from, to) in copies {
        let target = folder.join(to);
        let parent = target.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|error| format!("cannot make {}: {error}", parent.display()))?;
        // Follows links: a copy of what they lead to, as long as that is inside.
        fs::copy(&from, &target).map_err(|error| format!("cannot copy {}: {error}", from.display()))?;
    }
    for (link, target) in [
        ("bin", "usr/bin"),
        ("lib", "usr/lib"),
        ("lib64", "usr/lib64"),
        ("usr/bin/sh", "dash"),
        ("etc/os-release", "../usr/lib/os-release"),
    ] {
        let link = folder.join(link);
        symlink(target, &link).map_err(|error| format!("cannot make {}: {error}", link.display()))?;
    }
    Ok(())
}

/// The first file called `name` in `folder` or one folder below it.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let direct = folder.join(name);
    let below = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path().join(name));
    std::iter::once(direct).chain(below).find(|path| path.is_file())
}
