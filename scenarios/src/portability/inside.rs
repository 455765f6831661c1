//! The same images inside virtual machines: on other kernels, under both versions of cgroups.
//!
//! Each machine boots one kernel with this program, the runtimes of this host and the userland in its
//! memory, and has this program start a container with each runtime. That is also how containers run on
//! a host whose own kernel is not Linux.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use guest::report::Report;
use guest::{Plan as GuestPlan, Workload};
use results::record::{Cell, CellOutcome};
use runtime::clock::now_ns;
use runtime::image::Image;
use runtime::vm::{DirectBackend, Machine, Options};
use runtime::{Backend, Event, EventSink, InstanceName, LaunchSpec, Limits};
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;

use super::containers::{CONTAINER, Carried, Removed, judge};
use super::plan::Plan;
use super::run::{Book, cell};
use crate::{Error, Progress, Stage};

/// Room for everything, twice: in the initramfs and behind it.
const MEMORY_BYTES: u64 = 1536 << 20;
/// How long one container may take inside.
const CONTAINER_S: u32 = 60;
/// Runtimes that are carried along where this host has them.
const RUNTIMES: [&str; 3] = ["runc", "crun", "youki"];
/// What the script needs.
const TOOLS: [&str; 8] = ["sh", "mount", "mkdir", "cp", "chroot", "cat", "timeout", "rm"];
/// What loads a module; few hosts that are containers have it, so the carried system's own is taken.
const KMOD: &str = "usr/bin/kmod";
const MODULE: &str = "overlay.ko";
/// From this version on the kernel maps the ids of files in memory (mount_setattr(2), tmpfs).
const MAPS_IDS: (u32, u32) = (6, 3);
const LOOK: Duration = Duration::from_millis(200);

/// What is in front of a container's report, and behind it.
const BEGIN: &str = "=== begin ";
const END: &str = "=== end ";

/// Copies programs of this host with their libraries into a folder.
const FILL: &str = r#"set -e
    root=$0; self=$1; kmod=$2; shift 2; mkdir -p "$root/usr/bin" "$root/etc" "$root/tmp" "$root/run" "$root/var" "$root/new"
    for folder in bin sbin; do ln -s usr/bin "$root/$folder"; done
    add() { cp "$1" "$root/usr/bin/$2"; for library in $(ldd "$1" 2>/dev/null | grep -o '/[^ )]*'); do
        mkdir -p "$root$(dirname $library)"; cp -L "$library" "$root$library"; done; }
    for tool in "$@"; do add "$(readlink -f "$(command -v $tool)")" $tool; done
    [ ! -e "$kmod" ] || add "$kmod" insmod
    add "$self" bench-itself; if command -v strip >/dev/null; then strip "$root/usr/bin/bench-itself"; fi
    echo root:x:0:0::/:/bin/sh >"$root/etc/passwd"; echo root:x:0: >"$root/etc/group""#;

/// Inside: leaves the initramfs, whose root no container can leave (pivot_root(2)), mounts cgroups, and
/// starts one container after the other.
const RUN: &str = r#"set -e
    export PATH=/usr/bin
    [ ! -e /overlay.ko ] || insmod /overlay.ko || true
    mount -t tmpfs -o mode=0755 none /new
    for folder in usr etc lib lib64 userland bin sbin; do [ ! -e /$folder ] || cp -a /$folder /new/; done
    mkdir -p /new/proc /new/sys /new/dev /new/tmp /new/run /new/var
    for folder in proc sys dev; do mount --move /$folder /new/$folder; done
    cd /new; mount --move . /
    exec chroot . /usr/bin/sh /etc/inside"#;

/// Behind the change of root; `VERSION`, `BACKENDS` and `IMAGES` are put in front.
const INSIDE: &str = r#"
    export PATH=/usr/bin HOME=/tmp
    mount -t tmpfs none /tmp; mount -t tmpfs none /run
    if [ $VERSION = v2 ]; then mount -t cgroup2 none /sys/fs/cgroup
    else
        mount -t tmpfs none /sys/fs/cgroup
        for controller in cpu cpuacct cpuset memory devices freezer blkio pids; do
            mkdir -p /sys/fs/cgroup/$controller; mount -t cgroup -o $controller none /sys/fs/cgroup/$controller || true
        done
    fi
    for image in $IMAGES; do for backend in $BACKENDS; do
        echo "=== begin $backend $image"
        reference=builtin; [ $image = static-program ] || reference=/userland
        code=0; timeout $SECONDS_EACH bench-itself exec $backend --image $reference --report 2>&1 || code=$?
        echo "=== end $code"
    done; done"#;

/// One machine.
struct Guest {
    kernel: PathBuf,
    release: String,
    version: &'static str,
}

/// Boots every kernel with both versions of cgroups.
///
/// # Errors
/// A row that cannot be written.
pub(super) fn carry(
    plan: &Plan,
    images: &mut [Carried],
    rootfs: Option<&Path>,
    stage: &mut Stage<'_>,
    book: &mut Book,
) -> Result<(), Error> {
    let kernels = rootfs.map(kernels).unwrap_or_default();
    if kernels.is_empty() {
        let row = cell(CONTAINER, images[0].name, "inside a VM");
        let reason = "there is no complete system whose kernels could be booted".into();
        return book.enter(Cell { reason, ..row }, stage);
    }
    let folder = stage.context.state_dir.join("inside");
    let _removed = Removed(folder.clone());
    let filled = fill(&folder, rootfs, stage);
    for (release, kernel) in kernels {
        for version in ["v1", "v2"] {
            if stage.stop.requested() {
                return Ok(());
            }
            let guest = Guest { kernel: kernel.clone(), release: release.clone(), version };
            (stage.progress)(Progress::Preparing { backend: place(&guest) });
            let told = match &filled {
                Ok(()) => boot(plan, &guest, images, &folder, rootfs, stage),
                Err(error) => Err(error.clone()),
            };
            enter(told, &guest, images, stage, book)?;
        }
    }
    Ok(())
}

fn place(guest: &Guest) -> String {
    format!("VM {}, cgroups {}", guest.release, guest.version)
}

/// Rows of one machine.
fn enter(
    told: Result<Vec<String>, String>,
    guest: &Guest,
    images: &mut [Carried],
    stage: &mut Stage<'_>,
    book: &mut Book,
) -> Result<(), Error> {
    let (lines, failure) = match told {
        Ok(lines) => (lines, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    for carried in images.iter_mut().filter(|carried| carried.name != "image") {
        for backend in backends() {
            let row = cell(CONTAINER, carried.name, format!("{}, {backend}", place(guest)));
            let row = match (&failure, section(&lines, &backend, carried.name)) {
                // That says nothing of the container.
                (Some(error), _) => Cell { reason: format!("the machine was not there: {error}"), ..row },
                // Ours, not the runtime's: the image's files are in the machine's memory.
                (None, _) if carried.image.rootfs.is_some() && !maps_ids(&guest.release) => {
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

/// Whether a kernel maps the ids of files in memory.
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

/// This program, the runtimes and the tools, with what they need of this host.
fn fill(folder: &Path, rootfs: Option<&Path>, stage: &Stage<'_>) -> Result<(), String> {
    let itself = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    std::fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let present = RUNTIMES.iter().filter(|name| on_path(name).is_some());
    let output = Command::new("/bin/sh")
        .args(["-c", FILL])
        .arg(folder)
        .arg(itself)
        .arg(rootfs.map(|rootfs| rootfs.join(KMOD)).unwrap_or_default())
        .args(TOOLS.iter().chain(present))
        .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
        .output()
        .map_err(|error| format!("cannot fill the machines' memory: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("cannot fill the machines' memory: {}", said.trim()));
    }
    let userland = stage.context.state_dir.join("userland");
    if userland.is_dir() {
        copy(&userland, &folder.join("userland"))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status();
    match done {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("cp of {} ended with {status}", from.display())),
        Err(error) => Err(format!("cannot run cp: {error}")),
    }
}

/// Boots a machine and takes down what its containers say.
fn boot(
    plan: &Plan,
    guest: &Guest,
    images: &[Carried],
    folder: &Path,
    rootfs: Option<&Path>,
    stage: &Stage<'_>,
) -> Result<Vec<String>, String> {
    let names: Vec<&str> = images.iter().map(|one| one.name).filter(|name| *name != "image").collect();
    let script = format!(
        "VERSION={}\nBACKENDS='{}'\nIMAGES='{}'\nSECONDS_EACH={CONTAINER_S}\n{INSIDE}\n",
        guest.version,
        backends().join(" "),
        names.join(" ")
    );
    let refused = |error: std::io::Error| format!("cannot write what the machine does: {error}");
    std::fs::write(folder.join("etc/inside"), script).map_err(refused)?;
    let module = folder.join(MODULE);
    let _ = std::fs::remove_file(&module);
    let of_kernel = Path::new("lib/modules").join(&guest.release).join("kernel/fs/overlayfs").join(MODULE);
    if let Some(found) = rootfs.map(|rootfs| rootfs.join(of_kernel)).filter(|path| path.is_file()) {
        std::fs::copy(found, &module).map_err(refused)?;
    }
    let accel = plan.launch.vm_options().map_err(|error| error.to_string())?.accel;
    let options =
        Options { accel, machine: Machine::Pc, kernel: Some(guest.kernel.clone()), ..Options::default() };
    let image = Image {
        rootfs: Some(folder.to_owned()),
        digest: format!("inside {} {}", guest.release, guest.version),
        ..Image::builtin()
    };
    let prepared =
        DirectBackend::new(options).prepare(stage.context, &image).map_err(|error| error.to_string())?;
    let argv = ["/usr/bin/sh", "-c", RUN].map(str::to_owned).to_vec();
    let name = InstanceName { storm: 1, index: 0 };
    let limits = Limits { memory_bytes: Some(MEMORY_BYTES), cpus: Some(2.0), ..Limits::default() };
    let guest_plan = GuestPlan::new(Workload::Command { argv });
    let (sender, mut events) = unbounded_channel();
    let spec = LaunchSpec { name: name.clone(), plan: guest_plan, limits };
    let mut vm = prepared.launch(&spec, EventSink::new(name, sender)).map_err(|error| error.to_string())?;
    let executor = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let executor = executor.map_err(|error| format!("cannot start the event loop: {error}"))?;
    let containers = (names.len() * backends().len()) as u64;
    let deadline_ns =
        now_ns() + (plan.launch.timeout_s * 1e9) as u64 + containers * u64::from(CONTAINER_S) * 1_000_000_000;
    let told = executor.block_on(async {
        let mut lines: Vec<String> = Vec::new();
        loop {
            if stage.stop.requested() {
                return Err("the user did not want to wait".to_owned());
            }
            let last = lines.last().map_or("nothing", String::as_str);
            if now_ns() > deadline_ns {
                return Err(format!("the machine was not ready in time; it said last: {last}"));
            }
            let Ok(received) = timeout(LOOK, events.recv()).await else { continue };
            match received.map(|stamped| stamped.event) {
                Some(Event::Log(line)) => lines.push(line),
                Some(Event::CommandExited(0)) => return Ok(lines),
                Some(Event::CommandExited(code)) => {
                    return Err(format!("what was run in the machine ended with {code}: {last}"));
                }
                Some(Event::Failed(error)) => return Err(error),
                Some(Event::Exited(exit)) => return Err(format!("the machine ended: {exit}; last: {last}")),
                Some(_) => {}
                None => return Err("nobody tells of the machine any more".to_owned()),
            }
        }
    });
    let ended = vm.stop().map_err(|error| format!("the machine could not be ended: {error}"));
    told.and_then(|lines| ended.map(|_| lines))
}

#[cfg(test)]
mod tests {
    use super::*;

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
