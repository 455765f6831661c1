//! Booting a machine and saving it, and the machines that are copies of it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use guest::{Plan, Protocol, Workload};
use qapi::qmp::{self, MigrationCapability, MigrationCapabilityStatus};
use tokio::sync::mpsc::unbounded_channel;

use super::super::boot_files::{BootFiles, Paths, firmware};
use super::super::file;
use super::super::hypervisor::{self, Hypervisor, Start};
use super::super::instance::Vm;
use super::super::reach::Reach;
use super::super::recipe::{self, Boot, Network, Recipe};
use super::super::saving;
use crate::clock::now_ns;
use crate::event::{Event, EventSink};
use crate::watch::Question;
use crate::{Error, Instance, InstanceName, Limits};

/// How long a machine may take to boot and serve before it is given up as a template.
pub(super) const BOOT_TIMEOUT: Duration = Duration::from_secs(120);
/// No run has so many storms.
const STORM: u32 = u32::MAX;

/// What copies have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    /// What the template does when it is saved.
    pub(super) plan: Plan,
    pub(super) memory_bytes: u64,
    pub(super) vcpus: u64,
    /// A template without an interface has no place for one.
    pub(super) is_networked: bool,
}

/// What a machine of a shape is given, by the names QEMU is told.
pub(super) struct Given<'a> {
    pub(super) memory: &'a str,
    pub(super) identity: &'a str,
    /// Which of its files is the disk of its image.
    pub(super) root_disk: Option<usize>,
    pub(super) network: Option<Network>,
}

/// Files a template is started with, beside the image's disk and a tap.
const OWN_FILES: usize = 4;

/// A saved machine, verified, in memory.
#[derive(Debug)]
pub(super) struct Template {
    /// Digest of everything that went in.
    pub(super) key: String,
    /// For the record: made, or from the cache.
    pub(super) origin: String,
    /// The guest's memory: sealed.
    pub(super) memory: OwnedFd,
    /// The devices' state: sealed.
    pub(super) state: OwnedFd,
    pub(super) state_bytes: u64,
}

impl Shape {
    /// The shape that serves launches of `plan` within `limits`: a service serves already when it is
    /// saved, everything else begins in the copy ([`for_copy`]).
    pub(super) fn of(plan: &Plan, limits: &Limits, is_networked: bool) -> Shape {
        let plan = match &plan.workload {
            Workload::Http => Plan::new(Workload::Http),
            Workload::Service { .. } => plan.clone(),
            _ => Plan::new(Workload::Ready),
        };
        let (memory_bytes, vcpus) = hypervisor::size(limits);
        Shape { plan: Plan { template: true, ..plan }, memory_bytes, vcpus, is_networked }
    }

    /// Of the machine that is saved: memory and identity are the two files behind those it boots from.
    fn template_arguments(
        &self,
        hypervisor: &Hypervisor,
        files: &BootFiles,
        network: Option<Network>,
    ) -> Vec<String> {
        let plan = Plan { address: network.as_ref().map(Network::guest_address), ..self.plan.clone() };
        let command_line = files.command_line(hypervisor.accel(), &files.word(&plan));
        let [memory, identity] = [2, 3].map(recipe::file_path);
        let root_disk = files.disk().map(|_| OWN_FILES);
        let given = Given { memory: &memory, identity: &identity, root_disk, network };
        self.arguments(hypervisor, Paths::inherited().boot(&command_line), "on", given)
    }

    /// Of a copy. `dummy` is a kernel that is never entered: with one, the machine has the same
    /// option ROMs as the template.
    pub(super) fn copy_arguments(
        &self,
        hypervisor: &Hypervisor,
        dummy: &str,
        given: Given<'_>,
    ) -> Vec<String> {
        let network = given.network.or_else(|| self.is_networked.then(|| hypervisor.access.example()));
        let boot = Boot::Kernel { kernel: Path::new(dummy), initramfs: None, command_line: "" };
        let mut arguments = self.arguments(hypervisor, boot, "off", Given { network, ..given });
        arguments.extend(["-incoming".into(), "defer".into()]);
        arguments
    }

    fn arguments(
        &self,
        hypervisor: &Hypervisor,
        boot: Boot<'_>,
        share: &str,
        given: Given<'_>,
    ) -> Vec<String> {
        let (bytes, memory) = (self.memory_bytes, given.memory);
        recipe::arguments(&Recipe {
            machine: hypervisor.machine,
            accel: hypervisor.accel(),
            cpu: None,
            memory_bytes: bytes,
            vcpus: self.vcpus,
            boot,
            network: given.network,
            root_disk: given.root_disk,
            further: &[
                "-object".into(),
                format!("memory-backend-file,id=ram,size={bytes},mem-path={memory},share={share}"),
                "-machine".into(),
                "memory-backend=ram".into(),
                "-fw_cfg".into(),
                format!("name={},file={}", guest::IDENTITY_FILE, given.identity),
            ],
        })
    }
}

/// What a copy is told to do beyond what it does already. Memory that a template had touched would
/// be shared by its copies and occupied by none.
pub(super) fn for_copy(plan: &Plan) -> Option<Plan> {
    match plan.workload {
        Workload::Ready | Workload::Http | Workload::Service { .. } => None,
        _ => Some(plan.clone()),
    }
}

/// What a machine was saved as.
pub(super) struct Saved {
    pub(super) memory: OwnedFd,
    pub(super) state: OwnedFd,
}

/// Boots a machine of this shape until its workload serves and it waits to be saved, within `patience`, and
/// saves it.
///
/// # Errors
/// Where it does not get there, with the last thing it said.
pub(super) fn make(
    hypervisor: &Hypervisor,
    files: &BootFiles,
    shape: &Shape,
    patience: Duration,
) -> Result<Saved, Error> {
    if !shape.memory_bytes.is_multiple_of(4096) {
        return Err(Error::Invalid(format!(
            "a machine to be restored has whole pages of memory, and {} bytes are none",
            shape.memory_bytes
        )));
    }
    let memory = file::memory("template-memory").and_then(|file| {
        file.set_len(shape.memory_bytes)?;
        Ok(file)
    });
    let memory = memory.map_err(Error::system("make a memory file for the template"))?;
    let state =
        file::memory("template-state").map_err(Error::system("make a memory file for the template"))?;
    let identity = file::sealed("identity", guest::NO_IDENTITY)
        .map_err(Error::system("make a memory file for the template"))?;
    let mut booted = boot(hypervisor, files, shape, [memory.as_fd(), identity.as_fd()], patience)?;
    booted.monitor().execute(shared_memory())?;
    saving::save(booted.monitor(), state.as_fd())?;
    // All is written: nobody waits for what QEMU would still do.
    booted.stop()?;
    let seal = |file| file::seal(file).map_err(Error::system("seal the template"));
    Ok(Saved { memory: seal(memory)?, state: seal(state)? })
}

/// A machine that waits to be saved.
fn boot(
    hypervisor: &Hypervisor,
    files: &BootFiles,
    shape: &Shape,
    own: [std::os::fd::BorrowedFd<'_>; 2],
    patience: Duration,
) -> Result<Vm, Error> {
    // Several templates of one run are not made at the same time.
    let name = InstanceName { storm: STORM, index: 0 };
    let guest_port = recipe::service_port(&shape.plan.workload);
    let reach = hypervisor.access.reach(&name, guest_port, OWN_FILES + files.disk().iter().len())?;
    let network = reach.as_ref().map(|reach| reach.network.clone());
    let service = reach.as_ref().map(Reach::service).filter(|_| guest_port.is_some());
    let [kernel, initramfs] = files.files(shape.is_networked)?;
    let tap = reach.as_ref().and_then(Reach::file);
    let start = Start {
        name: &name,
        limits: &Limits::default(),
        arguments: &shape.template_arguments(hypervisor, files, network),
        files: &[kernel, initramfs, own[0], own[1]]
            .into_iter()
            .chain(files.disk())
            .chain(tap)
            .collect::<Vec<_>>(),
        service,
        firmware: firmware(hypervisor.machine),
    };
    let protocol = match &shape.plan.workload {
        Workload::Service { service, .. } => service.protocol,
        _ => Protocol::Http,
    };
    let (sender, mut events) = unbounded_channel();
    let sink = EventSink::new(name.clone(), sender);
    let vm = hypervisor.start(&start, &sink, |_| Ok(()))?;
    let deadline_ns = now_ns() + patience.as_nanos() as u64;
    let (mut parked, mut serving) = (false, service.is_none());
    let mut course = Course { awaits_service: guest_port.is_some(), ..Course::default() };
    while !(parked && serving) {
        match events.try_recv().map(|stamped| stamped.event) {
            Ok(Event::Parked) => parked = true,
            Ok(Event::Serving) => serving = true,
            Ok(Event::Listening(port)) => {
                course.port = Some(port);
                if let Some(address) = service {
                    let question = Question { address, protocol, namespace: None };
                    let asked = hypervisor.watch.ask(&question, sink.clone());
                    asked.map_err(Error::system(format!("request {address}")))?;
                }
            }
            Ok(Event::Mark(begun)) => course.phase = begun,
            Ok(Event::Ready) => course.is_ready = true,
            Ok(Event::Log(text) | Event::Firmware(text)) => course.last_words = text,
            Ok(Event::Failed(why)) => return Err(course.failed(why)),
            Ok(Event::CommandExited(code)) => {
                return Err(course.failed(format!("its service ended with status {code}")));
            }
            Ok(Event::Exited(exit)) => return Err(course.failed(format!("QEMU ended with {exit}"))),
            Ok(_) => {}
            Err(_) if now_ns() > deadline_ns => {
                return Err(course.failed(format!("it was not there after {patience:?}")));
            }
            // Not a measurement: nobody is waiting for this to the millisecond.
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    Ok(vm.hold(reach.map(Reach::into_held)))
}

/// How far a machine has come on its way to be a template.
#[derive(Default)]
struct Course {
    phase: &'static str,
    is_ready: bool,
    /// Whether a service is waited for.
    awaits_service: bool,
    /// On which its service listens.
    port: Option<u16>,
    last_words: String,
}

impl Course {
    fn failed(&self, why: String) -> Error {
        let whereabouts = match (self.is_ready, self.port, self.phase) {
            (true, _, _) if !self.awaits_service => ", after it was ready".into(),
            (true, Some(port), _) => format!(", and its service listens on port {port} and does not answer"),
            (true, None, _) => ", and its service does not listen".into(),
            (false, _, "") => String::new(),
            (false, _, phase) => format!(", in its phase {phase}"),
        };
        let said = match self.last_words.as_str() {
            "" => String::new(),
            last_words => format!("; the last it said: {last_words}"),
        };
        Error::Invalid(format!("no template for vm:restore: {why}{whereabouts}{said}"))
    }
}

/// Memory that QEMU finds in a shared file is not part of the state.
pub(super) fn shared_memory() -> qmp::migrate_set_capabilities {
    let capability = MigrationCapability::x_ignore_shared;
    qmp::migrate_set_capabilities {
        capabilities: vec![MigrationCapabilityStatus { capability, state: true }],
    }
}
