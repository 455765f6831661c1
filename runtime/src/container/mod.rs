//! The `container` backend: namespaces, cgroups and pivot_root, straight on the kernel.
//!
//! What a container is to be is a [`setup::Setup`], [`Compiled`] once per run. A start makes one
//! child with clone3(2), which shares this program's memory until it executes: it joins its cgroups,
//! makes its namespaces, waits until its user map is written, arranges its own file system, gives
//! up what it must not keep and becomes the program. No other process is started for it.
//!
//! # What a start costs
//!
//! Start → ready of the same static program from the same overlaid image, with limits of memory, processor
//! and processes, on a virtual machine of two cores (Linux 6.18, hybrid cgroups), 100 rounds in turns
//! (`cargo bench --package runtime --bench side_by_side`):
//!
//! | | p50 | × container |
//! |---|---|---|
//! | the floor: seven namespaces, pivot_root, /proc, nothing else | 1.08 ms | 0.54 |
//! | **container** | 1.99 ms | 1 |
//! | bubblewrap, without limits, filter or overlay | 3.95 ms | 1.98 |
//! | crun | 14.8 ms | 7.4 |
//! | runc | 24.1 ms | 12.1 |
//!
//! Where it goes, in microseconds: 240 to make four cgroups and set their limits, 110 clone3(2), 84 to join
//! three v1 hierarchies, 500 unshare(2) of six namespaces, 50 the loopback interface, 120 the overlay, 390
//! the other mounts, nodes, masks and pivot_root(2), 36 to give up privileges, 54 the filter, 160 execve(2).
//!
//! A thousand asked for at once are ready after 1.23 s (816 starts a second), and gone 0.43 s after the word
//! to end. Beside 5,000 that live a start takes 3.2 times as long as the tenth did: pivot_root(2) looks at
//! every thread of the host (`chroot_fs_refs`, the kernel's fs/fs_struct.c), which takes 21 µs on a quiet
//! host and 0.9 ms beside 5,000 processes of whatever kind; two at once wait for each other in it. Bench
//! itself takes 33 KiB for each that lives.

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
