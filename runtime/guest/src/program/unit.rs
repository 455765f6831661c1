//! The guest program as part of an operating system with an init of its own.

use std::process::Command;
use std::sync::Arc;

use guest::{Message, Plan, Stream, Workload};

use super::channel::Channel;
use super::interface::Interface;
use super::past;

/// How the first argument begins where something is to be told on behalf of a unit.
pub const TELL: &[u8] = b"tell:";

/// Tells what came before `ready`, then is the workload, where it is not another unit.
pub fn run(channel: &Arc<Channel>, plan: Plan) -> i32 {
    past::tell_systemd(channel);
    // A service comes up without a network too, and nobody reaches it.
    if plan.address.is_some()
        && let Err(error) = Interface::first()
    {
        channel.send(&Message::Failed { error });
    }
    match plan.workload {
        // What comes next in the unit is the service itself.
        Workload::Service { .. } => 0,
        _ => super::carry_out(channel, plan),
    }
}

/// `tell:PORT listening TCP-PORT` and `tell:PORT failed UNIT`.
pub fn tell(words: &[String]) -> i32 {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let way = word(1).trim_start_matches("tell:");
    let Some(channel) = Channel::at_port(way) else { return 1 };
    match (word(2), word(3)) {
        ("listening", port) => match port.parse() {
            Ok(port) => channel.send(&Message::Listening { port }),
            Err(_) => return 2,
        },
        ("failed", unit) => {
            tell_journal(&channel, unit);
            channel.send(&Message::Failed { error: format!("systemd could not start {unit}") });
        }
        _ => return 2,
    }
    0
}

/// The last the unit has said, where there is a journal to ask.
fn tell_journal(channel: &Channel, unit: &str) {
    let asked =
        Command::new("journalctl").args(["--no-pager", "-q", "-n", "8", "-o", "cat", "-u", unit]).output();
    for line in asked.iter().flat_map(|output| output.stdout.split(|byte| *byte == b'\n')) {
        if !line.is_empty() {
            let text = String::from_utf8_lossy(line).into_owned();
            channel.send(&Message::Log { stream: Stream::Guest, text });
        }
    }
}
