//! The checks, one file a namespace, controller or topic.

mod cgroup;
mod ipc;
mod kernel;
mod mask;
mod mount;
mod net;
mod pid;
mod sibling;
mod six;
mod user;
mod uts;

use super::check::Check;

/// All of them.
pub(super) const TOPICS: &[&[Check]] = &[
    uts::ALL,
    pid::ALL,
    ipc::ALL,
    net::ALL,
    mount::ALL,
    mask::ALL,
    user::ALL,
    cgroup::ALL,
    six::ALL,
    sibling::ALL,
    kernel::ALL,
];
