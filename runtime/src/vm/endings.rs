//! How machines end, each seen as what it is: these tests need QEMU, some a guest kernel.

use std::os::fd::AsFd;
use std::path::Path;

use guest::{Plan, Workload};
use rustix::process::Signal;
use tokio::sync::mpsc::unbounded_channel;

use super::boot_files::{BootFiles, Paths, firmware};
use super::hypervisor::{self, Hypervisor, Start};
use super::instance::{Firmware, Vm};
use super::options::{Machine, Options};
use super::recipe::{self, Boot, Recipe};
use super::trial::{Started, Trial, with_kernel};
use super::{Accel, DirectBackend, file, floor, qemu};
use crate::image::Image;
use crate::{Backend, Event, EventSink, Exit, Instance, InstanceName, LaunchSpec, Limits};

const NAME: InstanceName = InstanceName { storm: 0, index: 0 };

/// A machine with nothing but the payload, and what it tells.
fn floor_machine(trial: &Trial) -> Option<(Vm, Started)> {
    if qemu::find().is_none() {
        eprintln!("skipped: no QEMU on this host");
        return None;
    }
    let options = Options { accel: Accel::Tcg, machine: Machine::Microvm, ..Options::default() };
    let hypervisor = Hypervisor::prepare(&trial.context, &options).expect("prepared");
    let arguments = recipe::arguments(&Recipe {
        machine: Machine::Microvm,
        accel: Accel::Tcg,
        cpu: Some(floor::CPU),
        memory_bytes: 16 << 20,
        vcpus: 1,
        boot: Boot::Kernel { kernel: Path::new(&recipe::file_path(0)), initramfs: None, command_line: "" },
        network: None,
        root_disk: None,
        further: &[],
    });
    let payload = floor::payload().expect("payload");
    Some(start(&hypervisor, &arguments, &[payload], Firmware::Silent("firmware")))
}

fn start(
    hypervisor: &Hypervisor,
    arguments: &[String],
    files: &[std::os::fd::BorrowedFd<'_>],
    firmware: Firmware,
) -> (Vm, Started) {
    let (sender, events) = unbounded_channel();
    let start = Start { name: &NAME, limits: &Limits::default(), arguments, files, service: None, firmware };
    let vm = hypervisor.start(&start, &EventSink::new(NAME, sender), |_| Ok(())).expect("started");
    let idle: Box<dyn Instance> = Box::new(Idle);
    (vm, Started { instance: idle, events, seen: Vec::new() })
}

/// In the place of an instance where the test holds the machine itself.
struct Idle;

impl Instance for Idle {
    fn service(&self, _guest_port: u16) -> Option<std::net::SocketAddr> {
        None
    }
    fn memory(&self) -> Result<crate::Footprint, crate::Error> {
        Ok(crate::Footprint::default())
    }
    fn pause(&mut self) -> Result<(), crate::Error> {
        Ok(())
    }
    fn resume(&mut self) -> Result<(), crate::Error> {
        Ok(())
    }
    fn stop(&mut self) -> Result<Exit, crate::Error> {
        Ok(Exit::Code(0))
    }
}

#[test]
fn a_killed_qemu_is_told_as_killed() {
    let trial = Trial::new("end-killed");
    let Some((vm, mut told)) = floor_machine(&trial) else { return };
    told.until(|event| *event == Event::Ready);
    crate::pidfd::signal(vm.pidfd(), Signal::KILL, "QEMU").expect("sent");
    told.until(|event| *event == Event::Exited(Exit::Signal(9)));
}

#[test]
fn a_machine_is_asked_to_quit_and_refuses_what_it_cannot_do() {
    let trial = Trial::new("end-quit");
    let Some((mut vm, mut told)) = floor_machine(&trial) else { return };
    told.until(|event| *event == Event::Ready);
    let refused = vm.monitor().execute(qapi::qmp::balloon { value: 8 << 20 });
    assert!(refused.is_err_and(|error| error.to_string().contains("QEMU refuses balloon")));
    vm.monitor().execute(qapi::qmp::quit {}).expect("taken");
    told.until(|event| matches!(event, Event::Log(text) if text.contains("event SHUTDOWN")));
    told.until(|event| *event == Event::Exited(Exit::Code(0)));
    let error = vm.monitor().execute(qapi::qmp::cont {}).expect_err("gone").to_string();
    assert!(error.contains("QEMU"), "{error}");
}

#[test]
fn qemu_is_counted_in_its_group_and_is_not_root() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root gives machines groups and users of their own");
        return;
    }
    let trial = Trial::new("end-user");
    let Some((vm, mut told)) = floor_machine(&trial) else { return };
    told.until(|event| *event == Event::Ready);
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", crate::pidfd::pid(vm.pidfd()).expect("alive")));
    let status = status.expect("readable");
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    assert!(line("Uid:").split_whitespace().all(|uid| uid != "0"), "{status}");
    assert!(line("Groups:").split_whitespace().all(|gid| gid != "0"), "{status}");
    assert_eq!((line("CapEff:").trim(), line("NoNewPrivs:").trim()), ("0000000000000000", "1"));
    let memory = vm.memory().expect("memory");
    assert!(memory.cgroup_bytes > Some(4 << 20), "{memory:?}");
}

#[test]
fn a_guest_without_init_resets_its_machine_and_says_so() {
    let Some(options) = with_kernel(Accel::Tcg, Machine::Microvm) else { return };
    let trial = Trial::new("end-init");
    let hypervisor = Hypervisor::prepare(&trial.context, &options).expect("prepared");
    let files = BootFiles::prepare(&trial.context, &options, &Image::builtin()).expect("prepared");
    let [kernel, _] = files.files(false).expect("there");
    let empty = file::sealed("initramfs", &[0; 512]).expect("made");
    let (memory_bytes, vcpus) = hypervisor::size(&Limits::default());
    let arguments = recipe::arguments(&Recipe {
        machine: Machine::Microvm,
        accel: Accel::Tcg,
        cpu: None,
        memory_bytes,
        vcpus,
        boot: Paths::inherited()
            .boot(&files.command_line(Accel::Tcg, &files.word(&Plan::new(Workload::Ready)))),
        network: None,
        root_disk: None,
        further: &[],
    });
    let (_vm, mut told) =
        start(&hypervisor, &arguments, &[kernel, empty.as_fd()], firmware(Machine::Microvm));
    told.until(|event| matches!(event, Event::Log(text) if text.contains("reset its machine")));
    told.until(|event| *event == Event::Exited(Exit::Code(0)));
    assert!(!told.has_seen(&Event::Ready), "{:?}", told.seen);
}

#[test]
fn a_spinning_guest_is_ended_all_the_same() {
    let Some(options) = with_kernel(Accel::Tcg, Machine::Microvm) else { return };
    let trial = Trial::new("end-spin");
    let prepared = DirectBackend::new(options).prepare(&trial.context, &Image::builtin()).expect("prepared");
    let spec = |name| LaunchSpec { name, plan: Plan::new(Workload::Cpu), limits: Limits::default() };
    let mut started = trial.launch(prepared.as_ref(), 0, spec).expect("launched");
    started.until(|event| *event == Event::Ready);
    started.instance.stop().expect("stopped");
    started.until(|event| *event == Event::Exited(Exit::Signal(9)));
}
