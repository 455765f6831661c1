//! The same images inside virtual machines ([`crate::inside`]): on other kernels, under both versions
//! of cgroups, with each runtime of this host.

use std::path::{Path, PathBuf};
use std::time::Duration;

use guest::report::Report;
use results::record::{Cell, CellOutcome};

use super::containers::{CONTAINER, Carried as Image, judge};
use super::plan::Plan;
use super::run::{Book, cell};
use crate::inside::{Carried, Guest, Version};
use crate::{Error, Progress, Stage};

/// How long one container may take inside.
const CONTAINER_S: u32 = 60;
/// Runtimes that are carried along where this host has them.
const RUNTIMES: [&str; 3] = ["runc", "crun", "youki"];
/// From this version on the kernel maps the ids of files in memory (mount_setattr(2), tmpfs).
const MAPS_IDS: (u32, u32) = (6, 3);

/// What is in front of a container's report, and behind it.
const BEGIN: &str = "=== begin ";
const END: &str = "=== end ";

/// What makes a file system in a file of the machine's, which is mounted as a disk.
const DISK_TOOLS: [&str; 2] = ["truncate", "mke2fs"];
/// Said where images are unpacked on such a disk, and not in the machine's memory.
const ON_DISK: &str = "=== images on a disk";

/// Starts one container after the other; `BACKENDS`, `IMAGES` and the like are put in front. Files in
/// memory take no map of ids on older kernels, those of a disk do (mount_setattr(2)).
const INSIDE: &str = r#"
    if truncate -s 96M /disk && mke2fs -q -F /disk && mkdir /images && mount -t ext4 -o loop /disk /images; then
        export XDG_CACHE_HOME=/images; echo "$ON_DISK"
    fi
    for image in $IMAGES; do for backend in $BACKENDS; do
        echo "=== begin $backend $image"
        reference=builtin; [ $image = static-program ] || reference=/userland
        code=0; timeout $SECONDS_EACH bench-itself exec $backend --image $reference --report 2>&1 || code=$?
        echo "=== end $code"
    done; done"#;

/// Boots every kernel with both versions of cgroups.
///
/// # Errors
/// A row that cannot be written.
pub(super) fn carry(
    plan: &Plan,
    images: &mut [Image],
    rootfs: Option<&Path>,
    stage: &mut Stage<'_>,
    book: &mut Book,
) -> Result<(), Error> {
    let mut kernels = rootfs.map(kernels).unwrap_or_default();
    if !plan.general {
        keep_smallest(&mut kernels);
    }
    if kernels.is_empty() {
        let row = cell(CONTAINER, images[0].name, "inside a VM");
        let reason = "there is no complete system whose kernels could be booted".into();
        return book.enter(Cell { reason, ..row }, stage);
    }
    let filled = fill(rootfs, stage);
    let accel = plan.launch.vm_options().map(|options| options.accel);
    for (release, kernel) in kernels {
        for version in [Version::V1, Version::V2] {
            if stage.stop.requested() {
                return Ok(());
            }
            (stage.progress)(Progress::Preparing { backend: place(&release, version.name()) });
            let told = match (&filled, &accel) {
                (Ok(filled), Ok(accel)) => {
                    let kernel = Some((kernel.clone(), release.clone()));
                    boot(plan, &Guest { kernel, version, accel: *accel }, filled, images, stage)
                }
                (Err(error), _) => Err(error.clone()),
                (_, Err(error)) => Err(error.to_string()),
            };
            enter(told, (&release, version.name()), images, stage, book)?;
        }
    }
    Ok(())
}

fn place(release: &str, version: &str) -> String {
    format!("VM {release}, cgroups {version}")
}

/// Rows of one machine.
fn enter(
    told: Result<Vec<String>, String>,
    (release, version): (&str, &str),
    images: &mut [Image],
    stage: &mut Stage<'_>,
    book: &mut Book,
) -> Result<(), Error> {
    let (lines, failure) = match told {
        Ok(lines) => (lines, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let maps_ids = maps_ids(release) || lines.iter().any(|line| line == ON_DISK);
    for carried in images.iter_mut().filter(|carried| carried.name != "image") {
        for backend in backends() {
            let row = cell(CONTAINER, carried.name, format!("{}, {backend}", place(release, version)));
            let row = match (&failure, section(&lines, &backend, carried.name)) {
                // That says nothing of the container.
                (Some(error), _) => Cell { reason: format!("the machine was not there: {error}"), ..row },
                // Ours, not the runtime's: the image's files are in the machine's memory.
                (None, _) if carried.image.rootfs.is_some() && !maps_ids => {
                    let reason =
                        "the image is in the machine's memory, where its kernel maps no ids (Linux 6.3 does)";
                    Cell { reason: reason.into(), ..row }
                }
                (None, None) => Cell {
                    outcome: CellOutcome::Fails,
                    reason: "the machine did not get to it".into(),
                    ..row
                },
                (None, Some((section, "0"))) => {
                    judge(row, carried, &Report::read(section.iter().map(String::as_str)))
                }
                (None, Some((section, code))) => {
                    let last = section.last().map_or("", String::as_str);
                    let reason = format!("it ended with status {code}: {last}");
                    Cell { outcome: CellOutcome::Fails, reason, ..row }
                }
            };
            book.enter(row, stage)?;
        }
    }
    Ok(())
}

/// Whether a kernel maps the ids of files in memory, too.
fn maps_ids(release: &str) -> bool {
    let mut numbers = release.split(['.', '-']).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= MAPS_IDS
}

/// What was said between the marks of a container, and its status.
fn section<'a>(lines: &'a [String], backend: &str, image: &str) -> Option<(&'a [String], &'a str)> {
    let begin = lines.iter().position(|line| *line == format!("{BEGIN}{backend} {image}"))? + 1;
    let length = lines[begin..].iter().position(|line| line.starts_with(END))?;
    Some((&lines[begin..begin + length], lines[begin + length].strip_prefix(END)?))
}

/// What starts containers inside.
fn backends() -> Vec<String> {
    let present = RUNTIMES.iter().filter(|name| on_path(name).is_some());
    std::iter::once("container".to_owned()).chain(present.map(|name| format!("oci:{name}"))).collect()
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Kernels of a complete system with their releases.
fn kernels(rootfs: &Path) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(rootfs.join("boot")).into_iter().flatten().flatten();
    let mut found: Vec<(String, PathBuf)> = entries
        .filter_map(|entry| {
            let release = entry.file_name().to_str()?.strip_prefix("vmlinuz-")?.to_owned();
            Some((release, entry.path()))
        })
        .collect();
    found.sort();
    found
}

/// Of several, the one that is loaded the soonest.
fn keep_smallest(kernels: &mut Vec<(String, PathBuf)>) {
    kernels.sort_by_key(|(_, path)| path.metadata().map_or(u64::MAX, |file| file.len()));
    kernels.truncate(1);
}

/// This program, the runtimes and the userland, where there is one.
fn fill<'a>(rootfs: Option<&'a Path>, stage: &Stage<'_>) -> Result<Carried<'a>, String> {
    let programs = RUNTIMES.into_iter().chain(DISK_TOOLS);
    let present: Vec<&str> = programs.filter(|name| on_path(name).is_some()).collect();
    let carried = Carried::fill(stage.context, rootfs, &present)?;
    let userland = stage.context.state_dir.join("userland");
    if userland.is_dir() {
        carried.take(&userland, "userland")?;
    }
    Ok(carried)
}

/// Boots a machine and takes down what its containers say.
fn boot(
    plan: &Plan,
    guest: &Guest,
    carried: &Carried<'_>,
    images: &[Image],
    stage: &Stage<'_>,
) -> Result<Vec<String>, String> {
    let names: Vec<&str> = images.iter().map(|one| one.name).filter(|name| *name != "image").collect();
    let script = format!(
        "BACKENDS='{}'\nIMAGES='{}'\nSECONDS_EACH={CONTAINER_S}\nON_DISK='{ON_DISK}'\n{INSIDE}",
        backends().join(" "),
        names.join(" ")
    );
    let containers = (names.len() * backends().len()) as u32;
    let patience = Duration::from_secs_f64(plan.launch.timeout_s)
        + Duration::from_secs(u64::from(containers * CONTAINER_S));
    carried.boot(guest, &script, patience, stage.context, stage.stop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_that_is_loaded_the_soonest_is_kept() {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::create_dir(folder.path().join("boot")).expect("made");
        for (release, bytes) in [("1-all", 3_usize), ("2-few", 2), ("3-all", 4)] {
            let path = folder.path().join(format!("boot/vmlinuz-{release}"));
            std::fs::write(path, vec![0; bytes]).expect("written");
        }
        let mut found = kernels(folder.path());
        assert_eq!(found.len(), 3);
        keep_smallest(&mut found);
        assert_eq!(found.iter().map(|(release, _)| release.as_str()).collect::<Vec<_>>(), ["2-few"]);
    }

    #[test]
    fn each_container_is_judged_by_what_it_said_itself() {
        let lines = "boot\n=== begin container a\nimage x 1\n=== end 0\n=== begin oci:runc a\nno\n=== end 1\n=== begin oci:runc b\nhangs";
        let lines: Vec<String> = lines.lines().map(str::to_owned).collect();
        assert_eq!(section(&lines, "container", "a"), Some((&lines[2..3], "0")));
        assert_eq!(section(&lines, "oci:runc", "a"), Some((&lines[5..6], "1")));
        assert_eq!(section(&lines, "oci:runc", "b"), None);
        assert_eq!(section(&lines, "container", "b"), None);
        assert!(
            maps_ids("6.18.44-x") && maps_ids("7.0") && !maps_ids("6.1.0-56-cloud-amd64") && !maps_ids("x")
        );
    }
}
