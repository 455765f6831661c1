//! QEMU's command line. Each option has its reason.

use std::path::Path;

use super::options::{Accel, Machine};

/// Port of the guest's messages: QEMU's isa-debugcon, present on every machine type, no driver needed.
pub(super) const GUEST_PORT: &str = "e9";
/// Descriptors every QEMU is started with, behind 0, 1 and 2.
const GUEST_FD: u32 = 3;
const MONITOR_FD: u32 = 4;
const FIRMWARE_FD: u32 = 5;
/// The first of the descriptors that only some are started with ([`super::instance::Launch::files`]).
const FILES_FD: usize = 6;

/// One machine to start.
pub(super) struct Recipe<'a> {
    pub(super) machine: Machine,
    /// Never [`Accel::Auto`].
    pub(super) accel: Accel,
    /// `None` = [`default_cpu`].
    pub(super) cpu: Option<&'a str>,
    pub(super) memory_bytes: u64,
    pub(super) vcpus: u64,
    pub(super) boot: Boot<'a>,
    pub(super) network: Option<Network>,
    /// Words of this kind of machine alone: its disks, its firmware, its memory file.
    pub(super) further: &'a [String],
}

/// What the machine begins with.
pub(super) enum Boot<'a> {
    /// A kernel without firmware in between, or with as little of it as the machine allows.
    Kernel { kernel: &'a Path, initramfs: Option<&'a Path>, command_line: &'a str },
    /// Whatever its firmware finds.
    #[allow(dead_code, reason = "for machines with disks")]
    Firmware,
}

/// QEMU's user-mode network: alone with the host's one forwarded port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    /// Port of the host's loopback that leads to port 80 of the guest.
    pub(super) host_port: u16,
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

/// The host's processor under KVM; all that can be translated under TCG.
pub(super) fn default_cpu(accel: Accel) -> &'static str {
    if accel == Accel::Kvm { "host" } else { "max" }
}

/// How QEMU names the `number`th of the files it is started with. A path through the descriptor:
/// QEMU needs no right to the folders in front of the file.
pub(super) fn file_path(number: usize) -> String {
    format!("/proc/self/fd/{}", file_fd(number))
}

/// Its descriptor in QEMU.
pub(super) fn file_fd(number: usize) -> usize {
    FILES_FD + number
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
    add(&["-cpu", recipe.cpu.unwrap_or(default_cpu(recipe.accel))]);
    add(&["-smp", &recipe.vcpus.to_string()]);
    add(&["-m", &format!("{}k", recipe.memory_bytes.div_ceil(1024))]);
    // Connected sockets, inherited: nobody has to wait for a path to appear.
    add(&["-chardev", &format!("socket,id=guest,fd={GUEST_FD}")]);
    add(&["-device", &format!("isa-debugcon,iobase=0x{GUEST_PORT},chardev=guest")]);
    add(&["-chardev", &format!("socket,id=monitor,fd={MONITOR_FD}"), "-mon", "chardev=monitor,mode=control"]);
    // The firmware's own debug port.
    add(&["-chardev", &format!("socket,id=firmware,fd={FIRMWARE_FD}")]);
    add(&["-device", "isa-debugcon,iobase=0x402,chardev=firmware"]);
    if let Some(Network { host_port }) = recipe.network {
        add(&["-netdev", &format!("user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{host_port}-:80")]);
        let device = match recipe.machine {
            Machine::Microvm => "virtio-net-device",
            Machine::Pc | Machine::Q35 => "virtio-net-pci,romfile=",
        };
        add(&["-device", &format!("{device},netdev=net")]);
    }
    if let Boot::Kernel { kernel, initramfs, command_line } = &recipe.boot {
        add(&["-kernel", &kernel.to_string_lossy(), "-append", command_line]);
        if let Some(initramfs) = initramfs {
            add(&["-initrd", &initramfs.to_string_lossy()]);
        }
    }
    arguments.extend(recipe.further.iter().cloned());
    arguments
}
