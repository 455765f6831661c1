//! A small fixed task that every neighbour could be running, at a fixed rate.
//!
//! Its latency is counted from the instant it was due, so a processor it did not get shows.
//! It has no special priority: it is to suffer as others do.

use std::hint::black_box;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use runtime::clock::now_ns;

use crate::clock::{sleep_until_ns, thread_cpu_ns};

/// 100 tasks a second: at some 50 µs each half a percent of one core.
const PERIOD_NS: u64 = 10_000_000;

/// Words the task goes over: half of a small first-level data cache.
const WORDS: usize = 2048;

/// Times it goes over them.
const ROUNDS: usize = 16;

/// The canary's thread.
pub(super) struct Canary {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    latencies_ns: Mutex<Vec<u64>>,
    cpu_ns: AtomicU64,
    ended: AtomicBool,
}

impl Canary {
    pub(super) fn start() -> io::Result<Canary> {
        let shared = Arc::new(Shared::default());
        let thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("canary".into()).spawn(move || thread.sing())?;
        Ok(Canary { shared, thread: Some(thread) })
    }

    /// Latencies since the last call, in nanoseconds.
    pub(super) fn take(&self) -> Vec<u64> {
        std::mem::take(&mut *self.shared.latencies_ns.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Processor time used so far.
    pub(super) fn cpu_ns(&self) -> u64 {
        self.shared.cpu_ns.load(Ordering::Relaxed)
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn sing(&self) {
        let mut words = vec![0x2545_f491_4f6c_dd1d_u64; WORDS];
        let mut due_ns = now_ns() + PERIOD_NS;
        while !self.ended.load(Ordering::Relaxed) {
            sleep_until_ns(due_ns);
            task(&mut words);
            let now = now_ns();
            self.latencies_ns.lock().unwrap_or_else(PoisonError::into_inner).push(now.saturating_sub(due_ns));
            self.cpu_ns.store(thread_cpu_ns(), Ordering::Relaxed);
            // Periods missed are not made up for: one long wait is one bad latency.
            due_ns += PERIOD_NS * (1 + now.saturating_sub(due_ns) / PERIOD_NS);
        }
    }
}

/// xorshift64 (Marsaglia 2003) over an array: arithmetic and cache, no system call.
fn task(words: &mut [u64]) {
    for _ in 0..ROUNDS {
        let mut state = words[0] | 1;
        for word in words.iter_mut() {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *word = word.wrapping_add(state);
        }
    }
    black_box(&*words);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sings_a_hundred_times_a_second_and_counts_its_cost() {
        let canary = Canary::start().expect("thread");
        let until = now_ns() + 300_000_000;
        sleep_until_ns(until);
        let latencies = canary.take();
        assert!((5..=31).contains(&latencies.len()), "{}", latencies.len());
        assert!(latencies.iter().all(|latency| *latency > 0));
        assert!(canary.cpu_ns() > 0);
    }
}
