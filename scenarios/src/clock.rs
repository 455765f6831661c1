//! Sleeping until an instant of the one clock.

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};

/// Sleeps until CLOCK_MONOTONIC shows `at_ns`: an absolute deadline, so that nothing adds up
/// (clock_nanosleep(2), TIMER_ABSTIME). An interruption by a signal is slept through.
pub(crate) fn sleep_until_ns(at_ns: u64) {
    let at = TimeSpec::new((at_ns / 1_000_000_000) as i64, (at_ns % 1_000_000_000) as i64);
    while let Err(Errno::EINTR) =
        clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::TIMER_ABSTIME, &at)
    {}
}

/// Processor time the calling thread has used, in nanoseconds.
pub(crate) fn thread_cpu_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .map_or(0, |time| time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}

/// The `share` quantile of `sorted` by the nearest-rank rule; `None` where it is empty.
pub(crate) fn quantile(sorted: &[u64], share: f64) -> Option<u64> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_ranks() {
        let sorted = [10, 20, 30, 40];
        assert_eq!(quantile(&sorted, 0.5), Some(20));
        assert_eq!(quantile(&sorted, 0.99), Some(40));
        assert_eq!(quantile(&sorted, 0.0), Some(10));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn sleeping_into_the_past_returns_at_once_and_never_too_early() {
        sleep_until_ns(1);
        let until = runtime::clock::now_ns() + 2_000_000;
        sleep_until_ns(until);
        assert!(runtime::clock::now_ns() >= until);
    }
}
