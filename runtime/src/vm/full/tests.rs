//! Real machines with disks: these tests need QEMU and the tools that make disks.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use guest::{Plan, Protocol, Service};
use tokio::sync::mpsc::unbounded_channel;

use super::*;
use crate::patience::{next, next_by};
use crate::vm::disk::tests::{have_tools, hollow_system};
use crate::vm::options::Accel;
use crate::vm::trial::{Started, Trial, system};
use crate::{InstanceName, Stamped};

/// Longer than any boot, also beside other tests.
const DEADLINE: Duration = Duration::from_secs(300);

fn launch(trial: &Trial, options: Options, image: &Image, workload: Workload) -> Started {
    let prepared = FullBackend::new(options).prepare(&trial.context, image).expect("prepared");
    let spec = |name| LaunchSpec { name, plan: Plan::new(workload), limits: Limits::default() };
    trial.launch(prepared.as_ref(), 0, spec).expect("launched")
}

/// Waits for an event that answers the question; a machine that says nothing fails the test.
fn await_event<T>(started: &mut Started, wanted: impl Fn(&Event) -> Option<T>) -> T {
    let until = Instant::now() + DEADLINE;
    loop {
        let stamped = next_by(&mut started.events, until);
        let stamped = stamped.unwrap_or_else(|error| panic!("{error}; before: {:?}", started.seen));
        let found = wanted(&stamped.event);
        started.seen.push(stamped);
        if let Some(found) = found {
            return found;
        }
    }
}

fn failure(started: &mut Started) -> String {
    await_event(started, |event| match event {
        Event::Failed(error) => Some(error.clone()),
        _ => None,
    })
}

fn can_boot() -> bool {
    if crate::vm::qemu::find().is_none() {
        eprintln!("skipped: no QEMU on this host");
        return false;
    }
    have_tools()
}

fn options(disk: Option<PathBuf>) -> Options {
    Options { accel: Accel::Tcg, disk, ..Options::default() }
}

#[test]
fn a_disk_with_nothing_to_boot_is_a_failure_told_by_the_firmware() {
    if crate::vm::qemu::find().is_none() {
        eprintln!("skipped: no QEMU on this host");
        return;
    }
    let trial = Trial::new("full-empty");
    let path = trial.context.cache_dir.join("disk");
    std::fs::write(&path, vec![0; 1 << 20]).expect("written");
    let mut vm = launch(&trial, options(Some(path)), &Image::builtin(), Workload::Ready);
    let error = failure(&mut vm);
    assert!(error.contains("no bootable device"), "{error}");
    assert!(vm.has_seen(&Event::Mark("firmware")), "{:?}", vm.seen);
}

#[test]
fn a_kernel_that_is_none_is_a_failure_told_by_the_boot_loader() {
    if !can_boot() {
        return;
    }
    let trial = Trial::new("full-hollow");
    let image = hollow_system(&trial.context.cache_dir.join("system"));
    let mut vm = launch(&trial, options(None), &image, Workload::Ready);
    let error = failure(&mut vm);
    assert!(error.contains("boot loader could not start the kernel"), "{error}");
    let said = |stamped: &Stamped| matches!(&stamped.event, Event::Log(text) if text.contains("error:"));
    assert!(vm.seen.iter().any(said), "no reason on the console: {:?}", vm.seen);
    vm.instance.stop().expect("stopped");
    let made = |stamped: &Stamped| matches!(stamped.event, Event::Measured("clone_made_bytes", _));
    while let Ok(stamped) = vm.events.try_recv() {
        vm.seen.push(stamped);
    }
    assert!(vm.seen.iter().any(made), "{:?}", vm.seen);
}

#[test]
fn a_complete_system_boots_from_firmware_to_a_service_that_answers() {
    if !can_boot() {
        return;
    }
    let Some(image) = system() else { return };
    let mut trial = Trial::new("full-redis");
    // The master is kept for the next time.
    trial.context.cache_dir = crate::cache_dir();
    let service = Service { protocol: Protocol::Redis, port: 6379 };
    let workload = Workload::Service { service, argv: Vec::new() };
    let mut vm = launch(&trial, options(None), &image, workload);
    let port = await_event(&mut vm, |event| match event {
        Event::Listening(port) => Some(Ok(*port)),
        Event::Failed(error) => Some(Err(error.clone())),
        Event::Exited(exit) => Some(Err(exit.to_string())),
        _ => None,
    });
    let port = port.unwrap_or_else(|error| panic!("{error}; before: {:?}", vm.seen));
    let ready = vm.seen.iter().find(|stamped| stamped.event == Event::Ready).expect("ready").at_ns;
    let mut last = 0;
    for phase in ["clone", "vmm", "firmware", "loader", "kernel", "initramfs", "systemd", "units"] {
        let mark = vm.seen.iter().find(|stamped| stamped.event == Event::Mark(phase));
        let at_ns = mark.unwrap_or_else(|| panic!("no {phase}: {:?}", vm.seen)).at_ns;
        assert!(last <= at_ns && at_ns <= ready, "{phase} out of order: {:?}", vm.seen);
        last = at_ns;
    }
    // While systemd goes on, and not when it is done: what it hangs in is then told as its own.
    let told = |event| vm.seen.iter().position(|stamped| stamped.event == event);
    assert!(told(Event::Mark("systemd")) < told(Event::Ready), "{:?}", vm.seen);
    let address = vm.instance.service(port).expect("reachable");
    let (sender, mut answers) = unbounded_channel();
    let question = crate::watch::Question { address, protocol: Protocol::Redis, namespace: None };
    let sink = EventSink::new(InstanceName { storm: 0, index: 0 }, sender);
    trial.context.watch.ask(&question, sink).expect("asked");
    assert_eq!(next(&mut answers).map(|stamped| stamped.event), Some(Event::Serving));
    let few = 320 << 20;
    assert_eq!(vm.instance.set_memory(few, DEADLINE).ok(), Some(few));
    // By its power button, which systemd listens to; QEMU ends with the machine.
    assert_eq!(vm.instance.shut_down(DEADLINE).expect("shut down"), crate::Exit::Code(0));
    let mut occupied = 0;
    while let Ok(stamped) = vm.events.try_recv() {
        if let Event::Measured("disk_occupied_bytes", bytes) = stamped.event {
            occupied = bytes;
        }
    }
    // It has written, and by far not as much as the disk has.
    assert!((512 << 10..256 << 20).contains(&occupied), "{occupied}");
}

/// The folder of clones is a small file system that only this test sees, and full before the system is up.
#[test]
fn a_machine_that_finds_no_space_for_its_disk_is_a_failure() {
    if !can_boot() || !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can mount a small file system to fill, or see above");
        return;
    }
    let Some(image) = system() else { return };
    let mut trial = Trial::new("full-space");
    trial.context.cache_dir = crate::cache_dir();
    let clones = trial.context.cache_dir.join("clones");
    std::fs::create_dir_all(&clones).expect("made");
    let error = std::thread::scope(|scope| {
        let there = scope.spawn(|| {
            crate::vm::disk::tests::mount_small(&clones, c"size=1m");
            let mut vm = launch(&trial, options(None), &image, Workload::Ready);
            failure(&mut vm)
        });
        there.join().expect("thread")
    });
    assert!(error.contains("no space left"), "{error}");
}

#[test]
fn a_complete_system_serves_http_on_the_bridge() {
    if !can_boot() || !crate::network::tests::host() {
        return;
    }
    let Some(image) = system() else { return };
    let mut trial = Trial::with_network("full-nginx", crate::network::Kind::Bridge);
    trial.context.cache_dir = crate::cache_dir();
    let service = Service { protocol: Protocol::Http, port: 80 };
    let mut vm = launch(&trial, options(None), &image, Workload::Service { service, argv: Vec::new() });
    let listens = await_event(&mut vm, |event| match event {
        Event::Listening(port) => Some(Ok(*port)),
        Event::Failed(error) => Some(Err(error.clone())),
        _ => None,
    });
    assert_eq!(listens, Ok(80), "{:?}", vm.seen);
    let address = vm.instance.service(80).expect("reachable");
    assert!(!address.ip().is_loopback(), "{address}");
    let (sender, mut answers) = unbounded_channel();
    let sink = EventSink::new(InstanceName { storm: 0, index: 0 }, sender);
    trial.context.watch.request(address, sink).expect("asked");
    assert_eq!(next(&mut answers).map(|stamped| stamped.event), Some(Event::Serving));
    vm.instance.stop().expect("stopped");
}

#[test]
fn a_panic_of_a_complete_systems_kernel_is_a_failure() {
    if !can_boot() {
        return;
    }
    let Some(image) = system() else { return };
    let mut trial = Trial::new("full-panic");
    trial.context.cache_dir = crate::cache_dir();
    let script = "modprobe pvpanic-mmio; echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger";
    let argv = ["/bin/sh", "-c", script].map(String::from).to_vec();
    let mut vm = launch(&trial, options(None), &image, Workload::Command { argv });
    let error = failure(&mut vm);
    assert!(error.contains("panicked"), "{error}");
}
