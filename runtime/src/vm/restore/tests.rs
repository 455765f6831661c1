//! Real copies of a real machine: these tests need QEMU and a guest kernel.

use guest::{Became, Protocol, Service};
use tokio::sync::mpsc::unbounded_channel;

use super::super::trial::{Started, Trial, with_kernel};
use super::super::{Accel, Machine};
use super::*;
use crate::patience::{PATIENCE, http, next};
use crate::{Event, InstanceName, Workload};

fn prepare(trial: &Trial, machine: Machine) -> Option<Arc<dyn Prepared>> {
    let options = with_kernel(Accel::Tcg, machine)?;
    Some(RestoreBackend::new(options).prepare(&trial.context, &Image::builtin()).expect("prepared"))
}

fn spec(workload: Workload) -> impl FnOnce(InstanceName) -> LaunchSpec {
    |name| LaunchSpec { name, plan: Plan::new(workload), limits: Limits::default() }
}

fn became(copy: &mut Started) -> Became {
    match copy.until(|event| matches!(event, Event::Became(_))).event {
        Event::Became(became) => became,
        other => panic!("{other:?}"),
    }
}

#[test]
fn copies_serve_and_share_no_identity() {
    let trial = Trial::new("restore-http");
    let Some(prepared) = prepare(&trial, Machine::Microvm) else { return };
    let mut copies: Vec<Started> = (0..3)
        .map(|index| trial.launch(prepared.as_ref(), index, spec(Workload::Http)).expect("launched"))
        .collect();
    let mut identities = Vec::new();
    for (index, copy) in copies.iter_mut().enumerate() {
        copy.until(|event| *event == Event::Ready);
        assert!(
            copy.has_seen(&Event::Mark("load")) && copy.has_seen(&Event::Mark("resume")),
            "{:?}",
            copy.seen
        );
        copy.until(|event| matches!(event, Event::Listening(80)));
        let identity = became(copy);
        assert_eq!(identity.hostname, format!("{}-s0-i{index}", trial.context.run_id));
        let (sender, mut served) = unbounded_channel();
        let sink = EventSink::new(InstanceName { storm: 0, index: 0 }, sender);
        let address = copy.instance.service(80).expect("reachable");
        trial.context.watch.request(address, sink).expect("asked");
        assert_eq!(next(&mut served).map(|stamped| stamped.event), Some(Event::Serving));
        let host_ns =
            identity::of("r", &InstanceName { storm: 0, index: 0 }, None, None).expect("now").realtime_ns;
        assert!(
            host_ns.abs_diff(identity.realtime_ns) < 60_000_000_000,
            "{host_ns} {}",
            identity.realtime_ns
        );
        identities.push(identity);
    }
    let differ = |part: fn(&Became) -> Option<&String>| {
        let parts: std::collections::BTreeSet<_> = identities.iter().map(part).collect();
        assert!(parts.len() == identities.len() && !parts.contains(&None), "{parts:?}");
    };
    differ(|became| Some(&became.hostname));
    differ(|became| Some(&became.machine_id));
    differ(|became| Some(&became.random));
    differ(|became| became.mac.as_ref());
    differ(|became| became.address.as_ref());
}

/// The control of the test above: without the host's entropy two copies go on with one stream, so
/// the reseeding is what sets them apart.
#[test]
fn without_reseeding_copies_share_a_random_stream() {
    let trial = Trial::new("restore-stream");
    let Some(options) = with_kernel(Accel::Tcg, Machine::Microvm) else { return };
    let prepared = PreparedRestore {
        hypervisor: Hypervisor::prepare(&trial.context, &options).expect("prepared"),
        files: BootFiles::prepare(&trial.context, &options, &Image::builtin()).expect("prepared"),
        folder: trial.context.cache_dir.join(store::FOLDER),
        run_id: trial.context.run_id.clone(),
        image: String::new(),
        templates: Mutex::default(),
    };
    let plan = Plan::new(Workload::Ready);
    let (shape, template) = prepared.template(&plan, &Limits::default()).expect("made");
    let stream = |index: u32, seeded: bool| {
        let name = InstanceName { storm: 0, index };
        let mut identity = identity::of("r", &name, None, None).expect("made");
        if !seeded {
            identity.entropy.clear();
        }
        let spec = LaunchSpec { name: name.clone(), plan: plan.clone(), limits: Limits::default() };
        let (sender, events) = unbounded_channel();
        let sink = EventSink::new(name, sender);
        let vm = prepared.restore(&shape, &template, &spec, &identity, None, &sink).expect("restored");
        let mut copy = Started { instance: Box::new(vm), events, seen: Vec::new() };
        became(&mut copy).random
    };
    assert_ne!(stream(0, true), stream(1, true));
    // Each reseeds itself from its own interrupts a little later, which on a busy host may be before it is
    // asked: some pair is quicker.
    let is_shared = |pair: u32| stream(2 * pair, false) == stream(2 * pair + 1, false);
    assert!((1..6).any(is_shared), "no two of five pairs had the same stream");
}

#[test]
fn a_q35_is_restored_and_serves() {
    let trial = Trial::new("restore-q35");
    let Some(prepared) = prepare(&trial, Machine::Q35) else { return };
    for index in 0..2 {
        let mut copy = trial.launch(prepared.as_ref(), index, spec(Workload::Http)).expect("launched");
        copy.until(|event| *event == Event::Ready);
        copy.until(|event| matches!(event, Event::Listening(80)));
        assert_eq!(became(&mut copy).hostname, format!("{}-s0-i{index}", trial.context.run_id));
        let answer = http(std::net::TcpStream::connect_timeout(
            &copy.instance.service(80).expect("reachable"),
            PATIENCE,
        ));
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

#[test]
fn a_pc_is_restored_and_runs_a_command_of_its_own() {
    let trial = Trial::new("restore-pc");
    let Some(prepared) = prepare(&trial, Machine::Pc) else { return };
    let argv = vec!["/init".into()];
    prepared.get_ready(&Plan::new(Workload::Ready), &Limits::default()).expect("made");
    let mut copy = trial.launch(prepared.as_ref(), 0, spec(Workload::Command { argv })).expect("launched");
    copy.until(|event| *event == Event::Ready);
    copy.until(|event| matches!(event, Event::CommandExited(2)));
    copy.until(|event| matches!(event, Event::Exited(_)));
    // What a workload is asked to occupy is occupied by the copy, not shared with the template.
    let bytes = 24 << 20;
    let mut copy = trial.launch(prepared.as_ref(), 1, spec(Workload::Memory { bytes })).expect("launched");
    copy.until(|event| *event == Event::Done(bytes));
    let mut idle = trial.launch(prepared.as_ref(), 2, spec(Workload::Ready)).expect("launched");
    idle.until(|event| matches!(event, Event::Became(_)));
    // Both live: what of the template one of them maps, the other does too.
    let with = copy.instance.memory().expect("memory");
    let without = idle.instance.memory().expect("memory");
    assert!(
        with.private_bytes > without.private_bytes.map(|without| without + bytes / 2),
        "{with:?} {without:?}"
    );
    let config = prepared.config();
    assert_eq!(config["templates"].as_array().map(Vec::len), Some(1), "{config}");
}

#[test]
fn a_template_that_does_not_get_there_says_how_far_it_came() {
    let trial = Trial::new("restore-late");
    let Some(options) = with_kernel(Accel::Tcg, Machine::Pc) else { return };
    let hypervisor = Hypervisor::prepare(&trial.context, &options).expect("prepared");
    let files = BootFiles::prepare(&trial.context, &options, &Image::builtin()).expect("prepared");
    let shape = Shape::of(&Plan::new(Workload::Ready), &Limits::default(), false);
    // No machine boots so quickly, and each is through its first instructions.
    let patience = std::time::Duration::from_millis(400);
    let error = template::make(&hypervisor, &files, &shape, patience).err().expect("late").to_string();
    assert!(
        error.contains("no template for vm:restore: it was not there after 400ms, in its phase "),
        "{error}"
    );
}

#[test]
fn a_template_whose_service_never_comes_is_given_up_and_not_kept() {
    let trial = Trial::new("restore-unserved");
    let Some(options) = with_kernel(Accel::Tcg, Machine::Microvm) else { return };
    let hypervisor = Hypervisor::prepare(&trial.context, &options).expect("prepared");
    let files = BootFiles::prepare(&trial.context, &options, &Image::builtin()).expect("prepared");
    // The guest program itself, which says that it is there and waits for its end.
    let argv = ["/init".into(), "fd:1".into(), Plan::new(Workload::Ready).to_word()].into();
    let service = Service { protocol: Protocol::Http, port: 80 };
    let plan = Plan::new(Workload::Service { service, argv });
    let shape = Shape::of(&plan, &Limits::default(), hypervisor.access.is_given(&plan.workload));
    let folder = trial.context.cache_dir.join(store::FOLDER);
    let error = store::get_or_make(&folder, "k", shape.memory_bytes, || {
        template::make(&hypervisor, &files, &shape, std::time::Duration::from_secs(8))
    });
    let error = error.expect_err("never there").to_string();
    let expected = "no template for vm:restore: it was not there after 8s, and its service does not listen";
    assert!(error.starts_with(expected), "{error}");
    let kept = std::fs::read_dir(&folder).expect("listed").map(|entry| entry.expect("read").file_name());
    assert_eq!(kept.collect::<Vec<_>>(), ["lock"]);
    // Its machine is gone.
    for root in crate::cgroup::Hierarchies::of_host().expect("readable").roots() {
        let run = root.join(crate::cgroup::TOP).join(&trial.context.run_id);
        let groups = std::fs::read_dir(run).into_iter().flatten().flatten();
        assert_eq!(groups.filter(|entry| entry.path().is_dir()).count(), 0);
    }
}

#[test]
fn copies_are_met_on_the_bridge() {
    if !crate::network::tests::host() {
        return;
    }
    let trial = Trial::with_network("copies-met", crate::network::Kind::Bridge);
    let Some(prepared) = prepare(&trial, Machine::Microvm) else { return };
    let mut copies: Vec<Started> = (0..2)
        .map(|index| trial.launch(prepared.as_ref(), index, spec(Workload::Http)).expect("launched"))
        .collect();
    let mut addresses = Vec::new();
    for copy in &mut copies {
        copy.until(|event| matches!(event, Event::Listening(80)));
        let address = copy.instance.service(80).expect("reachable");
        let (sender, mut served) = unbounded_channel();
        trial
            .context
            .watch
            .request(address, EventSink::new(InstanceName { storm: 0, index: 0 }, sender))
            .expect("asked");
        assert_eq!(next(&mut served).map(|stamped| stamped.event), Some(Event::Serving), "{address}");
        addresses.push(address);
    }
    assert_ne!(addresses[0], addresses[1]);
}
