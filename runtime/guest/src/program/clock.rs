//! Clocks (clock_gettime(2)).

/// A reading of `clock` in nanoseconds.
pub fn read_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes to the local timespec.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// CLOCK_MONOTONIC in nanoseconds.
pub fn now_ns() -> u64 {
    read_ns(libc::CLOCK_MONOTONIC)
}
