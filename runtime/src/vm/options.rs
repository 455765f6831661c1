//! What the user chose for virtual machines.

use std::path::PathBuf;

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

/// What the user chose for VM backends.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Accelerator.
    pub accel: Accel,
    /// Machine.
    pub machine: Machine,
    /// Guest kernel; found where `None`.
    pub kernel: Option<PathBuf>,
}
