//! The checks, one file a namespace, controller or topic.

mod ipc;
mod kernel;
mod mount;
mod net;
mod pid;
mod sibling;
mod uts;

use super::check::Check;

/// All of them.
pub(super) const TOPICS: &[&[Check]] =
    &[uts::ALL, pid::ALL, ipc::ALL, net::ALL, mount::ALL, sibling::ALL, kernel::ALL];
