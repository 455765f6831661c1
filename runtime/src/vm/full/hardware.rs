//! The hardware that hypervisors show to their guests, as far as QEMU can emulate it.
//!
//! These are QEMU's models of the devices, not the hypervisors: what is shown with them is whether
//! a guest has drivers for such devices, firmware that finds such a disk, and a boot loader.

use crate::vm::disk::DiskFormat;
use crate::vm::options::{FirmwareKind, Machine};

/// What stands in for one hypervisor.
#[derive(Debug, PartialEq, Eq)]
pub struct Hardware {
    /// Name of the profile.
    pub name: &'static str,
    /// The hypervisor whose devices these are like.
    pub stands_for: &'static str,
    /// The format its users keep disks in.
    pub format: DiskFormat,
    /// Its firmwares; none where the host hands over a kernel.
    pub firmwares: &'static [FirmwareKind],
    /// What is not as it would be there.
    pub differs: &'static str,
    /// Why it cannot be tried without KVM, where it cannot.
    pub needs_kvm: Option<&'static str>,
    /// Why it cannot be tried at all.
    pub impossible: Option<&'static str>,
    pub(in crate::vm) machine: Machine,
    /// Words that attach the block node `own`.
    pub(super) disk: &'static [&'static str],
    /// The network's device.
    pub(in crate::vm) network: &'static str,
    /// Further words: a display, mostly.
    pub(super) further: &'static [&'static str],
    /// Properties of the processor behind its model.
    pub(super) cpu: &'static str,
}

const BIOS: FirmwareKind = FirmwareKind::Bios;
const UEFI: FirmwareKind = FirmwareKind::Uefi;

/// What profiles have unless they say otherwise.
const PLAIN: Hardware = Hardware {
    name: "",
    stands_for: "",
    format: DiskFormat::Raw,
    firmwares: &[BIOS, UEFI],
    differs: "",
    needs_kvm: None,
    impossible: None,
    machine: Machine::Pc,
    disk: &[],
    network: "virtio-net-pci,romfile=",
    further: &[],
    cpu: "",
};

/// The profiles, in the order of reports. The first is the one disks are installed on.
pub static HARDWARE: [Hardware; 9] = [
    Hardware {
        name: "kvm-virtio",
        stands_for: "QEMU/KVM",
        format: DiskFormat::Qcow2,
        disk: &["-device", "virtio-blk-pci,drive=own,bootindex=0"],
        ..PLAIN
    },
    Hardware {
        name: "vmware-like",
        stands_for: "VMware ESXi",
        format: DiskFormat::Vmdk,
        firmwares: &[BIOS],
        differs: "BIOS only: OVMF as distributions build it has no driver for pvscsi, VMware's own firmware has",
        disk: &["-device", "pvscsi,id=scsi", "-device", "scsi-hd,bus=scsi.0,drive=own,bootindex=0"],
        network: "vmxnet3,romfile=",
        further: &["-device", "vmware-svga"],
        ..PLAIN
    },
    Hardware {
        name: "virtualbox-like",
        stands_for: "VirtualBox",
        format: DiskFormat::Vdi,
        disk: &["-device", "ich9-ahci,id=sata", "-device", "ide-hd,bus=sata.0,drive=own,bootindex=0"],
        network: "e1000,romfile=",
        further: &["-device", "VGA"],
        ..PLAIN
    },
    Hardware {
        name: "hyperv-gen1-like",
        stands_for: "Hyper-V, generation 1",
        format: DiskFormat::Vpc,
        firmwares: &[BIOS],
        differs: "without VMBus: its emulated legacy devices only",
        disk: &["-device", "ide-hd,bus=ide.0,drive=own,bootindex=0"],
        network: "tulip,romfile=",
        further: &["-device", "VGA"],
        ..PLAIN
    },
    Hardware {
        name: "aws-like",
        stands_for: "Amazon EC2 (Nitro)",
        differs: "virtio-net in place of ENA, which QEMU has no model of",
        disk: &["-device", "nvme,drive=own,serial=bench,bootindex=0"],
        ..PLAIN
    },
    Hardware {
        name: "firecracker-like",
        stands_for: "Firecracker",
        firmwares: &[],
        differs: "virtio-mmio found by ACPI instead of the kernel's command line",
        machine: Machine::Microvm,
        disk: &["-device", "virtio-blk-device,drive=own"],
        network: "virtio-net-device",
        ..PLAIN
    },
    Hardware {
        name: "hyperv-enlightened",
        stands_for: "Hyper-V's enlightenments under KVM",
        format: DiskFormat::Vpc,
        firmwares: &[BIOS],
        needs_kvm: Some("Hyper-V's enlightenments are KVM's: there are none without hardware virtualization"),
        disk: &["-device", "ide-hd,bus=ide.0,drive=own,bootindex=0"],
        network: "tulip,romfile=",
        further: &["-device", "VGA"],
        cpu: ",hv_relaxed,hv_vapic,hv_spinlocks=0x1fff,hv_time",
        ..PLAIN
    },
    Hardware {
        name: "hyperv-gen2-like",
        stands_for: "Hyper-V, generation 2",
        format: DiskFormat::Vhdx,
        firmwares: &[UEFI],
        impossible: Some("its disks are on VMBus, which QEMU has no model of"),
        ..PLAIN
    },
    Hardware {
        name: "xen-like",
        stands_for: "Xen",
        firmwares: &[BIOS],
        impossible: Some("QEMU emulates Xen's disks and network under KVM only, and from version 8.1 on"),
        ..PLAIN
    },
];

impl Hardware {
    /// The profile called `name`.
    pub fn named(name: &str) -> Option<&'static Hardware> {
        HARDWARE.iter().find(|hardware| hardware.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_whole_and_there_once() {
        for (index, one) in HARDWARE.iter().enumerate() {
            assert!(HARDWARE[..index].iter().all(|other| other.name != one.name), "{}", one.name);
            assert_eq!(Hardware::named(one.name), Some(one));
            let can_be_tried = one.impossible.is_none();
            assert!(!can_be_tried || one.disk.iter().any(|word| word.contains("drive=own")), "{}", one.name);
        }
        assert_eq!(Hardware::named("vmware"), None);
    }
}
