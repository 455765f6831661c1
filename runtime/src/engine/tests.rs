//! Engines of the tests' own, as scripts/with-engines starts them.

use std::path::PathBuf;
use std::sync::Arc;

use guest::Plan;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::image::Image;
use crate::patience::{PATIENCE, http, next};
use crate::watch::Watch;
use crate::{
    Event, EventSink, Exit, Instance, InstanceName, LaunchSpec, Limits, Prepared, RunContext, Stamped,
    Workload,
};

struct Stand {
    prepared: Option<Arc<dyn Prepared>>,
    context: RunContext,
    _folder: tempfile::TempDir,
}

impl Stand {
    /// `None` where there is no such engine of the tests' own.
    fn new(test: &str, backend: &dyn Backend) -> Option<Stand> {
        if std::env::var_os("TEST_ENGINES").is_none() {
            eprintln!("skipped: no engines of the tests' own (scripts/with-engines starts them)");
            return None;
        }
        if let Some(Err(why)) = backend.requirements().into_iter().map(|one| one.state).find(Result::is_err) {
            eprintln!("skipped: {why}");
            return None;
        }
        let folder = tempfile::tempdir().expect("folder");
        let context = RunContext {
            run_id: format!("t-{test}-{}", std::process::id()),
            state_dir: folder.path().into(),
            cache_dir: folder.path().join("cache"),
            watch: Arc::new(Watch::start().expect("watch")),
            network: Arc::default(),
        };
        let prepared = Some(backend.prepare(&context, &Image::builtin()).expect("prepared"));
        Some(Stand { prepared, context, _folder: folder })
    }

    fn launch(&self, workload: Workload, limits: Limits) -> (Box<dyn Instance>, UnboundedReceiver<Stamped>) {
        let name = InstanceName { storm: 0, index: 0 };
        let (sender, events) = unbounded_channel();
        let spec = LaunchSpec { name: name.clone(), plan: Plan::new(workload), limits };
        let prepared = self.prepared.as_ref().expect("prepared");
        (prepared.launch(&spec, EventSink::new(name, sender)).expect("launched"), events)
    }
}

fn until<T>(events: &mut UnboundedReceiver<Stamped>, mut wanted: impl FnMut(&Stamped) -> Option<T>) -> T {
    let mut seen = Vec::new();
    loop {
        let Some(stamped) = next(events) else { panic!("no more events after {seen:?}") };
        if let Some(found) = wanted(&stamped) {
            return found;
        }
        assert!(!matches!(stamped.event, Event::Failed(_)), "{stamped:?} after {seen:?}");
        seen.push(stamped);
    }
}

fn starts_serves_and_leaves_nothing(test: &str, backend: &dyn Backend) {
    let Some(stand) = Stand::new(test, backend) else { return };
    let limits = Limits { memory_bytes: Some(128 << 20), ..Limits::default() };
    let (mut instance, mut events) = stand.launch(Workload::Ready, limits);
    let delay_ns =
        until(&mut events, |stamped| (stamped.event == Event::Ready).then_some(stamped.stamping_delay_ns));
    assert!(delay_ns.is_some(), "the guest's clock is the host's");
    assert!(instance.memory().expect("memory").rss_bytes.expect("rss") > 1_000_000);
    let pid = instance.root_pid().expect("a first process");
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).expect("lives");
    assert!(String::from_utf8_lossy(&command).contains("guest"), "{pid} is {command:?}");
    instance.stop().expect("stopped, and nothing left");
    drop(instance);

    let (mut instance, mut events) = stand.launch(Workload::Http, Limits::default());
    let port = until(&mut events, |stamped| match stamped.event {
        Event::Listening(port) => Some(port),
        _ => None,
    });
    let address = instance.service(port).expect("reachable");
    let answer = http(std::net::TcpStream::connect_timeout(&address, PATIENCE));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    instance.stop().expect("stopped, and nothing left");
}

/// A container that ends by itself is told with its status, and those of a killed run are found.
fn ends_are_told_and_leftovers_found(test: &str, backend: &dyn Backend) {
    let Some(stand) = Stand::new(test, backend) else { return };
    let argv = vec!["/.bench/guest".to_owned()];
    let (mut instance, mut events) = stand.launch(Workload::Command { argv }, Limits::default());
    let exit = until(&mut events, |stamped| match stamped.event {
        Event::Exited(exit) => Some(exit),
        _ => None,
    });
    // The status of a guest without a plan, passed on.
    assert_eq!(exit, Exit::Code(2));
    instance.stop().expect("removed");
    drop(instance);

    let (instance, mut events) = stand.launch(Workload::Ready, Limits::default());
    until(&mut events, |stamped| (stamped.event == Event::Ready).then_some(()));
    // As a killed run leaves it.
    std::mem::forget(instance);
    let removed = clean(&stand.context.state_dir, &stand.context.run_id).expect("cleaned");
    assert_eq!(removed.len(), 1, "{removed:?}");
    let again = clean(&stand.context.state_dir, &stand.context.run_id).expect("cleaned");
    assert_eq!(again, Vec::<String>::new());
}

#[test]
fn docker_starts_serves_and_leaves_nothing() {
    starts_serves_and_leaves_nothing("dk", &DockerBackend::new(Engine::Docker, None));
    ends_are_told_and_leftovers_found("dke", &DockerBackend::new(Engine::Docker, None));
}

/// The same engine with other runtimes, as scripts/with-engines gives it: what is left of the engine.
#[test]
fn docker_takes_the_runtime_that_is_asked_for() {
    for runtime in ["crun", "bench"] {
        let backend = DockerBackend::new(Engine::Docker, Some(runtime));
        let Some(stand) = Stand::new(&format!("dk-{runtime}"), &backend) else { continue };
        assert_eq!(stand.prepared.as_ref().expect("prepared").config()["runtime"], runtime);
        let (mut instance, mut events) = stand.launch(Workload::Ready, Limits::default());
        until(&mut events, |stamped| (stamped.event == Event::Ready).then_some(()));
        instance.stop().expect("stopped, and nothing left");
    }
}

#[test]
fn podman_starts_serves_and_leaves_nothing() {
    starts_serves_and_leaves_nothing("pm", &DockerBackend::new(Engine::Podman, None));
    ends_are_told_and_leftovers_found("pme", &DockerBackend::new(Engine::Podman, None));
}

#[test]
fn containerd_starts_serves_and_leaves_nothing() {
    starts_serves_and_leaves_nothing("cri", &CriBackend);
    ends_are_told_and_leftovers_found("crie", &CriBackend);
}

#[test]
fn an_archive_of_the_builtin_image_is_the_same_every_time() {
    let folder = tempfile::tempdir().expect("folder");
    let context = RunContext {
        run_id: "t".into(),
        state_dir: folder.path().into(),
        cache_dir: PathBuf::new(),
        watch: Arc::new(Watch::start().expect("watch")),
        network: Arc::default(),
    };
    let read = || {
        let mut archive = archive::of(&context, &Image::builtin(), true).expect("written");
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut archive.file, &mut bytes).expect("read");
        (archive.id, bytes)
    };
    let first = read();
    assert!(first.0.starts_with("sha256:") && !first.1.is_empty());
    assert_eq!(first, read());
    assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 0, "the file is left");
}
