//! Processor time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use guest::Message;

use super::{apart, tell, work};
use crate::program::channel::Channel;
use crate::program::clock::read_ns;

/// Rounds between two looks at the clock: some hundred microseconds, ten times that where the
/// processor is emulated.
const ROUNDS: u64 = 100_000;
/// Time between two reports, by this program's own clock.
const REPORT_NS: u64 = 20_000_000;

/// Computes on `threads` threads until they have used `cpu_ms` together. The first of them reports.
pub(super) fn begin(channel: &Arc<Channel>, cpu_ms: u64, threads: u32) -> Result<(), String> {
    let rounds = Arc::new(AtomicU64::new(0));
    // What the program has used before is not part of the task.
    let before_ns = read_ns(libc::CLOCK_PROCESS_CPUTIME_ID);
    for thread in 0..threads {
        let (rounds, channel) = (rounds.clone(), channel.clone());
        apart(move || {
            let mut state = u64::from(thread);
            let mut reported_ns = read_ns(libc::CLOCK_MONOTONIC);
            loop {
                state = work(ROUNDS, state);
                let done = rounds.fetch_add(ROUNDS, Ordering::Relaxed) + ROUNDS;
                let used_ns = read_ns(libc::CLOCK_PROCESS_CPUTIME_ID);
                let is_over = used_ns - before_ns >= cpu_ms * 1_000_000;
                let now_ns = read_ns(libc::CLOCK_MONOTONIC);
                if thread == 0 && (is_over || now_ns - reported_ns >= REPORT_NS) {
                    reported_ns = now_ns;
                    tell(&channel, "burn_rounds", done);
                    // Of the whole program, as it is charged to whoever accounts for it.
                    tell(&channel, "burn_cpu_ns", used_ns);
                }
                if is_over {
                    if thread == 0 {
                        channel.send(&Message::Done { amount: used_ns });
                    }
                    return;
                }
            }
        })?;
    }
    Ok(())
}
