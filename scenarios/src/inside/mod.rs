//! Virtual machines with this program in them: other kernels than this host's, and either version of
//! cgroups, for what a run asks of containers there.
//!
//! Each machine boots one kernel with this program, further programs of this host and whatever else is
//! put into its folder in its memory, and carries out a script. That is also how containers run on a
//! host whose own kernel is not Linux.

mod plan;

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use guest::{Plan as GuestPlan, Workload};
use runtime::clock::now_ns;
use runtime::image::Image;
use runtime::vm::{Accel, DirectBackend, Machine, Options};
use runtime::{Backend, Event, EventSink, InstanceName, LaunchSpec, Limits, RunContext};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::unbounded_channel;

use crate::Stop;
pub(crate) use plan::carry_out;

/// Room for everything, twice: in the initramfs and behind it.
const MEMORY_BYTES: u64 = 1536 << 20;
/// What the scripts need.
const TOOLS: [&str; 8] = ["sh", "mount", "mkdir", "cp", "chroot", "cat", "timeout", "rm"];
/// What loads a module; few hosts that are containers have it, so the carried system's own is taken.
const KMOD: &str = "usr/bin/kmod";
/// Modules that scripts need and kernels may have apart, below their folder.
const MODULES: [&str; 2] = ["kernel/fs/overlayfs/overlay.ko", "kernel/drivers/block/loop.ko"];
/// How often the machine is listened to.
const LOOK: Duration = Duration::from_millis(50);

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

/// Inside: leaves the initramfs, whose root no container can leave (pivot_root(2)), and begins.
const RUN: &str = r#"set -e
    export PATH=/usr/bin
    for module in /*.ko; do [ ! -e $module ] || insmod $module || true; done
    mount -t tmpfs -o mode=0755 none /new
    for folder in usr etc lib lib64 userland bin sbin; do [ ! -e /$folder ] || cp -a /$folder /new/; done
    mkdir -p /new/proc /new/sys /new/dev /new/tmp /new/run /new/var
    for folder in proc sys dev; do mount --move /$folder /new/$folder; done
    cd /new; mount --move . /
    exec chroot . /usr/bin/sh /etc/inside"#;

/// Behind the change of root; `VERSION` is put in front, and the script behind.
const MOUNT: &str = r#"
    export PATH=/usr/bin HOME=/tmp
    mount -t tmpfs none /tmp; mount -t tmpfs none /run
    if [ $VERSION = v2 ]; then mount -t cgroup2 none /sys/fs/cgroup
    else
        mount -t tmpfs none /sys/fs/cgroup
        for controller in cpu cpuacct cpuset memory devices freezer blkio pids; do
            mkdir -p /sys/fs/cgroup/$controller; mount -t cgroup -o $controller none /sys/fs/cgroup/$controller || true
        done
    fi"#;

/// A version of cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// A hierarchy for each controller (cgroup-v1/cgroups.rst).
    V1,
    /// One hierarchy (cgroup-v2.rst).
    V2,
}

impl Version {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Version::V1 => "v1",
            Version::V2 => "v2",
        }
    }

    /// How rows and charts call a container there.
    pub(crate) fn backend(self) -> String {
        format!("container in a VM ({})", self.name())
    }
}

/// One kind of machine.
pub(crate) struct Guest {
    /// Its kernel, and the release that has its modules; `None` = the one the host's machines boot.
    pub(crate) kernel: Option<(PathBuf, String)>,
    /// Of cgroups.
    pub(crate) version: Version,
    /// How it is run.
    pub(crate) accel: Accel,
}

/// What machines have in their memory; removed when dropped.
pub(crate) struct Carried<'a> {
    folder: PathBuf,
    /// A complete system, whose modules and whose tool to load them are taken.
    rootfs: Option<&'a Path>,
}

impl<'a> Carried<'a> {
    /// This program, `programs` of this host and the tools of scripts, with what they need.
    ///
    /// # Errors
    /// What is missing or could not be copied.
    pub(crate) fn fill(
        context: &RunContext,
        rootfs: Option<&'a Path>,
        programs: &[&str],
    ) -> Result<Carried<'a>, String> {
        let itself = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        let folder = context.state_dir.join("inside");
        std::fs::create_dir_all(&folder)
            .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        let carried = Carried { folder, rootfs };
        let output = Command::new("/bin/sh")
            .args(["-c", FILL])
            .arg(&carried.folder)
            .arg(itself)
            .arg(rootfs.map(|rootfs| rootfs.join(KMOD)).unwrap_or_default())
            .args(TOOLS.iter().chain(programs))
            .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
            .output()
            .map_err(|error| format!("cannot fill the machines' memory: {error}"))?;
        match output.status.success() {
            true => Ok(carried),
            false => {
                let said = String::from_utf8_lossy(&output.stderr);
                Err(format!("cannot fill the machines' memory: {}", said.trim()))
            }
        }
    }

    /// Takes a folder along, as `name`.
    ///
    /// # Errors
    /// What could not be copied.
    pub(crate) fn take(&self, from: &Path, name: &str) -> Result<(), String> {
        match Command::new("cp").arg("-a").arg(from).arg(self.folder.join(name)).status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("cp of {} ended with {status}", from.display())),
            Err(error) => Err(format!("cannot run cp: {error}")),
        }
    }

    /// Boots a machine, has it carry out `script` and takes down what it says, line by line.
    ///
    /// # Errors
    /// A machine that does not get to the script's end within `patience`, or that the user does not
    /// want to wait for.
    pub(crate) fn boot(
        &self,
        guest: &Guest,
        script: &str,
        patience: Duration,
        context: &RunContext,
        stop: &Stop,
    ) -> Result<Vec<String>, String> {
        self.write(guest, script).map_err(|error| format!("cannot write what the machine does: {error}"))?;
        let kernel = guest.kernel.as_ref().map(|(path, _)| path.clone());
        // Its disk is kept by its digest, for whoever asks for the same again.
        let digest = digest_of(&self.folder)
            .map_err(|error| format!("cannot read {}: {error}", self.folder.display()))?;
        let options = Options { accel: guest.accel, machine: Machine::Pc, kernel, ..Options::default() };
        let image = Image {
            rootfs: Some(self.folder.clone()),
            digest: format!("inside {digest}"),
            ..Image::builtin()
        };
        let prepared =
            DirectBackend::new(options).prepare(context, &image).map_err(|error| error.to_string())?;
        let argv = ["/usr/bin/sh", "-c", RUN].map(str::to_owned).to_vec();
        let name = InstanceName { storm: 1, index: 0 };
        let limits = Limits { memory_bytes: Some(MEMORY_BYTES), cpus: Some(2.0), ..Limits::default() };
        let plan = GuestPlan::new(Workload::Command { argv });
        let (sender, mut events) = unbounded_channel();
        let spec = LaunchSpec { name: name.clone(), plan, limits };
        let mut vm =
            prepared.launch(&spec, EventSink::new(name, sender)).map_err(|error| error.to_string())?;
        let deadline_ns = now_ns() + patience.as_nanos() as u64;
        let mut lines: Vec<String> = Vec::new();
        let told = loop {
            let last = || lines.last().map_or("nothing", String::as_str).to_owned();
            if stop.requested() {
                break Err("the user did not want to wait".to_owned());
            }
            if now_ns() > deadline_ns {
                break Err(format!("the machine was not ready in time; it said last: {}", last()));
            }
            match events.try_recv().map(|stamped| stamped.event) {
                Ok(Event::Log(line)) => lines.push(line),
                Ok(Event::CommandExited(0)) => break Ok(()),
                Ok(Event::CommandExited(code)) => {
                    break Err(format!("what was run in the machine ended with {code}: {}", last()));
                }
                Ok(Event::Failed(error)) => break Err(error),
                Ok(Event::Exited(exit)) => break Err(format!("the machine ended: {exit}; last: {}", last())),
                Ok(_) => {}
                Err(TryRecvError::Empty) => std::thread::sleep(LOOK),
                Err(TryRecvError::Disconnected) => {
                    break Err("nobody tells of the machine any more".to_owned());
                }
            }
        };
        let ended = vm.stop().map_err(|error| format!("the machine could not be ended: {error}"));
        told.and_then(|()| ended.map(|_| lines))
    }

    fn write(&self, guest: &Guest, script: &str) -> io::Result<()> {
        let script = format!("VERSION={}\n{MOUNT}\n{script}\n", guest.version.name());
        std::fs::write(self.folder.join("etc/inside"), script)?;
        for module in MODULES {
            let target = self.folder.join(Path::new(module).file_name().unwrap_or_default());
            let _ = std::fs::remove_file(&target);
            let (Some((_, release)), Some(rootfs)) = (&guest.kernel, self.rootfs) else { continue };
            let found = rootfs.join("lib/modules").join(release).join(module);
            if found.is_file() {
                std::fs::copy(found, target)?;
            }
        }
        Ok(())
    }
}

impl Drop for Carried<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Of names and contents below a folder, whenever they were written.
fn digest_of(folder: &Path) -> io::Result<String> {
    fn feed(digest: &mut Sha256, path: &Path, root: &Path) -> io::Result<()> {
        let mut entries: Vec<PathBuf> =
            std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        entries.sort();
        for path in entries {
            digest.update(path.strip_prefix(root).unwrap_or(&path).as_os_str().as_encoded_bytes());
            let kind = path.symlink_metadata()?.file_type();
            if kind.is_dir() {
                digest.update([0, b'd']);
                feed(digest, &path, root)?;
            } else if kind.is_symlink() {
                digest.update([0, b'l']);
                digest.update(path.read_link()?.as_os_str().as_encoded_bytes());
            } else {
                digest.update([0, b'f']);
                digest.update(Sha256::digest(std::fs::read(&path)?));
            }
        }
        Ok(())
    }
    let mut digest = Sha256::new();
    feed(&mut digest, folder, folder)?;
    Ok(format!("{:x}", digest.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_machine_is_given_is_known_by_its_content() {
        let folder = tempfile::tempdir().expect("folder");
        let digest = || digest_of(folder.path()).expect("read");
        std::fs::create_dir(folder.path().join("a")).expect("made");
        std::fs::write(folder.path().join("a/program"), "1").expect("written");
        let before = digest();
        std::fs::write(folder.path().join("a/program"), "1").expect("written again");
        assert_eq!(digest(), before);
        // Of the same length: by that alone it would be taken for the old one.
        std::fs::write(folder.path().join("a/program"), "2").expect("written");
        let changed = digest();
        assert_ne!(changed, before);
        std::os::unix::fs::symlink("a", folder.path().join("b")).expect("linked");
        assert_ne!(digest(), changed);
    }
}
