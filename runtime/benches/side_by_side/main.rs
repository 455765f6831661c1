//! Start → ready of the same static program from the same folder, side by side: our own containers, the
//! bare floor, crun, runc and bubblewrap, interleaved at random with a recorded seed, stamped by the same thread.
//!
//! ```text
//! cargo bench -p runtime --bench side_by_side [-- ROUNDS]
//! ```
//! Root is needed. What is not installed is left out, and said so. The time begins before the
//! first step that is made for the instance and ends when the program's first message arrives.

mod backend;
mod bubblewrap;
mod floor;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use backend::Backed;
use runtime::clock::now_ns;
use runtime::container::ContainerBackend;
use runtime::oci::OciBackend;
use runtime::watch::{Source, Watch};
use runtime::{Backend, Event, EventSink, InstanceName, Stamped};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// One of the ways to start an instance.
trait Contestant {
    fn name(&self) -> &'static str;

    /// Starts one, waits until it is ready, ends it. Nanoseconds from the first step to ready.
    fn round(&mut self, watch: &Watch) -> Result<u64, String>;

    /// Median nanoseconds of each of its phases, in order, where it tells them.
    fn phases(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let first = arguments.next();
    if first.as_deref() == Some(floor::ARGUMENT) {
        return floor::serve(Path::new(&arguments.next().expect("a root")));
    }
    if first.as_deref() == Some("--test") {
        return println!("skipped: a benchmark, not a test");
    }
    if !rustix::process::geteuid().is_root() {
        return println!("skipped: needs root");
    }
    let rounds: u32 = first.and_then(|number| number.parse().ok()).unwrap_or(100);
    let folder = tempfile::tempdir().expect("a folder");
    let rootfs = folder.path().join("rootfs");
    prepare_root(&rootfs);
    let watch = Arc::new(Watch::start().expect("stamper"));

    let mut contestants: Vec<Box<dyn Contestant>> = vec![Box::new(floor::Floor::new(&rootfs))];
    let backends: [(&str, Box<dyn Backend>); 3] = [
        ("container", Box::new(ContainerBackend)),
        ("crun", Box::new(OciBackend::new("crun", None))),
        ("runc", Box::new(OciBackend::new("runc", None))),
    ];
    for (name, backend) in backends {
        match Backed::new(name, &*backend, folder.path(), &rootfs, watch.clone()) {
            Ok(backed) => contestants.push(Box::new(backed)),
            Err(error) => println!("{name} is left out: {error}"),
        }
    }
    match bubblewrap::Bubblewrap::new(&rootfs) {
        Ok(bubblewrap) => contestants.push(Box::new(bubblewrap)),
        Err(error) => println!("bubblewrap is left out: {error}"),
    }
    let mut times: BTreeMap<&'static str, Vec<u64>> = BTreeMap::new();
    let mut failures: BTreeMap<&'static str, String> = BTreeMap::new();
    let seed = now_ns();
    let mut random = seed | 1;
    for round in 0..rounds + 3 {
        for at in (1..contestants.len()).rev() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            contestants.swap(at, (random >> 33) as usize % (at + 1));
        }
        for contestant in &mut contestants {
            match contestant.round(&watch) {
                // The first rounds warm caches up.
                Ok(_) if round < 3 => {}
                Ok(time_ns) => times.entry(contestant.name()).or_default().push(time_ns),
                Err(error) => drop(failures.insert(contestant.name(), error)),
            }
        }
    }
    println!("start → ready of the same static program, {rounds} rounds each, interleaved (seed {seed})");
    let median = |name: &str| times.get(name).map(|times| percentile(times, 50));
    let own = median("container").unwrap_or(f64::NAN);
    println!("{:<12} {:>6} {:>10} {:>10} {:>12}", "", "n", "p50 µs", "p90 µs", "× container");
    let mut names: Vec<_> = times.keys().copied().collect();
    names.sort_by(|a, b| median(a).unwrap_or(0.0).total_cmp(&median(b).unwrap_or(0.0)));
    for name in names {
        let of = &times[name];
        let (p50, p90) = (percentile(of, 50), percentile(of, 90));
        println!("{name:<12} {:>6} {:>10.0} {:>10.0} {:>12.2}", of.len(), p50 / 1e3, p90 / 1e3, p50 / own);
    }
    for contestant in &contestants {
        let phases = contestant.phases();
        if !phases.is_empty() {
            let phases = phases.iter().map(|(name, time_ns)| format!("{name} {}", time_ns / 1000));
            println!(
                "{}, median µs of each phase: {}",
                contestant.name(),
                phases.collect::<Vec<_>>().join(", ")
            );
        }
    }
    for (name, error) in &failures {
        println!("{name}: failed rounds, the last with: {}", error.trim());
    }
}

fn percentile(times: &[u64], percent: usize) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[(times.len() * percent / 100).min(times.len() - 1)] as f64
}

/// A root that holds the static program, and the mount points the others expect.
fn prepare_root(root: &Path) {
    for name in ["proc", "dev", "sys", "tmp"] {
        std::fs::create_dir_all(root.join(name)).expect("made");
    }
    let program = root.join("guest");
    std::fs::write(&program, runtime::guest_program_bytes()).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).expect("executable");
}

/// What the program is told to do: to be ready, and wait.
fn plan() -> String {
    guest::Plan::new(guest::Workload::Ready).to_word()
}

/// Has `outside` stamped and gives the events.
fn listen(watch: &Watch, outside: std::os::fd::OwnedFd) -> UnboundedReceiver<Stamped> {
    let (sender, events) = unbounded_channel();
    let sink = EventSink::new(InstanceName { storm: 0, index: 0 }, sender);
    watch.add(Source::Channel(outside), sink).expect("watched");
    events
}

/// When it became ready.
fn ready_ns(events: &mut UnboundedReceiver<Stamped>) -> Result<u64, String> {
    let mut said = Vec::new();
    while let Some(stamped) = events.blocking_recv() {
        match stamped.event {
            Event::Ready => return Ok(stamped.at_ns),
            Event::Log(line) => said.push(line),
            Event::Failed(error) => return Err(error),
            _ => {}
        }
    }
    Err(format!("ended without being ready; said: {}", said.join(" | ")))
}
