//! Tasks: loads of a known size.

mod burn;
mod fork;
mod hoard;
mod pages;
mod pulse;
pub mod write;

use std::sync::Arc;

use guest::{Message, Task};

use super::channel::Channel;

pub use pages::Pages;

/// Begins with it, on threads and processes of its own.
pub fn begin(channel: &Arc<Channel>, task: &Task, inherited_file: bool) -> Result<(), String> {
    let channel = channel.clone();
    match *task {
        Task::Burn { cpu_ms, threads } => burn::begin(&channel, cpu_ms, threads),
        Task::Hoard { bytes } => hoard::run(&channel, bytes),
        Task::Write { bytes } => apart(move || {
            write::run(&channel, bytes, inherited_file).unwrap_or_else(|error| fail(&channel, error))
        }),
        Task::Fork { most } => {
            fork::run(&channel, most);
            Ok(())
        }
        Task::Pulse { count } => apart(move || pulse::run(&channel, count)),
    }
}

fn apart(run: impl FnOnce() + Send + 'static) -> Result<(), String> {
    let spawned = std::thread::Builder::new().spawn(run);
    spawned.map(drop).map_err(|error| format!("cannot start a thread: {error}"))
}

fn fail(channel: &Channel, error: String) {
    channel.send(&Message::Failed { error });
}

fn tell(channel: &Channel, measure: &str, value: u64) {
    channel.send(&Message::Measured { measure: measure.into(), value });
}

/// Work that takes the same number of instructions every time and cannot be left out or shortened.
pub fn work(rounds: u64, mut state: u64) -> u64 {
    for _ in 0..rounds {
        state = std::hint::black_box(state.wrapping_mul(6364136223846793005).wrapping_add(1));
    }
    state
}
