//! `vm:direct`: kernel and initramfs booted directly, the guest program as PID 1.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::hypervisor::{self, Hypervisor, Start, free_port};
use super::instance::{self, Firmware};
use super::kernel::Kernel;
use super::options::{Machine, Options};
use super::recipe::{self, Boot, Network, Recipe};
use super::{accel, command_line, file, initramfs, kernel, qemu};
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
        let found = kernel::find(self.options.kernel.as_deref(), &crate::cache_dir());
        let kernel = Requirement {
            what: "guest kernel".into(),
            fix: found.is_err().then(|| kernel::FIX.into()),
            state: found.map(|path| path.display().to_string()).map_err(|_| "none found".into()),
        };
        let accelerator = accel::requirement(&self.options, &crate::cache_dir());
        [qemu::requirement(), kernel].into_iter().chain(accelerator).collect()
    }

    fn prepare(&self, context: &RunContext, image: &Image) -> Result<Arc<dyn Prepared>, Error> {
        let hypervisor = Hypervisor::prepare(context, &self.options)?;
        let kernel = kernel::load(
            &kernel::find(self.options.kernel.as_deref(), &context.cache_dir)?,
            &context.cache_dir,
        )?;
        let archive = |drivers: &[&str]| cached_initramfs(image, &kernel, drivers, &context.cache_dir);
        let plain = archive(&[])?;
        let networked =
            archive(&recipe::network_drivers(self.options.machine)).map_err(|error| error.to_string());
        Ok(Arc::new(PreparedVm {
            hypervisor,
            tsc_khz: command_line::tsc_khz(),
            image: image.digest.clone(),
            plain,
            networked,
            kernel_file: file::open_for_machine(&kernel.file)?,
            kernel,
        }))
    }
}

struct PreparedVm {
    hypervisor: Hypervisor,
    tsc_khz: Option<u64>,
    kernel: Kernel,
    kernel_file: OwnedFd,
    image: String,
    plain: Initramfs,
    /// With the drivers of a network; a kernel without modules is no obstacle to other workloads.
    networked: Result<Initramfs, String>,
}

struct Initramfs {
    path: PathBuf,
    file: OwnedFd,
}

/// How QEMU is told where kernel and initramfs are.
struct Paths<'a> {
    kernel: &'a Path,
    initramfs: &'a Path,
}

impl PreparedVm {
    fn initramfs(&self, networked: bool) -> Result<&Initramfs, Error> {
        if networked {
            self.networked.as_ref().map_err(|error| Error::Invalid(error.clone()))
        } else {
            Ok(&self.plain)
        }
    }

    fn arguments(&self, spec: &LaunchSpec, paths: &Paths<'_>, network: Option<Network>) -> Vec<String> {
        let mut plan = spec.plan.clone();
        plan.address = network.map(|_| recipe::GUEST_ADDRESS.to_owned());
        let accel = self.hypervisor.accel();
        let command_line = command_line::of_guest(accel, self.tsc_khz, &plan.to_word());
        let (memory_bytes, vcpus) = hypervisor::size(&spec.limits);
        recipe::arguments(&Recipe {
            machine: self.hypervisor.machine,
            accel,
            cpu: None,
            memory_bytes,
            vcpus,
            boot: Boot::Kernel {
                kernel: paths.kernel,
                initramfs: Some(paths.initramfs),
                command_line: &command_line,
            },
            network,
            further: &[],
        })
    }
}

impl Prepared for PreparedVm {
    fn config(&self) -> serde_json::Value {
        let plan = guest::Plan::new(Workload::Ready);
        let name = crate::InstanceName { storm: 0, index: 0 };
        let paths = Paths { kernel: &self.kernel.file, initramfs: &self.plain.path };
        let spec = LaunchSpec { name, plan, limits: Limits::default() };
        let example = self.arguments(&spec, &paths, None);
        serde_json::json!({
            "backend": "vm:direct",
            "image": self.image,
            "qemu": self.hypervisor.version,
            "accelerator": self.hypervisor.accel().name(),
            "accelerator_chosen": self.hypervisor.choice.how,
            "machine": self.hypervisor.machine.name(),
            "kernel": self.kernel.source.file_name().map(|name| name.to_string_lossy().into_owned()),
            "kernel_digest": self.kernel.digest,
            "kernel_form": self.kernel.form,
            "initramfs_digest": self.plain.path.file_name().map(|name| name.to_string_lossy().into_owned()),
            "command_line": example.join(" "),
            "files": "kernel and initramfs are given to QEMU by descriptor",
            "user": self.hypervisor.described_user(),
            "network": "for http: virtio-net, user-mode, one port of the host's loopback forwarded",
        })
    }

    fn launch(&self, spec: &LaunchSpec, events: EventSink) -> Result<Box<dyn Instance>, Error> {
        hypervisor::refuse_pids(spec)?;
        instance::begin(&events);
        let networked = spec.plan.workload == Workload::Http;
        let service = networked.then(free_port).transpose()?;
        let initramfs = self.initramfs(networked)?;
        let [kernel_path, initramfs_path] = [0, 1].map(|number| PathBuf::from(recipe::file_path(number)));
        let paths = Paths { kernel: &kernel_path, initramfs: &initramfs_path };
        let network = service.map(|address| Network { host_port: address.port() });
        let start = Start {
            name: &spec.name,
            arguments: &self.arguments(spec, &paths, network),
            files: &[self.kernel_file.as_fd(), initramfs.file.as_fd()],
            service,
            firmware: match self.hypervisor.machine {
                Machine::Microvm => Firmware::Silent("kernel"),
                Machine::Pc | Machine::Q35 => Firmware::SEABIOS,
            },
        };
        Ok(Box::new(self.hypervisor.start(&start, &events, |_| Ok(()))?))
    }
}

/// The initramfs in the cache, named by its digest.
fn cached_initramfs(
    image: &Image,
    kernel: &Kernel,
    drivers: &[&str],
    cache_dir: &Path,
) -> Result<Initramfs, Error> {
    let archive = initramfs::build(image.rootfs.as_deref(), kernel.modules.as_deref(), drivers)?;
    let path = cache_dir.join("initramfs").join(format!("{:x}", Sha256::digest(&archive)));
    if !path.exists() {
        super::store(&path, &archive)?;
    }
    Ok(Initramfs { file: file::open_for_machine(&path)?, path })
}

#[cfg(test)]
mod tests;
