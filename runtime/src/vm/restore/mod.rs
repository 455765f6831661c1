//! `vm:restore`: no boot. A machine is booted once until its workload serves, and saved; every
//! instance is a copy of it that shares its memory copy-on-write.
//!
//! What goes where: [`template`] boots and saves, [`store`] keeps templates in the cache by the
//! digest of all that went in and verifies them byte by byte before use, [`identity`] gives each
//! copy what must differ.
//!
//! The template's memory is a sealed file in memory. QEMU maps it privately, so no copy can reach
//! another through it, and nothing can change it between its verification and its use.
//!
//! A copy learns who it is without boot, network or driver: QEMU's firmware configuration device
//! holds its identity, and the guest program, which was saved while it looked there, finds it
//! with its first instructions. Then it says `ready`, reseeds the kernel's random numbers from the
//! host's bytes, and takes its clock, host name, machine id, hardware and network address, says that
//! it listens, and tells what it has become.
//! What programs keep in their own memory (a generator seeded before the template was saved, a
//! connection id) is as shared as it would be after a fork. So the template is saved before a command
//! of an image runs; a service of the image is saved while it serves, as the workload `http` is, and
//! its copies share what it drew for itself (redis's run id and the seed of its hash tables).
//!
//! # What it costs
//!
//! Measured in turns (`cargo run --release --package runtime --example machine_cost -- restored`) with
//! QEMU 7.2 under TCG, microvm, Debian's kernel 6.1, 128 MiB, on a virtual machine of two cores:
//!
//! | | median | 95 % interval | n |
//! |---|---|---|---|
//! | `vm:floor`, start → ready | 22.0 ms | 21.3–22.3 | 10 |
//! | start → ready | 31.6 ms | 30.8–33.5 | 10 |
//! | … to QEMU's greeting | 14.8 ms | 14.3–15.3 | 10 |
//! | … greeting to resume | 5.7 ms | 5.5–6.0 | 10 |
//! | … resume to ready | 11.5 ms | 10.6–12.2 | 10 |
//! | start → serving | 77.2 ms | 76.2–77.9 | 10 |
//! | start → serving, 64 at once | 6,343 ms | 6,225–6,425 | 64 |
//! | private memory, 64 serving | 28.0 MiB each | | 64 |
//!
//! What a start leaves out is paid by the first requests. Request 1 took 22.0 ms, 2 11.6 ms, 3 1.03 ms, the
//! median of 4 to 10 0.63 ms, of 11 to 100 0.51 ms; of a machine that had booted 23.3, 8.2, 1.1, 0.40 and
//! 0.45 ms. (Under TCG translating the code for the first time is most of it, for both.) One copy alone
//! seems to have 57 MiB private: pages of the template that only one process maps count as its own.
//!
//! # What makes it quicker
//!
//! Under TCG most of a start is the translation of guest code that runs for the first time, in each copy
//! again: what a copy does not do is what is gained. QEMU's processor time until the first answer, beside
//! other builds on the same two processors (lower quartile of 12 starts, three rounds in turns):
//!
//! | one thing changed | ms | so |
//! |---|---|---|
//! | **as it is** | 91–94 | |
//! | with `guest_announce=on`, virtio-net's default: the guest tells the network where it is | 99–121 | off: it gets another address anyway |
//! | without virtio-net's control queue | 92–100 | not taken: no gain |
//! | the same and `virtio-mmio.ioeventfd=off` | 98–104 | not taken |
//! | without `-sandbox` | 86–95 | not taken: little gain, and the sandbox is worth having |
//! | `-cpu max,-la57,-smap,-smep,-pcid,-pku` | 99–107 | not taken: slower |
//!
//! In turns with the version before (one that announced itself, opened files and sockets and looked for its
//! interface in each copy, and told what it had become before it said that it listens), on a quiet host,
//! 40 each: start → ready 33.9 ms [32.9, 36.7] after 48.9 ms [48.3, 50.0], start → serving 83.6 ms
//! [80.1, 90.9] after 107.7 ms [106.9, 109.1]. In the same minutes
//! the same service answered after 83.6 ms [81.1, 89.1] over Docker's API with the host's network, 100 ms
//! [95.8, 105] by `docker run --network host` as typed, and 250 ms [244, 258] by `docker run` with a network
//! of its own.

mod elsewhere;
mod identity;
mod store;
mod template;

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use guest::{Identity, Plan};

use super::boot_files::{self, BootFiles};
use super::hypervisor::{self, Hypervisor, Start};
use super::instance::{self, Firmware};
use super::options::Options;
use super::reach::Reach;
use super::recipe;
use super::{file, floor, saving};
use crate::event::EventSink;
use crate::image::Image;
use crate::{Backend, Error, Instance, LaunchSpec, Limits, Prepared, Requirement, RunContext};
pub use elsewhere::Offer;
use template::{Given, Shape, Template};

/// `vm:restore`.
pub struct RestoreBackend {
    options: Options,
}

impl RestoreBackend {
    /// With the user's choices.
    pub fn new(options: Options) -> RestoreBackend {
        RestoreBackend { options }
    }
}

impl Backend for RestoreBackend {
    fn id(&self) -> String {
        "vm:restore".into()
    }

    fn description(&self) -> &'static str {
        "no boot: QEMU restores copies of a machine that was saved once its workload served"
    }

    fn requirements(&self) -> Vec<Requirement> {
        hypervisor::requirements(&self.options, [boot_files::requirement(&self.options)])
    }

    fn prepare(&self, context: &RunContext, image: &Image) -> Result<Arc<dyn Prepared>, Error> {
        Ok(Arc::new(self.make(context, image)?))
    }
}

impl RestoreBackend {
    fn make(&self, context: &RunContext, image: &Image) -> Result<PreparedRestore, Error> {
        floor::payload()?;
        Ok(PreparedRestore {
            hypervisor: Hypervisor::prepare(context, &self.options)?,
            files: BootFiles::prepare(context, &self.options, image)?,
            folder: context.cache_dir.join(store::FOLDER),
            run_id: context.run_id.clone(),
            image: image.digest.clone(),
            templates: Mutex::default(),
        })
    }
}

/// Files a copy is started with, beside the image's disk and a tap.
const FILES: usize = 4;

struct PreparedRestore {
    hypervisor: Hypervisor,
    files: BootFiles,
    folder: PathBuf,
    run_id: String,
    image: String,
    templates: Mutex<HashMap<Shape, Arc<Template>>>,
}

impl PreparedRestore {
    /// The template for such launches: at hand, from the cache, or made now. One at a time.
    fn template(&self, plan: &Plan, limits: &Limits) -> Result<(Shape, Arc<Template>), Error> {
        let shape = Shape::of(plan, limits, self.hypervisor.access.is_given(&plan.workload));
        let mut templates = self.templates.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(template) = templates.get(&shape) {
            return Ok((shape, template.clone()));
        }
        let template = Arc::new(store::get(&self.folder, &self.hypervisor, &self.files, &shape)?);
        templates.insert(shape.clone(), template.clone());
        Ok((shape, template))
    }
}

impl PreparedRestore {
    /// Which of a copy's files is the disk of its image.
    fn root_disk(&self) -> Option<usize> {
        self.files.disk().map(|_| FILES)
    }

    /// For the record.
    fn example(&self) -> Given<'static> {
        Given { memory: "MEMORY", identity: "IDENTITY", root_disk: self.root_disk(), network: None }
    }
}

impl Prepared for PreparedRestore {
    fn config(&self) -> serde_json::Value {
        let templates = self.templates.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut described: Vec<serde_json::Value> = templates
            .iter()
            .map(|(shape, template)| {
                serde_json::json!({
                    "workload": shape.plan.workload.to_string(),
                    "digest": template.key,
                    "origin": template.origin,
                    "state_bytes": template.state_bytes,
                    "command_line": recipe::line(&shape.copy_arguments(&self.hypervisor, "DUMMY", self.example())),
                })
            })
            .collect();
        described.sort_by_key(serde_json::Value::to_string);
        self.hypervisor.describe(serde_json::json!({
            "backend": "vm:restore",
            "image": self.image,
            "kernel_digest": self.files.kernel.digest,
            "kernel_form": self.files.kernel.form,
            "templates": described,
            "root": self.files.described_root(),
            "each_copy_gets": "entropy, wall clock, host name, machine id; networked ones a MAC and IP address",
            "network": self.hypervisor.access.described(),
        }))
    }

    fn get_ready(&self, plan: &Plan, limits: &Limits) -> Result<(), Error> {
        self.template(plan, limits).map(drop)
    }

    fn cannot_hold(&self, limits: &Limits) -> Option<String> {
        hypervisor::cannot_hold(limits)
    }

    fn launch(&self, spec: &LaunchSpec, events: EventSink) -> Result<Box<dyn Instance>, Error> {
        hypervisor::refuse_pids(spec)?;
        let (shape, template) = self.template(&spec.plan, &spec.limits)?;
        instance::begin(&events);
        let guest_port = recipe::service_port(&spec.plan.workload);
        let reach =
            self.hypervisor.access.reach(&spec.name, guest_port, FILES + self.files.disk().iter().len())?;
        let plan = template::for_copy(&spec.plan);
        let identity =
            identity::of(&self.run_id, &spec.name, reach.as_ref().map(|reach| &reach.network), plan)?;
        Ok(Box::new(self.restore(&shape, &template, spec, &identity, reach, &events)?))
    }
}

impl PreparedRestore {
    fn restore(
        &self,
        shape: &Shape,
        template: &Template,
        spec: &LaunchSpec,
        identity: &Identity,
        reach: Option<Reach>,
        events: &EventSink,
    ) -> Result<instance::Vm, Error> {
        let identity = serde_json::to_vec(identity).map_err(|error| Error::Invalid(error.to_string()))?;
        let identity = file::sealed("identity", &identity)
            .map_err(Error::system("make a sealed memory file for the identity"))?;
        let state = saving::reopen(template.state.as_fd())?;
        let [dummy, memory, identity_path] = [0, 1, 2].map(recipe::file_path);
        let given = Given {
            memory: &memory,
            identity: &identity_path,
            root_disk: self.root_disk(),
            network: reach.as_ref().map(|reach| reach.network.clone()),
        };
        let tap = reach.as_ref().and_then(Reach::file);
        let files: [_; FILES] = [floor::payload()?, template.memory.as_fd(), identity.as_fd(), state.as_fd()];
        let start = Start {
            name: &spec.name,
            limits: &spec.limits,
            arguments: &shape.copy_arguments(&self.hypervisor, &dummy, given),
            files: &files.into_iter().chain(self.files.disk()).chain(tap).collect::<Vec<_>>(),
            service: reach.as_ref().map(Reach::service),
            firmware: Firmware::Restored,
        };
        let vm = self.hypervisor.start(&start, events, |monitor| {
            monitor.queue(template::shared_memory())?;
            let uri = Some(format!("fd:{}", recipe::file_fd(3)));
            monitor.queue(qapi::qmp::migrate_incoming { uri, channels: None, exit_on_error: None })
        })?;
        Ok(vm.hold(reach.map(Reach::into_held)))
    }
}

#[cfg(test)]
mod tests;
