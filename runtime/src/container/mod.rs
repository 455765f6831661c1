//! The `container` backend: namespaces, cgroups and pivot_root, straight on the kernel.
//!
//! What a container is to be is a [`setup::Setup`], [`Compiled`] once per run. A start makes one
//! child with clone3(2), which shares this program's memory until it executes: it joins its cgroups,
//! makes its namespaces, waits until its user map is written, arranges its own file system, gives
//! up what it must not keep and becomes the program. No other process is started for it.

mod aside;
mod backend;
mod behalf;
mod checkpoint;
mod child;
mod compiled;
mod copied;
mod device;
mod hidden;
mod identity;
mod idmap;
mod instance;
mod launch;
mod loopback;
mod mechanism;
mod mount;
mod namespace;
mod partner;
mod place;
mod prepared;
mod privilege;
mod process;
mod reach;
mod report;
mod root;
mod rootless;
mod seccomp;
pub mod setup;
pub(crate) mod standard;
mod supervise;
pub(crate) mod syscall;

pub use backend::{ContainerBackend, WeakenedBackend};
pub use compiled::Compiled;
pub use launch::{Launch, Started};
pub use mechanism::{CapabilitySet, Mechanism};
pub use rootless::RootlessBackend;
pub(crate) use seccomp::{compiled_filter, described};

/// What `container` makes of the image's files in `rootfs`, or of the guest program alone.
pub fn standard_setup(rootfs: Option<&std::path::Path>) -> setup::Setup {
    standard::setup(rootfs, standard::maps())
}

#[cfg(test)]
mod tests;
