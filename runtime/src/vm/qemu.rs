//! QEMU's command line. Each option has its reason.

use std::path::{Path, PathBuf};

use super::kernel::Kernel;
use super::options::{Accel, Machine};

/// Program that is looked for on PATH.
pub(super) const PROGRAM: &str = "qemu-system-x86_64";
/// RAM of a guest that is not told otherwise.
pub(super) const DEFAULT_MEMORY_BYTES: u64 = 128 << 20;
/// Port of the guest's messages: QEMU's isa-debugcon, present on every machine type, no driver needed.
pub(super) const GUEST_PORT: &str = "e9";
/// Descriptors the process is started with, behind 0, 1 and 2.
pub(super) const GUEST_FD: u32 = 3;
pub(super) const MONITOR_FD: u32 = 4;
pub(super) const FIRMWARE_FD: u32 = 5;

/// One machine to start.
pub(super) struct Recipe<'a> {
    pub(super) machine: Machine,
    /// Never [`Accel::Auto`].
    pub(super) accel: Accel,
    pub(super) kernel: &'a Kernel,
    pub(super) initramfs: &'a Path,
    pub(super) plan: &'a str,
    pub(super) memory_bytes: u64,
    pub(super) vcpus: u64,
    /// Port of the host's loopback that leads to port 80 of the guest.
    pub(super) host_port: Option<u16>,
    /// Frequency of the host's time stamp counter, see [`tsc_khz`].
    pub(super) tsc_khz: Option<u64>,
}

/// Address of the guest in QEMU's user-mode network.
pub(super) const GUEST_ADDRESS: &str = "10.0.2.15/24";

/// Modules a guest needs to have a network.
pub(super) fn network_drivers(machine: Machine) -> [&'static str; 2] {
    match machine {
        Machine::Microvm => ["virtio_mmio", "virtio_net"],
        Machine::Pc | Machine::Q35 => ["virtio_pci", "virtio_net"],
    }
}

/// The arguments, without the program.
pub(super) fn arguments(recipe: &Recipe<'_>) -> Vec<String> {
    let mut arguments: Vec<String> = Vec::new();
    let mut add = |words: &[&str]| arguments.extend(words.iter().map(|word| (*word).to_owned()));
    // Nothing that was not asked for: no default devices, no configuration of the host's user.
    add(&["-nodefaults", "-no-user-config", "-display", "none"]);
    // A guest that ends by a reset ends QEMU.
    add(&["-no-reboot"]);
    // No new processes, no change of identity, no obsolete calls, no priorities from inside QEMU.
    add(&["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]);
    add(&["-machine", recipe.machine.name(), "-accel", recipe.accel.name()]);
    // The host's processor under KVM; all that can be translated under TCG.
    add(&["-cpu", if recipe.accel == Accel::Kvm { "host" } else { "max" }]);
    add(&["-smp", &recipe.vcpus.to_string()]);
    add(&["-m", &format!("{}k", recipe.memory_bytes.div_ceil(1024))]);
    // Connected sockets, inherited: nobody has to wait for a path to appear.
    add(&["-chardev", &format!("socket,id=guest,fd={GUEST_FD}")]);
    add(&["-device", &format!("isa-debugcon,iobase=0x{GUEST_PORT},chardev=guest")]);
    add(&["-chardev", &format!("socket,id=monitor,fd={MONITOR_FD}"), "-mon", "chardev=monitor,mode=control"]);
    // The firmware's own debug port.
    add(&["-chardev", &format!("socket,id=firmware,fd={FIRMWARE_FD}")]);
    add(&["-device", "isa-debugcon,iobase=0x402,chardev=firmware"]);
    if let Some(port) = recipe.host_port {
        // Alone with the host's one forwarded port.
        add(&["-netdev", &format!("user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:80")]);
        let device = match recipe.machine {
            Machine::Microvm => "virtio-net-device",
            Machine::Pc | Machine::Q35 => "virtio-net-pci,romfile=",
        };
        add(&["-device", &format!("{device},netdev=net")]);
    }
    add(&["-kernel", &recipe.kernel.file.to_string_lossy(), "-initrd", &recipe.initramfs.to_string_lossy()]);
    add(&["-append", &command_line(recipe)]);
    arguments
}

/// The kernel's command line (Documentation/admin-guide/kernel-parameters.rst).
fn command_line(recipe: &Recipe<'_>) -> String {
    // No text on consoles that nobody reads; a panic ends the machine at once.
    let mut words = vec!["quiet".to_owned(), "panic=-1".into(), "reboot=t".into()];
    // The self-tests of the crypto manager, and waiting for entropy, are no part of what is compared.
    words.extend(["cryptomgr.notests".into(), "random.trust_cpu=on".into()]);
    if recipe.accel == Accel::Tcg {
        // Calibrating the clock against an emulated timer loses a race on a busy host and spins for
        // ever; the frequency of the time stamp counter, which TCG passes through, is known.
        words.push("no_timer_check".into());
        words.extend(recipe.tsc_khz.map(|khz| format!("tsc_early_khz={khz}")));
    }
    // Behind "--": arguments of init.
    words.extend(["--".into(), format!("port:{GUEST_PORT}"), recipe.plan.to_owned()]);
    words.join(" ")
}

/// The frequency of the host's time stamp counter in kHz. Read once a run: on large hosts the kernel
/// asks every processor for its share of the answer.
pub(super) fn tsc_khz() -> Option<u64> {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = cpuinfo.lines().find(|line| line.starts_with("cpu MHz"))?;
    let mhz: f64 = line.split(':').nth(1)?.trim().parse().ok()?;
    Some((mhz * 1000.0).round() as u64)
}

/// Where QEMU is.
pub(super) fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(PROGRAM)).find(|program| program.is_file())
}

/// First line of `--version`.
pub(super) fn version(program: &Path) -> Option<String> {
    let output = std::process::Command::new(program).arg("--version").output().ok()?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
}
