//! Real guests: these tests need QEMU and a guest kernel.

use guest::Plan;
use tokio::sync::mpsc::unbounded_channel;

use super::super::trial::{Started, Trial, with_kernel};
use super::super::{Accel, Machine};
use super::*;
use crate::{Event, InstanceName};

fn boot(machine: Machine, workload: Workload) -> Option<(Trial, Started)> {
    let options = with_kernel(Accel::Tcg, machine)?;
    let trial = Trial::new(&format!("direct-{}", machine.name()));
    let prepared = DirectBackend::new(options).prepare(&trial.context, &Image::builtin()).expect("prepared");
    let spec = |name| LaunchSpec { name, plan: Plan::new(workload), limits: Limits::default() };
    let started = trial.launch(prepared.as_ref(), 0, spec).expect("launched");
    Some((trial, started))
}

#[test]
fn a_microvm_serves_pauses_and_goes_on() {
    let Some((trial, mut vm)) = boot(Machine::Microvm, Workload::Http) else { return };
    vm.until(|event| matches!(event, Event::Listening(80)));
    assert!(vm.has_seen(&Event::Ready), "{:?}", vm.seen);
    let address = vm.instance.service(80).expect("reachable");
    let (sender, mut served) = unbounded_channel();
    let sink = EventSink::new(InstanceName { storm: 0, index: 0 }, sender);
    trial.context.watch.request(address, sink).expect("asked");
    assert_eq!(served.blocking_recv().map(|stamped| stamped.event), Some(Event::Serving));
    vm.instance.pause().expect("paused");
    vm.instance.resume().expect("resumed");
    vm.until(|event| matches!(event, Event::Log(text) if text.contains("event RESUME")));
    let footprint = vm.instance.memory().expect("memory");
    assert!(footprint.virtual_bytes > footprint.rss_bytes, "{footprint:?}");
}

#[test]
fn pc_boots_through_its_firmware() {
    let Some((_trial, mut vm)) = boot(Machine::Pc, Workload::Ready) else { return };
    vm.until(|event| *event == Event::Ready);
    assert!(vm.has_seen(&Event::Mark("firmware")), "{:?}", vm.seen);
}

#[test]
fn q35_runs_a_command_and_ends_by_itself() {
    let argv = vec!["/init".into()];
    let Some((_trial, mut vm)) = boot(Machine::Q35, Workload::Command { argv }) else { return };
    vm.until(|event| matches!(event, Event::CommandExited(2)));
    vm.until(|event| matches!(event, Event::Exited(_)));
}
