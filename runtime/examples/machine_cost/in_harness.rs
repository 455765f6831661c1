//! Starting machines through the harness.

use std::sync::Arc;
use std::time::{Duration, Instant};

use guest::Plan;
use runtime::image::Image;
use runtime::watch::Watch;
use runtime::{
    Backend, Event, EventSink, Instance, InstanceName, LaunchSpec, Limits, Prepared, RunContext, Stamped,
    Workload, clock, vm,
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// A machine that has not told within this what is waited for hangs.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A run with one prepared backend.
pub struct Bench {
    pub prepared: Arc<dyn Prepared>,
    pub context: RunContext,
    _state: runtime::state::RunState,
}

/// One machine and what it told.
pub struct Started {
    pub instance: Box<dyn Instance>,
    pub began_ns: u64,
    pub events: UnboundedReceiver<Stamped>,
    sink: EventSink,
    seen: Vec<Stamped>,
}

/// Options from the environment, as `bench` has them.
pub fn options() -> vm::Options {
    let accel = std::env::var("BENCH_ACCEL").ok().and_then(|word| vm::Accel::from_name(&word));
    let machine = std::env::var("BENCH_MACHINE").ok().and_then(|word| vm::Machine::from_name(&word));
    vm::Options {
        accel: accel.unwrap_or_default(),
        machine: machine.unwrap_or_default(),
        kernel: std::env::var_os("BENCH_KERNEL").map(Into::into),
        ..vm::Options::default()
    }
}

impl Bench {
    pub fn new(backend: &dyn Backend, run: &str) -> Bench {
        let run_id = format!("{run}-{}", std::process::id());
        let state = runtime::state::RunState::create(&run_id).expect("a folder for the run");
        let context = RunContext {
            run_id,
            state_dir: state.dir().into(),
            cache_dir: runtime::cache_dir(),
            watch: Arc::new(Watch::start().expect("the stamper")),
            network: Arc::default(),
        };
        let prepared = backend.prepare(&context, &Image::builtin()).expect("prepared");
        Bench { prepared, context, _state: state }
    }

    pub fn start(&self, index: u32, workload: &Workload) -> Started {
        let name = InstanceName { storm: 0, index };
        let (sender, events) = unbounded_channel();
        let sink = EventSink::new(name.clone(), sender);
        let spec = LaunchSpec { name, plan: Plan::new(workload.clone()), limits: Limits::default() };
        let began_ns = clock::now_ns();
        let instance = self.prepared.launch(&spec, sink.clone()).expect("launched");
        Started { instance, began_ns, events, sink, seen: Vec::new() }
    }
}

impl Started {
    /// From the start to the event, in nanoseconds.
    pub fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> u64 {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let stamped = match self.events.try_recv() {
                Ok(stamped) => stamped,
                // The stamps are the stamper's: looking late makes no figure worse.
                Err(_) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                }
                Err(_) => panic!("not there after {TIMEOUT:?}: {:?}", self.seen),
            };
            let at_ns = stamped.at_ns.saturating_sub(self.began_ns);
            let is_wanted = wanted(&stamped.event);
            let is_end = matches!(stamped.event, Event::Exited(_) | Event::Failed(_));
            self.seen.push(stamped);
            if is_wanted {
                return at_ns;
            }
            assert!(!is_end, "{:?}", self.seen);
        }
    }

    /// Waits until the service answers. From the start, in nanoseconds.
    pub fn until_serving(&mut self, bench: &Bench) -> u64 {
        self.until(|event| matches!(event, Event::Listening(_)));
        let address = self.instance.service(80).expect("reachable");
        bench.context.watch.request(address, self.sink.clone()).expect("asked");
        self.until(|event| *event == Event::Serving)
    }

    /// From the start to a phase that has begun, in nanoseconds.
    pub fn phase(&self, phase: &str) -> Option<u64> {
        let found =
            self.seen.iter().find(|stamped| matches!(stamped.event, Event::Mark(name) if name == phase));
        found.map(|stamped| stamped.at_ns.saturating_sub(self.began_ns))
    }
}

/// So many machines one after the other.
pub fn row(count: usize) {
    let options = options();
    let backend = vm::DirectBackend::new(options.clone());
    let bench = Bench::new(&backend, "row");
    let mut slowest_ns = 0;
    for index in 0..count {
        let mut machine = bench.start(index as u32, &Workload::Ready);
        let ready_ns = machine.until(|event| *event == Event::Ready);
        slowest_ns = slowest_ns.max(ready_ns);
        machine.instance.stop().expect("stopped");
    }
    let machine = options.machine.name();
    println!(
        "{count} of {count} {machine} in a row became ready, the slowest after {} ms",
        slowest_ns / 1_000_000
    );
}
