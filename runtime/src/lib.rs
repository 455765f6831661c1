//! How one instance is started, watched, measured and stopped.
//!
//! A [`Backend`] knows one way to start an instance. It is prepared once per run ([`Prepared`])
//! and launched once per attempt ([`Instance`]). What happens to an instance is reported as
//! [`Stamped`] events on the [`EventSink`] given at launch. Knows no scenario and no statistics.

mod backend;
pub mod bundle;
mod cache;
pub mod cgroup;
pub mod clock;
pub mod container;
mod descriptor;
mod dumpable;
pub mod engine;
mod event;
pub mod fake;
mod footprint;
pub mod image;
mod lock;
pub mod network;
pub mod oci;
#[cfg(test)]
mod patience;
mod pidfd;
pub mod process;
mod program;
pub mod scratch;
mod spawn;
pub mod state;
mod victim;
pub mod vm;
pub mod watch;

pub use backend::{
    Backend, Error, Exit, Footprint, Instance, InstanceName, LaunchSpec, Prepared, Requirement, RunContext,
    Saved,
};
pub use cache::cache_dir;
pub use cgroup::Limits;
pub use event::{Event, EventSink, PHASES, Stamped};
pub use guest::{Protocol, Service, Task, Workload};
pub use program::{guest_program, guest_program_bytes};

/// Every backend this program knows, with its default options.
pub fn backends(options: &vm::Options) -> Vec<Box<dyn Backend>> {
    let mut backends: Vec<Box<dyn Backend>> = vec![
        Box::new(process::ProcessBackend),
        Box::new(container::ContainerBackend),
        Box::new(container::RootlessBackend),
        Box::new(vm::DirectBackend::new(options.clone())),
        Box::new(vm::RestoreBackend::new(options.clone())),
        Box::new(vm::FullBackend::new(options.clone())),
        Box::new(vm::FullBackend::copying(options.clone())),
        Box::new(vm::FloorBackend::new(options.clone())),
    ];
    backends.extend(oci::names().map(|name| Box::new(oci::OciBackend::new(name, None)) as Box<dyn Backend>));
    backends.extend(engine::backends());
    backends
}
