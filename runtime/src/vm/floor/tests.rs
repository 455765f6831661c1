//! The payload in real machines, under TCG and, where the device opens, under real KVM.

use guest::Plan;

use super::super::trial::{Started, Trial};
use super::*;
use crate::Event;

fn start(accel: Accel, machine: Machine, workload: Workload) -> Option<Result<(Trial, Started), Error>> {
    if crate::vm::qemu::find().is_none() {
        eprintln!("skipped: no QEMU on this host");
        return None;
    }
    let trial = Trial::new(&format!("floor-{}-{}", accel.name(), machine.name()));
    let backend = FloorBackend::new(Options { accel, machine, kernel: None, ..Options::default() });
    let prepared = backend.prepare(&trial.context, &Image::builtin()).expect("prepared");
    let spec = |name| LaunchSpec { name, plan: Plan::new(workload), limits: Limits::default() };
    Some(trial.launch(prepared.as_ref(), 0, spec).map(|started| (trial, started)))
}

#[test]
fn the_payload_says_ready_on_every_machine_and_stays() {
    for machine in [Machine::Microvm, Machine::Pc, Machine::Q35] {
        let Some(started) = start(Accel::Tcg, machine, Workload::Ready) else { return };
        let (_trial, mut vm) = started.expect("launched");
        vm.until(|event| *event == Event::Ready);
        assert!(vm.has_seen(&Event::Mark("firmware")), "{:?}", vm.seen);
        vm.instance.pause().expect("paused");
        vm.instance.resume().expect("resumed");
        assert!(vm.instance.memory().expect("alive").pss_bytes > Some(1 << 20));
        vm.instance.stop().expect("stopped");
    }
}

/// Real KVM, whatever it can do beyond this payload: the path every KVM machine takes.
#[test]
fn the_payload_says_ready_under_kvm() {
    if let Err(error) = std::fs::File::options().read(true).write(true).open("/dev/kvm") {
        eprintln!("skipped: /dev/kvm cannot be opened: {error}");
        return;
    }
    let Some(started) = start(Accel::Kvm, Machine::Microvm, Workload::Ready) else { return };
    let (_trial, mut vm) = started.expect("launched");
    vm.until(|event| *event == Event::Ready);
}

#[test]
fn what_needs_an_operating_system_is_refused() {
    let Some(refused) = start(Accel::Tcg, Machine::Microvm, Workload::Http) else { return };
    assert!(refused.is_err_and(|error| error.to_string().contains("no operating system")));
}

#[test]
fn the_payload_is_a_few_kilobytes() {
    assert!(payload_bytes().starts_with(b"\x7fELF\x02"));
    assert!(payload_bytes().len() < 16 * 1024, "{}", payload_bytes().len());
}
