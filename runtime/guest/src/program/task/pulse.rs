//! A small piece of work at even times: what a neighbour feels.

use guest::Message;

use super::{tell, work};
use crate::program::channel::Channel;
use crate::program::clock::read_ns;

/// Time between two pieces.
const PERIOD_NS: u64 = 5_000_000;
/// Some hundred microseconds of work; the same everywhere.
const ROUNDS: u64 = 100_000;

/// Each piece is due at its time whatever became of the one before, and its latency counts from
/// then: one that is late makes the next late too, as it would for a user. The clock is this
/// kernel's own; only durations are told.
pub(super) fn run(channel: &Channel, count: u32) {
    let mut latencies_ns = Vec::with_capacity(count as usize);
    let mut state = 0;
    let began_ns = read_ns(libc::CLOCK_MONOTONIC);
    for number in 1..=u64::from(count) {
        let due_ns = began_ns + number * PERIOD_NS;
        sleep_until_ns(due_ns);
        state = work(ROUNDS, state);
        latencies_ns.push(read_ns(libc::CLOCK_MONOTONIC).saturating_sub(due_ns));
    }
    latencies_ns.sort_unstable();
    let rank = |share: f64| (share * f64::from(count)).ceil().max(1.0) as usize - 1;
    let at = |rank: usize| latencies_ns.get(rank).copied().unwrap_or(0);
    tell(channel, "pulse_p50_ns", at(rank(0.5)));
    tell(channel, "pulse_p99_ns", at(rank(0.99)));
    tell(channel, "pulse_max_ns", at(rank(1.0)));
    tell(channel, "pulses", latencies_ns.len() as u64);
    channel.send(&Message::Done { amount: latencies_ns.len() as u64 });
}

fn sleep_until_ns(due_ns: u64) {
    let time = libc::timespec {
        tv_sec: (due_ns / 1_000_000_000) as libc::time_t,
        tv_nsec: (due_ns % 1_000_000_000) as libc::c_long,
    };
    // SAFETY: reads the local timespec. Interrupted by a signal it is called again.
    while unsafe {
        libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &time, std::ptr::null_mut())
    } == libc::EINTR
    {}
}
