//! Virtual machines: QEMU, driven over QMP.

use std::path::PathBuf;
use std::sync::Arc;

use crate::image::Image;
use crate::{Backend, Error, Prepared, Requirement, RunContext};

/// Which accelerator to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accel {
    /// KVM where it is proven to work, else TCG.
    #[default]
    Auto,
    /// Hardware virtualization.
    Kvm,
    /// QEMU's interpreter and code generator.
    Tcg,
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

/// `vm:direct`.
pub struct DirectBackend {
    _options: Options,
}

impl DirectBackend {
    /// With the user's choices.
    pub fn new(options: Options) -> DirectBackend {
        DirectBackend { _options: options }
    }
}

impl Backend for DirectBackend {
    fn id(&self) -> String {
        "vm:direct".into()
    }

    fn description(&self) -> &'static str {
        "QEMU boots kernel and initramfs directly, the guest program is PID 1"
    }

    fn requirements(&self) -> Vec<Requirement> {
        Vec::new()
    }

    fn prepare(&self, _context: &RunContext, _image: &Image) -> Result<Arc<dyn Prepared>, Error> {
        Err(Error::Invalid("not built yet".into()))
    }
}
