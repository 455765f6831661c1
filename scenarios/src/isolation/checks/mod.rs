//! The checks, one file a namespace, controller or topic.

mod bridge;
mod bridge_plant;
mod call;
mod cg_control;
mod cg_cpu;
mod cg_io;
mod cg_memory;
mod cg_pids;
mod cg_reach;
mod cgroup;
mod elsewhere;
mod image;
mod ipc;
mod kernel;
mod leak;
mod leak_level;
mod leak_locks;
mod mask;
mod mount;
mod net;
mod net_message;
mod net_plant;
mod net_rule;
mod noisy;
mod pid;
mod privilege;
mod program;
mod sibling;
mod six;
mod user;
mod uts;
mod vm;
mod vm_kernel;

use super::check::Check;

pub(super) use net_plant::only_in_a_world;

/// All of them.
pub(super) const TOPICS: &[&[Check]] = &[
    uts::ALL,
    pid::ALL,
    ipc::ALL,
    net::ALL,
    bridge::ALL,
    mount::ALL,
    mask::ALL,
    image::ALL,
    program::ALL,
    user::ALL,
    cgroup::ALL,
    six::ALL,
    sibling::ALL,
    kernel::ALL,
    cg_memory::ALL,
    cg_cpu::ALL,
    cg_pids::ALL,
    cg_io::ALL,
    cg_control::ALL,
    cg_reach::ALL,
    noisy::ALL,
    elsewhere::ALL,
    vm::ALL,
    vm_kernel::ALL,
    leak::ALL,
    leak_level::ALL,
    leak_locks::ALL,
    call::ALL,
    privilege::CREDENTIALS,
    privilege::FILES,
    privilege::SWITCHES,
];
