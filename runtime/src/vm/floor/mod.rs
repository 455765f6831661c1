//! `vm:floor`: QEMU with a few kilobytes of payload and no operating system, the price of the
//! hypervisor alone.
//!
//! The payload (`payload/`) is assembled by the build script with the Rust compiler and entered by
//! the PVH boot protocol. The same payload proves accelerators ([`super::accel`]): told `p`, it first
//! does what Linux cannot do without.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::file;
use super::hypervisor::{self, Hypervisor, Start};
use super::instance::{self, Firmware};
use super::options::{Accel, Machine, Options};
use super::recipe::{self, Boot, Recipe};
use crate::event::EventSink;
use crate::image::Image;
use crate::{Backend, Error, Instance, LaunchSpec, Limits, Prepared, Requirement, RunContext, Workload};

/// Runs under every accelerator and needs nothing a newer processor has.
pub(super) const CPU: &str = "qemu64";
/// How QEMU ends when the payload ends it: none of QEMU's own statuses.
pub(super) const EXIT_STATUS: i32 = 43;
/// Its way to end QEMU.
pub(super) const EXIT_DEVICE: &str = "isa-debug-exit,iobase=0x501,iosize=2";

/// The payload: an ELF of a few kilobytes, empty where the host is no x86-64.
pub(super) fn payload_bytes() -> &'static [u8] {
    include_bytes!(env!("FLOOR_PAYLOAD"))
}

/// The payload as a sealed file in memory, made once.
///
/// # Errors
/// Where the system refuses the memory file.
pub(super) fn payload() -> Result<BorrowedFd<'static>, Error> {
    static PAYLOAD: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(payload) = PAYLOAD.get() {
        return Ok(payload.as_fd());
    }
    let made = file::sealed("floor", payload_bytes())
        .map_err(Error::system("make a sealed memory file for the payload"))?;
    Ok(PAYLOAD.get_or_init(|| made).as_fd())
}

/// `vm:floor`.
pub struct FloorBackend {
    options: Options,
}

impl FloorBackend {
    /// With the user's choices; its kernel is of no concern here.
    pub fn new(options: Options) -> FloorBackend {
        FloorBackend { options }
    }
}

impl Backend for FloorBackend {
    fn id(&self) -> String {
        "vm:floor".into()
    }

    fn description(&self) -> &'static str {
        "QEMU with a few kilobytes of payload and no operating system: the price of the hypervisor alone"
    }

    fn requirements(&self) -> Vec<Requirement> {
        hypervisor::requirements(&self.options, None)
    }

    fn prepare(&self, context: &RunContext, _image: &Image) -> Result<Arc<dyn Prepared>, Error> {
        payload()?;
        Ok(Arc::new(PreparedFloor { hypervisor: Hypervisor::prepare(context, &self.options)? }))
    }
}

struct PreparedFloor {
    hypervisor: Hypervisor,
}

impl PreparedFloor {
    fn arguments(&self, payload: &Path, limits: &Limits) -> Vec<String> {
        let (memory_bytes, vcpus) = hypervisor::size(limits);
        recipe::arguments(&Recipe {
            machine: self.hypervisor.machine,
            accel: self.hypervisor.accel(),
            cpu: Some(CPU),
            memory_bytes,
            vcpus,
            boot: Boot::Kernel { kernel: payload, initramfs: None, command_line: "" },
            network: None,
            root_disk: None,
            further: &[],
        })
    }
}

impl Prepared for PreparedFloor {
    fn config(&self) -> serde_json::Value {
        let arguments = self.arguments(Path::new("PAYLOAD"), &Limits::default());
        self.hypervisor.describe(serde_json::json!({
            "backend": "vm:floor",
            "payload_bytes": payload_bytes().len(),
            "command_line": recipe::line(&arguments),
        }))
    }

    fn cannot_hold(&self, limits: &Limits) -> Option<String> {
        hypervisor::cannot_hold(limits)
    }

    fn launch(&self, spec: &LaunchSpec, events: EventSink) -> Result<Box<dyn Instance>, Error> {
        hypervisor::refuse_pids(spec)?;
        if spec.plan.workload != Workload::Ready {
            return Err(Error::Invalid(format!(
                "vm:floor has no operating system to run the workload {} on: ask for the workload ready, or leave it out",
                spec.plan.workload
            )));
        }
        instance::begin(&events);
        let start = Start {
            name: &spec.name,
            limits: &spec.limits,
            arguments: &self.arguments(&PathBuf::from(recipe::file_path(0)), &spec.limits),
            files: &[payload()?],
            service: None,
            firmware: match self.hypervisor.machine {
                Machine::Microvm => Firmware::Silent("firmware"),
                Machine::Pc | Machine::Q35 => Firmware::Speaks(&[("SeaBIOS (version", "firmware")]),
            },
        };
        Ok(Box::new(self.hypervisor.start(&start, &events, |_| Ok(()))?))
    }
}

/// The arguments of a machine that proves an accelerator.
pub(super) fn proof_arguments(accel: Accel, machine: Machine, cpu: &str) -> Vec<String> {
    recipe::arguments(&Recipe {
        machine,
        accel,
        cpu: Some(cpu),
        memory_bytes: 16 << 20,
        vcpus: 1,
        boot: Boot::Kernel { kernel: Path::new(&recipe::file_path(0)), initramfs: None, command_line: "p" },
        network: None,
        root_disk: None,
        further: &["-device".into(), EXIT_DEVICE.into()],
    })
}

#[cfg(test)]
mod tests;
