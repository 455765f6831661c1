//! Real guests: these tests need QEMU and a guest kernel.

use guest::Plan;
use tokio::sync::mpsc::unbounded_channel;

use super::super::trial::{Started, Trial, with_kernel};
use super::super::{Accel, Machine};
use super::*;
use crate::network::Kind;
use crate::patience::{PATIENCE, http, next};
use crate::{Event, InstanceName, Task};

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
    assert_eq!(next(&mut served).map(|stamped| stamped.event), Some(Event::Serving));
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

#[test]
fn a_machine_is_met_on_the_bridge_like_a_container() {
    let Some(options) = with_kernel(Accel::Tcg, Machine::Microvm) else { return };
    if !crate::network::tests::host() {
        return;
    }
    let trial = Trial::with_network("met", Kind::Bridge);
    let prepared = DirectBackend::new(options).prepare(&trial.context, &Image::builtin()).expect("prepared");
    let spec = |name| LaunchSpec { name, plan: Plan::new(Workload::Http), limits: Limits::default() };
    let mut vm = trial.launch(prepared.as_ref(), 0, spec).expect("launched");
    vm.until(|event| matches!(event, Event::Listening(80)));
    let address = vm.instance.service(80).expect("reachable");
    assert!(!address.ip().is_loopback(), "{address}");
    let (sender, mut served) = unbounded_channel();
    let sink = EventSink::new(InstanceName { storm: 0, index: 0 }, sender);
    trial.context.watch.request(address, sink).expect("asked");
    assert_eq!(next(&mut served).map(|stamped| stamped.event), Some(Event::Serving));
    // And from where a container is.
    let bridge = trial.context.network.bridge().expect("made").expect("a bridge");
    let port = bridge.port().expect("a port");
    let inside = crate::network::tests::Inside::plugged(&port);
    let answer = http(inside.run(|| std::net::TcpStream::connect_timeout(&address, PATIENCE)));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    vm.instance.stop().expect("stopped");
}

/// Of which more are modules than of the kernel for clouds.
#[test]
fn a_kernel_with_all_drivers_finds_the_disk_of_a_large_image() {
    let boot = crate::cache_dir().join("portable-system/rootfs/boot");
    let kernels = std::fs::read_dir(&boot).into_iter().flatten().flatten().map(|entry| entry.path());
    let general = kernels.into_iter().find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("vmlinuz-") && !["cloud", "virtual", "kvm"].iter().any(|few| name.contains(few))
    });
    let (Some(general), Some(image)) = (general, super::super::trial::system()) else {
        eprintln!(
            "skipped: no kernel with all drivers in {} (scripts/setup.sh makes it), or see above",
            boot.display()
        );
        return;
    };
    let Some(options) = with_kernel(Accel::Tcg, Machine::Pc) else { return };
    if !super::super::disk::tests::have_tools() {
        return;
    }
    let mut trial = Trial::new("direct-general");
    // The disk is kept for the next time.
    trial.context.cache_dir = crate::cache_dir();
    let options = Options { kernel: Some(general), ..options };
    let prepared = DirectBackend::new(options).prepare(&trial.context, &image).expect("prepared");
    let argv = vec!["/bin/true".into()];
    let spec =
        |name| LaunchSpec { name, plan: Plan::new(Workload::Command { argv }), limits: Limits::default() };
    let mut vm = trial.launch(prepared.as_ref(), 0, spec).expect("launched");
    vm.until(|event| *event == Event::CommandExited(0));
}

#[test]
fn a_saved_machine_goes_on_in_another() {
    let burn = || Plan::new(Workload::Task(Task::Burn { cpu_ms: 3_600_000, threads: 1 }));
    let Some((trial, mut old)) = boot(Machine::Microvm, burn().workload) else { return };
    let rounds = |event: &Event| match event {
        Event::Measured("burn_rounds", rounds) => Some(*rounds),
        _ => None,
    };
    old.until(|event| rounds(event) > Some(1_000_000));
    let saved = old.instance.save().expect("saved");
    assert!(saved.bytes > 1 << 20, "{}", saved.bytes);
    old.instance.stop().expect("stopped");
    let options = with_kernel(Accel::Tcg, Machine::Microvm).expect("as before");
    let prepared = DirectBackend::new(options).prepare(&trial.context, &Image::builtin()).expect("prepared");
    let name = InstanceName { storm: 0, index: 1 };
    let (sender, events) = unbounded_channel();
    let spec = LaunchSpec { name: name.clone(), plan: burn(), limits: Limits::default() };
    let instance = prepared.go_on(&spec, &saved, EventSink::new(name, sender)).expect("started");
    let mut new = Started { instance, events, seen: Vec::new() };
    let first = new.until(|event| rounds(event).is_some());
    // One that had begun anew would tell less, and that it is ready.
    assert!(rounds(&first.event) > Some(1_000_000), "{first:?}");
    assert!(!new.has_seen(&Event::Ready), "{:?}", new.seen);
    assert!(new.instance.statistics().is_ok() || !rustix::process::geteuid().is_root());
}
