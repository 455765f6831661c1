//! Real guests: these tests need QEMU and a guest kernel.

use super::super::Accel;
use super::*;
use crate::{Event, InstanceName, Stamped};
use guest::Plan;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

struct Booted {
    instance: Box<dyn Instance>,
    events: UnboundedReceiver<Stamped>,
    watch: Arc<Watch>,
    _cache: tempfile::TempDir,
}

fn boot(machine: Machine, workload: Workload) -> Option<Booted> {
    let kernel = kernel::find(None, &crate::cache_dir()).ok();
    if qemu::find().is_none() || kernel.is_none() {
        eprintln!("skipped: no QEMU or no guest kernel on this host");
        return None;
    }
    let cache = tempfile::tempdir().expect("folder");
    let watch = Arc::new(Watch::start().expect("watch"));
    let context = RunContext {
        run_id: format!("test-{}-{}", machine.name(), std::process::id()),
        state_dir: cache.path().into(),
        cache_dir: cache.path().into(),
        watch: watch.clone(),
    };
    let backend = DirectBackend::new(Options { accel: Accel::Tcg, machine, kernel });
    let prepared = backend.prepare(&context, &Image::builtin()).expect("prepared");
    let name = InstanceName { storm: 0, index: 0 };
    let (sender, events) = unbounded_channel();
    let spec = LaunchSpec { name: name.clone(), plan: Plan::new(workload), limits: Limits::default() };
    let instance = prepared.launch(&spec, EventSink::new(name, sender)).expect("launched");
    Some(Booted { instance, events, watch, _cache: cache })
}

impl Booted {
    fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Vec<Stamped> {
        let mut seen = Vec::new();
        loop {
            let stamped = self.events.blocking_recv().expect("an event");
            if let Event::Failed(error) = &stamped.event {
                panic!("{error}; before: {seen:?}");
            }
            let found = wanted(&stamped.event);
            if !found && matches!(stamped.event, Event::Exited(_)) {
                panic!("{stamped:?}; before: {seen:?}");
            }
            seen.push(stamped);
            if found {
                return seen;
            }
        }
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        let _ = self.instance.stop();
        for root in Hierarchies::of_host().expect("readable").roots() {
            for machine in [Machine::Microvm, Machine::Pc, Machine::Q35] {
                let run = format!("test-{}-{}", machine.name(), std::process::id());
                let _ = std::fs::remove_dir(root.join(crate::cgroup::TOP).join(run));
            }
        }
    }
}

#[test]
fn a_microvm_serves_pauses_and_goes_on() {
    let Some(mut vm) = boot(Machine::Microvm, Workload::Http) else { return };
    let seen = vm.until(|event| matches!(event, Event::Listening(80)));
    assert!(seen.iter().any(|stamped| stamped.event == Event::Ready), "{seen:?}");
    let address = vm.instance.service(80).expect("reachable");
    let (sender, mut served) = unbounded_channel();
    vm.watch.request(address, EventSink::new(InstanceName { storm: 0, index: 0 }, sender)).expect("asked");
    assert_eq!(served.blocking_recv().map(|stamped| stamped.event), Some(Event::Serving));
    vm.instance.pause().expect("paused");
    vm.instance.resume().expect("resumed");
    let footprint = vm.instance.memory().expect("memory");
    assert!(footprint.virtual_bytes > footprint.rss_bytes, "{footprint:?}");
}

#[test]
fn pc_boots_through_its_firmware() {
    let Some(mut vm) = boot(Machine::Pc, Workload::Ready) else { return };
    let seen = vm.until(|event| *event == Event::Ready);
    let marks: Vec<_> = seen.iter().filter(|stamped| matches!(stamped.event, Event::Mark(_))).collect();
    assert!(marks.iter().any(|stamped| stamped.event == Event::Mark("firmware")), "{seen:?}");
}

#[test]
fn q35_runs_a_command_and_ends_by_itself() {
    let argv = vec!["/init".into()];
    let Some(mut vm) = boot(Machine::Q35, Workload::Command { argv }) else { return };
    vm.until(|event| matches!(event, Event::CommandExited(2)));
    vm.until(|event| matches!(event, Event::Exited(_)));
}
