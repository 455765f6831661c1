//! `vm:direct`: kernel and initramfs booted directly, the guest program as PID 1.

use std::sync::Arc;

use guest::Plan;

use super::boot_files::{self, BootFiles, Paths};
use super::hypervisor::{self, Hypervisor, Start, free_port};
use super::options::Options;
use super::recipe::{self, Network, Recipe};
use super::{accel, instance, qemu};
use crate::event::EventSink;
use crate::image::Image;
use crate::{Backend, Error, Instance, LaunchSpec, Limits, Prepared, Requirement, RunContext, Workload};

/// `vm:direct`.
pub struct DirectBackend {
    options: Options,
}

impl DirectBackend {
    /// With the user's choices.
    pub fn new(options: Options) -> DirectBackend {
        DirectBackend { options }
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
        let accelerator = accel::requirement(&self.options, &crate::cache_dir());
        [qemu::requirement(), boot_files::requirement(&self.options)].into_iter().chain(accelerator).collect()
    }

    fn prepare(&self, context: &RunContext, image: &Image) -> Result<Arc<dyn Prepared>, Error> {
        Ok(Arc::new(PreparedVm {
            hypervisor: Hypervisor::prepare(context, &self.options)?,
            files: BootFiles::prepare(context, &self.options, image)?,
            image: image.digest.clone(),
        }))
    }
}

struct PreparedVm {
    hypervisor: Hypervisor,
    files: BootFiles,
    image: String,
}

impl PreparedVm {
    fn arguments(
        &self,
        plan: &Plan,
        limits: &Limits,
        paths: &Paths,
        network: Option<Network>,
    ) -> Vec<String> {
        let plan = Plan { address: network.as_ref().map(Network::guest_address), ..plan.clone() };
        let (memory_bytes, vcpus) = hypervisor::size(limits);
        recipe::arguments(&Recipe {
            machine: self.hypervisor.machine,
            accel: self.hypervisor.accel(),
            cpu: None,
            memory_bytes,
            vcpus,
            boot: paths.boot(&self.files.command_line(self.hypervisor.accel(), &plan)),
            network,
            further: &[],
        })
    }
}

impl Prepared for PreparedVm {
    fn config(&self) -> serde_json::Value {
        let plan = Plan::new(Workload::Ready);
        let example = self.arguments(&plan, &Limits::default(), &self.files.own_paths(), None);
        serde_json::json!({
            "backend": "vm:direct",
            "image": self.image,
            "qemu": self.hypervisor.version,
            "accelerator": self.hypervisor.accel().name(),
            "accelerator_chosen": self.hypervisor.choice.how,
            "machine": self.hypervisor.machine.name(),
            "user": self.hypervisor.described_user(),
            "kernel": self.files.kernel.source.file_name().map(|name| name.to_string_lossy().into_owned()),
            "kernel_digest": self.files.kernel.digest,
            "kernel_form": self.files.kernel.form,
            "initramfs_digest": self.files.initramfs_digest(false).unwrap_or_default(),
            "command_line": example.join(" "),
            "files": "kernel and initramfs are given to QEMU by descriptor",
            "network": "for http: virtio-net, user-mode, one port of the host's loopback forwarded",
        })
    }

    fn launch(&self, spec: &LaunchSpec, events: EventSink) -> Result<Box<dyn Instance>, Error> {
        hypervisor::refuse_pids(spec)?;
        instance::begin(&events);
        let guest_port = recipe::service_port(&spec.plan.workload);
        let service = guest_port.map(|_| free_port()).transpose()?;
        let network = service
            .zip(guest_port)
            .map(|(host, port)| Network::of(spec.name.index, host.port()).leading_to(port));
        let start = Start {
            name: &spec.name,
            arguments: &self.arguments(&spec.plan, &spec.limits, &Paths::inherited(), network),
            files: &self.files.files(service.is_some())?,
            service,
            firmware: boot_files::firmware(self.hypervisor.machine),
        };
        Ok(Box::new(self.hypervisor.start(&start, &events, |_| Ok(()))?))
    }
}

#[cfg(test)]
mod tests;
