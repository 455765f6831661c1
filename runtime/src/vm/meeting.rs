//! One image, one workload, one bridge: services of Debian's packages in a container, in a machine
//! that boots and in a copy of one that was saved.

use guest::{Plan, Protocol, Service};
use tokio::sync::mpsc::unbounded_channel;

use super::trial::{Trial, system, with_kernel};
use super::{Accel, DirectBackend, Machine, RestoreBackend};
use crate::container::ContainerBackend;
use crate::network::Kind;
use crate::patience::next;
use crate::watch::Question;
use crate::{Backend, Event, EventSink, InstanceName, LaunchSpec, Limits, Workload};

/// Each service in the foreground, where everybody reaches it; `~` is a blank within a word.
const SERVICES: [(Protocol, &str); 2] = [
    (Protocol::Redis, "redis-server --bind 0.0.0.0 --protected-mode no"),
    (Protocol::Http, "nginx -g daemon~off;"),
];

#[test]
fn services_of_one_image_answer_at_one_bridge_wherever_they_run() {
    let (Some(options), Some(image)) = (with_kernel(Accel::Tcg, Machine::Microvm), system()) else { return };
    if !super::disk::tests::have_tools() || !crate::network::tests::host() {
        return;
    }
    let mut trial = Trial::with_network("meeting", Kind::Bridge);
    // The disk is kept for the next time.
    trial.context.cache_dir = crate::cache_dir();
    let backends: [&dyn Backend; 3] =
        [&ContainerBackend, &DirectBackend::new(options.clone()), &RestoreBackend::new(options)];
    let prepared = backends.map(|backend| backend.prepare(&trial.context, &image).expect("prepared"));
    for machine in &prepared[1..] {
        assert_eq!(machine.config()["root"], "read-only ext4 disk, tmpfs above");
    }
    let mut addresses = Vec::new();
    let mut living = Vec::new();
    for (number, (protocol, line)) in SERVICES.into_iter().enumerate() {
        let service = Service { protocol, port: protocol.usual_port() };
        let argv = line.split(' ').map(|word| word.replace('~', " ")).collect();
        let mut plan = Plan::new(Workload::Service { service, argv });
        plan.environment = vec!["PATH=/usr/sbin:/usr/bin:/sbin:/bin".into()];
        for (place, prepared) in prepared.iter().enumerate() {
            let index = (number * 3 + place) as u32;
            let spec = |name| LaunchSpec { name, plan: plan.clone(), limits: Limits::default() };
            let mut started = trial.launch(prepared.as_ref(), index, spec).expect("launched");
            started.until(|event| *event == Event::Listening(service.port));
            assert!(started.has_seen(&Event::Ready), "{:?}", started.seen);
            let address = started.instance.service(service.port).expect("reachable");
            let (sender, mut served) = unbounded_channel();
            let sink = EventSink::new(InstanceName { storm: 0, index }, sender);
            let question = Question { address, protocol, namespace: None };
            trial.context.watch.ask(&question, sink).expect("asked");
            assert_eq!(next(&mut served).map(|stamped| stamped.event), Some(Event::Serving), "{address}");
            addresses.push(address);
            living.push(started);
        }
    }
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), living.len(), "{addresses:?}");
}
