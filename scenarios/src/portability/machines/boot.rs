//! One machine with one disk, booted until its service answers or it is known why not.

use std::time::Duration;

use guest::{Plan, Protocol, Service, Workload};
use runtime::clock::now_ns;
use runtime::image::Image;
use runtime::vm::{Accel, CloneKind, Converted, FirmwareKind, FullBackend, Hardware, Options, Outside};
use runtime::watch::Question;
use runtime::{
    Backend, Event, EventSink, Instance, InstanceName, LaunchSpec, Limits, Requirement, RunContext, Stamped,
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use super::reason::{self, Reason};
use crate::Stop;

/// RAM: what unpacks an initramfs with all drivers.
const MEMORY_BYTES: u64 = 768 << 20;
/// How often it is looked whether the user wants to stop.
const LOOK: Duration = Duration::from_millis(100);
/// Lines of a console that are kept.
const LINES: usize = 40;
/// What the disk serves.
const SERVICE: Service = Service { protocol: Protocol::Redis, port: 6379 };

/// A machine to try a disk on.
#[derive(Clone, Debug)]
pub(in crate::portability) struct Try {
    pub(super) number: u32,
    pub(super) disk: Converted,
    pub(super) hardware: &'static Hardware,
    /// None where the host hands over a kernel.
    pub(super) firmware: Option<FirmwareKind>,
    pub(super) outside: Option<Outside>,
}

/// What became of it: nanoseconds from start to the service's answer, or why there was none. `None`:
/// the user did not want to wait.
pub(in crate::portability) type Booted = Option<Result<u64, Reason>>;

/// Who boots machines; tests have another.
pub(in crate::portability) trait Boot: Sync {
    /// What machines of this firmware miss on this host, where they miss something.
    fn lacks(&self, firmware: FirmwareKind) -> Option<String>;

    fn boot(&self, attempt: &Try) -> Booted;
}

/// QEMU.
pub(super) struct Qemu<'a> {
    pub(super) context: &'a RunContext,
    pub(super) accel: Accel,
    pub(super) timeout: Duration,
    pub(super) stop: &'a Stop,
}

impl Boot for Qemu<'_> {
    fn lacks(&self, firmware: FirmwareKind) -> Option<String> {
        let Requirement { what, state, fix } = firmware.requirement()?;
        let why = state.err()?;
        let fix = fix.map_or(String::new(), |fix| format!(" ({fix})"));
        Some(format!("{what} is {why}{fix}"))
    }

    fn boot(&self, attempt: &Try) -> Booted {
        let started = match self.start(attempt) {
            Ok(started) => started,
            Err(error) => return Some(Err(Reason::Other(error))),
        };
        let Started { mut instance, mut events, sink, began_ns } = started;
        let executor = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let found = match executor {
            Ok(executor) => executor.block_on(self.follow(instance.as_ref(), &mut events, &sink, began_ns)),
            Err(error) => Some(Err(Reason::Other(format!("cannot start the event loop: {error}")))),
        };
        match instance.stop() {
            Ok(_) => found,
            Err(error) => Some(Err(Reason::Other(format!("the machine could not be ended: {error}")))),
        }
    }
}

/// A machine under way.
struct Started {
    instance: Box<dyn Instance>,
    events: UnboundedReceiver<Stamped>,
    sink: EventSink,
    began_ns: u64,
}

impl Qemu<'_> {
    fn start(&self, attempt: &Try) -> Result<Started, String> {
        let options = Options {
            accel: self.accel,
            firmware: attempt.firmware.unwrap_or_default(),
            clone: CloneKind::Linked,
            disk: Some(attempt.disk.path.clone()),
            hardware: Some(attempt.hardware),
            outside: attempt.outside.clone(),
            ..Options::default()
        };
        let backend = FullBackend::new(options);
        let prepared = backend.prepare(self.context, &Image::builtin()).map_err(|error| error.to_string())?;
        let name = InstanceName { storm: 0, index: attempt.number };
        let plan = Plan::new(Workload::Service { service: SERVICE, argv: Vec::new() });
        let limits = Limits { memory_bytes: Some(MEMORY_BYTES), ..Limits::default() };
        let (sender, events) = unbounded_channel();
        let sink = EventSink::new(name.clone(), sender);
        let began_ns = now_ns();
        let spec = LaunchSpec { name, plan, limits };
        let instance = prepared.launch(&spec, sink.clone()).map_err(|error| error.to_string())?;
        Ok(Started { instance, events, sink, began_ns })
    }

    async fn follow(
        &self,
        instance: &dyn Instance,
        events: &mut UnboundedReceiver<Stamped>,
        sink: &EventSink,
        began_ns: u64,
    ) -> Booted {
        let mut said: Vec<String> = Vec::new();
        let mut phase = "vmm";
        let mut ended = None;
        loop {
            if self.stop.requested() {
                return None;
            }
            if now_ns() - began_ns > self.timeout.as_nanos() as u64 {
                let last = said.last().map_or(String::new(), |line| format!("; its last words: {line}"));
                return Some(Err(Reason::Late(format!("{phase}{last}"))));
            }
            let received = match (timeout(LOOK, events.recv()).await, &ended) {
                (Ok(received), _) => received,
                // What it said last may come behind its end.
                (Err(_), Some(exit)) => {
                    return Some(Err(reason::of_failure(&format!("QEMU ended: {exit}"), &said)));
                }
                (Err(_), None) => continue,
            };
            let Some(stamped) = received else {
                return Some(Err(Reason::Other("nobody tells of the machine any more".into())));
            };
            match stamped.event {
                Event::Serving => return Some(Ok(stamped.at_ns.saturating_sub(began_ns))),
                Event::Mark(name) => phase = name,
                Event::Listening(port) => {
                    if let Err(error) = self.ask(instance, port, sink) {
                        return Some(Err(Reason::Other(error)));
                    }
                }
                Event::Log(line) => {
                    let settled = reason::of_line(&line);
                    if said.len() == LINES {
                        said.remove(0);
                    }
                    said.push(line);
                    if let Some(reason) = settled {
                        return Some(Err(reason));
                    }
                }
                Event::Failed(error) => return Some(Err(reason::of_failure(&error, &said))),
                Event::Exited(exit) => ended = Some(exit),
                _ => {}
            }
        }
    }

    /// Has the service asked; the answer comes as an event.
    fn ask(&self, instance: &dyn Instance, port: u16, sink: &EventSink) -> Result<(), String> {
        let address = instance.service(port).ok_or("the machine's service cannot be reached")?;
        let question = Question { address, protocol: SERVICE.protocol, namespace: None };
        let asked = self.context.watch.ask(&question, sink.clone());
        asked.map_err(|error| format!("cannot ask its port {port}: {error}"))
    }
}
