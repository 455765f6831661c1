//! What the user chose for virtual machines.

use std::path::PathBuf;

use super::full::Hardware;

/// Which accelerator to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accel {
    /// KVM where it is proven to work, else TCG.
    #[default]
    Auto,
    /// Hardware virtualization.
    Kvm,
    /// QEMU's own translator.
    Tcg,
}

impl Accel {
    /// The names a user may write.
    pub const NAMES: [&'static str; 3] = ["auto", "kvm", "tcg"];

    /// Reads one of [`Accel::NAMES`].
    pub fn from_name(name: &str) -> Option<Accel> {
        [Accel::Auto, Accel::Kvm, Accel::Tcg].into_iter().find(|accel| accel.name() == name)
    }

    /// QEMU's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Accel::Auto => "auto",
            Accel::Kvm => "kvm",
            Accel::Tcg => "tcg",
        }
    }
}

/// Which machine QEMU models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Machine {
    /// i440FX.
    Pc,
    /// Q35.
    Q35,
    /// The minimal machine without PCI.
    #[default]
    Microvm,
}

impl Machine {
    /// The names a user may write.
    pub const NAMES: [&'static str; 3] = ["microvm", "pc", "q35"];

    /// Reads one of [`Machine::NAMES`].
    pub fn from_name(name: &str) -> Option<Machine> {
        [Machine::Microvm, Machine::Pc, Machine::Q35].into_iter().find(|machine| machine.name() == name)
    }

    /// QEMU's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Machine::Pc => "pc",
            Machine::Q35 => "q35",
            Machine::Microvm => "microvm",
        }
    }
}

/// What a machine gets of the master disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CloneKind {
    /// An overlay over the disk all machines share.
    #[default]
    Linked,
    /// The whole disk once more.
    Copy,
}

impl CloneKind {
    /// The names a user may write.
    pub const NAMES: [&'static str; 2] = ["linked", "copy"];

    /// Reads one of [`CloneKind::NAMES`].
    pub fn from_name(name: &str) -> Option<CloneKind> {
        [CloneKind::Linked, CloneKind::Copy].into_iter().find(|kind| kind.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            CloneKind::Linked => "linked",
            CloneKind::Copy => "copy",
        }
    }
}

/// What a machine with a disk begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FirmwareKind {
    /// SeaBIOS.
    #[default]
    Bios,
    /// OVMF.
    Uefi,
}

impl FirmwareKind {
    /// The names a user may write.
    pub const NAMES: [&'static str; 2] = ["bios", "uefi"];

    /// Reads one of [`FirmwareKind::NAMES`].
    pub fn from_name(name: &str) -> Option<FirmwareKind> {
        [FirmwareKind::Bios, FirmwareKind::Uefi].into_iter().find(|kind| kind.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            FirmwareKind::Bios => "bios",
            FirmwareKind::Uefi => "uefi",
        }
    }
}

/// What the user chose for VM backends.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Accelerator.
    pub accel: Accel,
    /// Machine.
    pub machine: Machine,
    /// Guest kernel; found where `None`.
    pub kernel: Option<PathBuf>,
    /// Firmware of machines with a disk.
    pub firmware: FirmwareKind,
    /// What each of them gets of the master disk.
    pub clone: CloneKind,
    /// Master disk, qcow2 or raw; made from the image where `None`.
    pub disk: Option<PathBuf>,
    /// QEMU; found on PATH where `None`.
    pub qemu: Option<PathBuf>,
    /// Devices of machines with a disk; virtio where `None`.
    pub hardware: Option<&'static Hardware>,
    /// What such a machine is given instead of what is on its disk.
    pub outside: Option<Outside>,
}

/// A kernel that comes from the host, as machines without a firmware get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outside {
    /// Its file.
    pub kernel: PathBuf,
    /// Its initramfs.
    pub initramfs: PathBuf,
    /// Identifier of the root file system.
    pub root_uuid: String,
}
