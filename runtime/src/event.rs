//! What is told of an instance while it runs.

use tokio::sync::mpsc::UnboundedSender;

use crate::backend::{Exit, InstanceName};

/// Every phase a start may have.
pub const PHASES: [&str; 28] = [
    // Of machines.
    "clone",
    "vmm",
    "firmware",
    "loader",
    "kernel",
    "initramfs",
    "systemd",
    "units",
    "load",
    "resume",
    // Of containers and processes.
    "cgroup",
    "copy",
    "cgroup-join",
    "spawn",
    "namespaces",
    "identity",
    "network",
    "rootfs",
    "filesystems",
    "privileges",
    "exec",
    // Of runtimes and engines.
    "bundle",
    "runtime",
    "sandbox",
    "create",
    "start",
    // Of nothing.
    "first-half",
    "second-half",
];

/// Something that happened to an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A phase of the start begins here (and the one before it ends). Marks may arrive out of
    /// order of their time stamps; readers sort.
    Mark(&'static str),
    /// The first instruction of the workload has run.
    Ready,
    /// The workload accepts requests on this port inside.
    Listening(u16),
    /// The workload answered its first request, made by this host.
    Serving,
    /// The workload has done what it was asked (bytes touched, …).
    Done(u64),
    /// The machine waits to be saved as the template of others.
    Parked,
    /// A copy of a machine has taken its identity.
    Became(guest::Became),
    /// What became of a request of the workload `probe`.
    Observed(guest::probe::Observation),
    /// Something about the instance has been measured: what, with its unit as in `overlay_bytes`, and
    /// the value. Where it is told several times, the last value counts.
    Measured(&'static str, u64),
    /// A line of its firmware's debug port.
    Firmware(String),
    /// A line of output: workload, kernel or hypervisor.
    Log(String),
    /// The workload's command ended.
    CommandExited(i32),
    /// The guest or the backend reports that something failed.
    Failed(String),
    /// The instance has ended.
    Exited(Exit),
}

/// An event with its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamped {
    /// Whose event.
    pub name: InstanceName,
    /// Host CLOCK_MONOTONIC in nanoseconds.
    pub at_ns: u64,
    /// What happened.
    pub event: Event,
    /// Where the sender shares the host's clock: how late `at_ns` is, in nanoseconds.
    pub stamping_delay_ns: Option<u64>,
}

/// Where the events of one instance go. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EventSink {
    name: InstanceName,
    sender: UnboundedSender<Stamped>,
}

impl EventSink {
    /// A sink for the instance `name`.
    pub fn new(name: InstanceName, sender: UnboundedSender<Stamped>) -> EventSink {
        EventSink { name, sender }
    }

    /// Whose events these are.
    pub fn name(&self) -> &InstanceName {
        &self.name
    }

    /// Passes on an event. A receiver that has gone away is no error: the run is over.
    pub fn send(&self, at_ns: u64, event: Event) {
        debug_assert!(!matches!(event, Event::Mark(phase) if !PHASES.contains(&phase)), "{event:?}");
        self.send_delayed(at_ns, event, None);
    }

    /// [`EventSink::send`] with the measured delay of its stamp.
    pub fn send_delayed(&self, at_ns: u64, event: Event, stamping_delay_ns: Option<u64>) {
        let _ = self.sender.send(Stamped { name: self.name.clone(), at_ns, event, stamping_delay_ns });
    }
}
