//! These same tests once more on the kernel of a guest, where all controllers are on v2.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc::unbounded_channel;

use super::*;
use crate::image::Image;
use crate::patience::next;
use crate::vm::{Accel, DirectBackend, Machine, Options};
use crate::watch::Watch;
use crate::{Backend, Event, EventSink, InstanceName, LaunchSpec, RunContext};

/// Set where this program runs in a guest.
const IN_GUEST: &str = "BENCH_TEST_IN_GUEST";
const CGROUP: &str = "/sys/fs/cgroup";
/// A block device in memory, as the module of the guest's kernel makes it (admin-guide/blockdev/ramdisk.rst).
const RAM_DISK: &str = "/dev/ram0";
const RAM_DISK_MODULE: &str = "/brd.ko";
/// What the tests' scripts need.
const TOOLS: [&str; 6] = ["sh", "cat", "grep", "head", "sleep", "dd"];
/// Room for this program in the initramfs.
const MEMORY_BYTES: u64 = 768 << 20;

pub(super) fn is_here() -> bool {
    std::env::var_os(IN_GUEST).is_some()
}

/// In a guest, mounts what PID 1 of a distribution would have mounted.
pub(super) fn set_up() {
    static ONCE: OnceLock<()> = OnceLock::new();
    if !is_here() || std::env::var_os(user::AS_USER).is_some() {
        return;
    }
    ONCE.get_or_init(|| {
        let flags = rustix::mount::MountFlags::empty();
        leave_initramfs();
        rustix::mount::mount("cgroup2", CGROUP, "cgroup2", flags, None).expect("cgroup2 mounted");
        if let Ok(module) = std::fs::File::open(RAM_DISK_MODULE) {
            let parameters = c"rd_nr=1 rd_size=16384".as_ptr();
            // SAFETY: the descriptor is open and the string ends with NUL (init_module(2)).
            let loaded = unsafe { libc::syscall(libc::SYS_finit_module, module.as_raw_fd(), parameters, 0) };
            assert_eq!(loaded, 0, "brd: {}", std::io::Error::last_os_error());
        }
    });
}

/// Makes the root a mount like any other: pivot_root(2) cannot leave the first one, and whoever stands below
/// his mount namespace's root can make no user namespace (unshare(2)).
fn leave_initramfs() {
    use rustix::mount::{MountPropagationFlags, mount_bind_recursive, mount_change, mount_move};
    let (copy, private) = ("/copy", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC);
    std::fs::create_dir(copy).expect("made");
    mount_change("/", private).expect("private");
    mount_bind_recursive("/", copy).expect("bound");
    rustix::process::chdir(copy).expect("entered");
    mount_move(".", "/").expect("moved");
    rustix::process::chroot(".").expect("entered as root");
}

/// A large file or device that can be read past the page cache, and its block device.
pub(super) fn readable_disk() -> Option<(PathBuf, (u32, u32))> {
    use std::os::unix::fs::MetadataExt;
    set_up();
    if is_here() {
        return Path::new(RAM_DISK).exists().then(|| (RAM_DISK.into(), (1, 0)));
    }
    let program = std::env::current_exe().ok()?;
    let device = program.metadata().ok()?.dev();
    let (major, minor) = (libc::major(device), libc::minor(device));
    // Ceilings are for whole devices; a partition's folder says so.
    let folder = Path::new("/sys/dev/block").join(format!("{major}:{minor}"));
    (folder.is_dir() && !folder.join("partition").exists()).then_some((program, (major, minor)))
}

/// Reserves some where the kernel is a guest's.
pub(super) fn has_huge_pages() -> bool {
    let sysctl = "/proc/sys/vm/nr_hugepages";
    is_here()
        && std::fs::write(sysctl, "8").is_ok()
        && std::fs::read_to_string(sysctl).is_ok_and(|n| n == "8\n")
}

#[test]
fn v2_does_the_same_in_a_guest() {
    if is_here() || arrangements().is_empty() {
        return;
    }
    let Some(kernel) = kernel() else { return };
    let folder = tempfile::tempdir().expect("folder");
    let context = RunContext {
        run_id: format!("cgroup2-{}", std::process::id()),
        state_dir: folder.path().into(),
        cache_dir: folder.path().into(),
        watch: Arc::new(Watch::start().expect("watch")),
        network: Arc::default(),
    };
    let rootfs = folder.path().join("rootfs");
    fill(&rootfs, &kernel);
    let image = Image { rootfs: Some(rootfs), ..Image::builtin() };
    let options =
        Options { accel: Accel::Auto, machine: Machine::Microvm, kernel: Some(kernel), ..Options::default() };
    let prepared = DirectBackend::new(options).prepare(&context, &image).expect("prepared");
    let argv = ["/tests", "cgroup::tests", "--color=never"].map(str::to_owned).to_vec();
    let mut plan = Plan::new(Workload::Command { argv });
    plan.environment = vec![format!("{IN_GUEST}=1"), "PATH=/bin".into()];
    let name = InstanceName { storm: 0, index: 0 };
    let limits = Limits { memory_bytes: Some(MEMORY_BYTES), cpus: Some(2.0), ..Limits::default() };
    let (sender, mut events) = unbounded_channel();
    let spec = LaunchSpec { name: name.clone(), plan, limits };
    let mut vm = prepared.launch(&spec, EventSink::new(name, sender)).expect("launched");
    let mut said = Vec::new();
    let status = loop {
        match next(&mut events).expect("an event").event {
            Event::Log(line) => said.push(line),
            Event::CommandExited(status) => break status,
            Event::Failed(error) => panic!("{error}; before: {said:#?}"),
            Event::Exited(exit) => panic!("the guest ended: {exit}; before: {said:#?}"),
            _ => {}
        }
    };
    vm.stop().expect("stopped");
    for root in Hierarchies::of_host().expect("readable").roots() {
        let _ = std::fs::remove_dir(root.join(TOP).join(&context.run_id));
    }
    let all = said.join("\n");
    assert_eq!(status, 0, "{all}");
    // It must not have passed by skipping.
    let passed = said.iter().filter(|line| line.starts_with("test ") && line.ends_with(" ok")).count();
    assert!(passed >= 18 && !all.contains("skipped"), "{passed} passed: {all}");
}

/// The guest kernel's file, or why there can be no guest.
fn kernel() -> Option<PathBuf> {
    let backend = DirectBackend::new(Options::default());
    let mut kernel = None;
    for requirement in backend.requirements() {
        match requirement.state {
            Ok(found) if requirement.what == "guest kernel" => kernel = Some(PathBuf::from(found)),
            Ok(_) => {}
            Err(why) => {
                eprintln!("skipped: no virtual machine here: {}: {why}", requirement.what);
                return None;
            }
        }
    }
    kernel
}

/// This program, tools and libraries of the host, and the module of the kernel's RAM disk.
fn fill(root: &Path, kernel: &Path) {
    let script = r#"set -e
        root=$0; program=$1; shift; mkdir -p "$root/bin" "$root/etc"
        add() { cp "$1" "$root/$2"; for library in $(ldd "$1" | grep -o '/[^ ]*'); do
            mkdir -p "$root$(dirname $library)"; cp -L "$library" "$root$library"; done; }
        for tool in "$@"; do add "$(readlink -f "$(command -v $tool)")" bin/$tool; done
        add "$program" tests; if command -v strip >/dev/null; then strip "$root/tests"; fi"#;
    let program = std::env::current_exe().expect("its path");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).arg(root).arg(program).args(TOOLS);
    assert!(command.status().expect("sh").success());
    // kernels/<version>/boot/vmlinuz-… and kernels/<version>/lib/modules/<version>, as setup unpacks them.
    let modules = kernel.parent().and_then(Path::parent).map(|folder| folder.join("lib/modules"));
    let versions =
        modules.into_iter().flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten());
    for version in versions {
        let module = version.path().join("kernel/drivers/block/brd.ko");
        if module.exists() {
            std::fs::copy(module, root.join(RAM_DISK_MODULE.trim_start_matches('/'))).expect("copied");
        }
    }
}
