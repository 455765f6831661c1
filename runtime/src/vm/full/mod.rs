//! `vm:full`: the virtual machine as people know it. Firmware, boot loader, kernel, initramfs and
//! systemd of a complete operating system on a disk of its own; systemd starts the service.
//!
//! The harness is told by the image's own guest program (see `vm::disk::build`), which takes part
//! as a systemd generator and in the unit of the service, and by firmware and boot loader.

mod firmware;
mod hardware;
mod instance;
#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{self, Cloned, Master};
use super::file;
use super::hypervisor::{self, Hypervisor, Start};
use super::instance::{Firmware as Speech, begin};
use super::options::{Accel, CloneKind, FirmwareKind, Machine, Options, Outside};
use super::reach::Reach;
use super::recipe::{self, Boot, Network, Recipe};
use super::{command_line, kernel};
use crate::clock::now_ns;
use crate::event::{Event, EventSink};
use crate::image::Image;
use crate::watch::Source;
use crate::{Backend, Error, Instance, LaunchSpec, Limits, Prepared, Requirement, RunContext, Workload};
use firmware::Firmware;
pub use hardware::{HARDWARE, Hardware};
use instance::FullVm;

/// RAM of a machine that is not told otherwise: what a small Debian is given.
const DEFAULT_MEMORY_BYTES: u64 = 512 << 20;
/// The item of QEMU's firmware configuration in which the guest program finds its plan.
const PLAN_ITEM: &str = "opt/org.bench/plan";
/// Numbers of the files a machine is given ([`recipe::file_fd`]).
const CONSOLE: usize = 0;
const OWN_DISK: usize = 1;
const FURTHER: usize = 2;

/// `vm:full`, and `vm:full-copy` where every machine gets the whole disk once more.
pub struct FullBackend {
    options: Options,
    id: &'static str,
}

impl FullBackend {
    /// With the user's choices.
    pub fn new(options: Options) -> FullBackend {
        FullBackend { options, id: "vm:full" }
    }

    /// With the user's choices but for the kind of clone.
    pub fn copying(options: Options) -> FullBackend {
        FullBackend { options: Options { clone: CloneKind::Copy, ..options }, id: "vm:full-copy" }
    }
}

impl Backend for FullBackend {
    fn id(&self) -> String {
        self.id.into()
    }

    fn description(&self) -> &'static str {
        match self.options.clone {
            CloneKind::Linked => {
                "a complete OS from firmware to service, on a linked clone of one master disk"
            }
            CloneKind::Copy => "a complete OS from firmware to service, on a full copy of one master disk",
        }
    }

    fn requirements(&self) -> Vec<Requirement> {
        // A disk the user brings needs no tools.
        let tools = self.options.disk.is_none().then(disk::requirement);
        let firmware = self.options.firmware.requirement();
        hypervisor::requirements(&self.options, firmware.into_iter().chain(tools))
    }

    fn prepare(&self, context: &RunContext, image: &Image) -> Result<Arc<dyn Prepared>, Error> {
        let mut hypervisor = Hypervisor::prepare(context, &self.options)?;
        let firmware = Firmware::find(self.options.firmware)?;
        hypervisor.machine = match (self.options.hardware, hypervisor.machine) {
            (Some(hardware), _) if self.options.firmware == FirmwareKind::Bios => hardware.machine,
            (Some(_), _) => firmware.usual_machine(),
            // microvm has no firmware that reads disks.
            (None, Machine::Microvm) => firmware.usual_machine(),
            (None, machine) => machine,
        };
        let outside = self.options.outside.as_ref().map(|outside| Given::open(outside, &context.cache_dir));
        let master = match &self.options.disk {
            Some(path) => Master::of_file(path)?,
            None => Master::of_image(image, &context.cache_dir)?,
        };
        Ok(Arc::new(PreparedVm {
            id: self.id,
            hypervisor,
            firmware,
            clone: self.options.clone,
            hardware: self.options.hardware,
            outside: outside.transpose()?,
            // Not beside the sockets, whose folder is in memory.
            clones: context.cache_dir.join("clones"),
            image: if self.options.disk.is_some() { String::new() } else { image.digest.clone() },
            master,
        }))
    }
}

struct PreparedVm {
    id: &'static str,
    hypervisor: Hypervisor,
    firmware: Firmware,
    clone: CloneKind,
    hardware: Option<&'static Hardware>,
    outside: Option<Given>,
    clones: PathBuf,
    image: String,
    master: Master,
}

/// What a machine is given instead of what is on its disk.
struct Given {
    kernel: OwnedFd,
    initramfs: OwnedFd,
    root_uuid: String,
    tsc_khz: Option<u64>,
}

impl Given {
    fn open(outside: &Outside, cache_dir: &Path) -> Result<Given, Error> {
        let kernel = kernel::load(&outside.kernel, cache_dir)?;
        Ok(Given {
            kernel: file::open_for_machine(&kernel.file)?,
            initramfs: file::open_for_machine(&outside.initramfs)?,
            root_uuid: outside.root_uuid.clone(),
            tsc_khz: command_line::tsc_khz(),
        })
    }

    /// As a boot loader would have passed it on.
    fn command_line(&self, accel: Accel) -> String {
        let mut words = vec![format!("root=UUID={}", self.root_uuid), disk::COMMAND_LINE.into()];
        words.extend(command_line::for_accelerator(accel, self.tsc_khz));
        words.join(" ")
    }
}

impl PreparedVm {
    /// QEMU's arguments; the files they name are console, own disk, master below it, firmware.
    fn arguments(&self, spec: &LaunchSpec, network: Option<Network>) -> Vec<String> {
        let address = network.as_ref().map(Network::guest_address);
        let plan = guest::Plan { address, ..spec.plan.clone() };
        let (_, vcpus) = hypervisor::size(&spec.limits);
        let is_linked = self.clone == CloneKind::Linked;
        let mut further = self.disks(is_linked);
        // QEMU's option parser takes two commas for one.
        let word = plan.to_word().replace(',', ",,");
        further.extend(["-fw_cfg".into(), format!("name={PLAN_ITEM},string={word}")]);
        further.extend(self.hardware.iter().flat_map(|hardware| hardware.further).map(|word| (*word).into()));
        let first = FURTHER + usize::from(is_linked);
        let boot_line = self.outside.as_ref().map(|given| given.command_line(self.hypervisor.accel()));
        let paths = [first, first + 1].map(|number| PathBuf::from(recipe::file_path(number)));
        let boot = match &boot_line {
            Some(command_line) => {
                Boot::Kernel { kernel: &paths[0], initramfs: Some(&paths[1]), command_line }
            }
            None => Boot::Firmware,
        };
        let cpu = self.hardware.filter(|hardware| !hardware.cpu.is_empty());
        let cpu =
            cpu.map(|hardware| format!("{}{}", recipe::default_cpu(self.hypervisor.accel()), hardware.cpu));
        let console = recipe::file_fd(CONSOLE);
        further.extend(["-chardev".into(), format!("socket,id=console,fd={console}")]);
        further.extend(["-serial".into(), "chardev:console".into()]);
        if self.hardware.is_none() {
            // What gives memory back to the host, and what tells it of the kernel's panic.
            further.extend(["-device", "virtio-balloon-pci", "-device", "pvpanic"].map(String::from));
        }
        further.extend(self.firmware.arguments(first));
        recipe::arguments(&Recipe {
            machine: self.hypervisor.machine,
            accel: self.hypervisor.accel(),
            cpu: cpu.as_deref(),
            memory_bytes: spec.limits.memory_bytes.unwrap_or(DEFAULT_MEMORY_BYTES),
            vcpus,
            boot,
            network,
            root_disk: None,
            further: &further,
        })
    }

    /// The disk, as a graph of block nodes over descriptors: QEMU opens no path and needs no right to one.
    fn disks(&self, is_linked: bool) -> Vec<String> {
        let set =
            |number: usize| ["-add-fd".to_owned(), format!("fd={},set={number}", recipe::file_fd(number))];
        let node = |text: String| ["-blockdev".to_owned(), text];
        let format = self.master.format.name();
        let mut words = Vec::from(set(OWN_DISK));
        if is_linked {
            words.extend(set(FURTHER));
            words.extend(node(format!(
                "driver=file,node-name=below-file,filename=/dev/fdset/{FURTHER},read-only=on"
            )));
            words.extend(node(format!("driver={format},node-name=below,file=below-file,read-only=on")));
        }
        words.extend(node(format!("driver=file,node-name=own-file,filename=/dev/fdset/{OWN_DISK}")));
        words.extend(node(if is_linked {
            "driver=qcow2,node-name=own,file=own-file,backing=below".to_owned()
        } else {
            format!("driver={format},node-name=own,file=own-file")
        }));
        let plain = &["-device", "virtio-blk-pci,drive=own,bootindex=0"][..];
        let disk = self.hardware.map_or(plain, |hardware| hardware.disk);
        words.extend(disk.iter().map(|word| (*word).to_owned()));
        words
    }
}

impl Prepared for PreparedVm {
    fn config(&self) -> serde_json::Value {
        let name = crate::InstanceName { storm: 0, index: 0 };
        let plan = guest::Plan::new(Workload::Ready);
        let example = self.arguments(&LaunchSpec { name, plan, limits: Limits::default() }, None);
        self.hypervisor.describe(serde_json::json!({
            "backend": self.id,
            "image": self.image,
            "master": self.master.path.file_name().map(|name| name.to_string_lossy().into_owned()),
            "master_format": self.master.format.name(),
            "master_disk_bytes": self.master.disk_bytes,
            "master_file_bytes": self.master.file_bytes,
            "master_made_in_ms": self.master.made_in.map(|took| took.as_millis() as u64),
            "clone": self.clone.name(),
            "hardware": self.hardware.map(|hardware| format!("{}, emulated by QEMU", hardware.name)),
            "firmware": self.firmware.describe(),
            "command_line": example.join(" "),
            "files": "disks, firmware and console are given to QEMU by descriptor",
            "network": self.hypervisor.access.described(),
        }))
    }

    fn cannot_hold(&self, limits: &Limits) -> Option<String> {
        hypervisor::cannot_hold(limits)
    }

    fn launch(&self, spec: &LaunchSpec, events: EventSink) -> Result<Box<dyn Instance>, Error> {
        hypervisor::refuse_pids(spec)?;
        events.send(now_ns(), Event::Mark("clone"));
        let cloned = disk::clone(&self.master, self.clone, &self.clones)?;
        begin(&events);
        let (inside, console) = UnixStream::pair().map_err(Error::system("make a socket pair"))?;
        let firmware = self.firmware.files(&self.clones)?;
        let mut files = files(&inside, &cloned, &firmware);
        files.extend(self.outside.iter().flat_map(|given| [given.kernel.as_fd(), given.initramfs.as_fd()]));
        let guest_port = recipe::service_port(&spec.plan.workload);
        let reach = self.hypervisor.access.reach(&spec.name, guest_port, files.len())?;
        files.extend(reach.as_ref().and_then(Reach::file));
        let device = self.hardware.map(|hardware| hardware.network);
        let network = reach.as_ref().map(|reach| Network { device, ..reach.network.clone() });
        let start = Start {
            name: &spec.name,
            limits: &spec.limits,
            arguments: &self.arguments(spec, network),
            files: &files,
            service: reach.as_ref().map(Reach::service),
            firmware: match self.outside {
                Some(_) => Speech::Silent("kernel"),
                None => self.firmware.speech(),
            },
        };
        let vm = self.hypervisor.start(&start, &events, |monitor| {
            // Anything, so that QEMU tells its events: a disk that is full among them.
            monitor.queue(qapi::qmp::query_status {})
        })?;
        let said = events.clone();
        let lines = Source::Lines {
            fd: console.into(),
            on_line: Box::new(move |at_ns, line| {
                let text = String::from_utf8_lossy(line);
                let text = text.trim();
                if !text.is_empty() {
                    said.send(at_ns, Event::Log(format!("console: {text}")));
                }
            }),
        };
        let vm = FullVm::new(vm.hold(reach.map(Reach::into_held)), cloned, events.clone());
        self.hypervisor.watch.add(lines, events).map_err(Error::system("watch a machine's console"))?;
        Ok(Box::new(vm))
    }
}

/// In the order of their numbers.
fn files<'a>(
    console: &'a UnixStream,
    cloned: &'a Cloned,
    firmware: &'a [std::fs::File],
) -> Vec<BorrowedFd<'a>> {
    let own = [console.as_fd(), cloned.file().as_fd()];
    let below = cloned.below.iter().map(AsFd::as_fd);
    own.into_iter().chain(below).chain(firmware.iter().map(AsFd::as_fd)).collect()
}
