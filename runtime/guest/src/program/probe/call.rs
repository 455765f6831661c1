//! Any system call with numbers for arguments.

use guest::probe::Facts;

use super::{errno_of, facts, number};
use crate::program::clock::read_ns;

/// Makes the call; missing arguments are 0.
pub fn call(call: i64, arguments: &[i64]) -> Facts {
    let argument = |at: usize| arguments.get(at).copied().unwrap_or(0);
    // SAFETY: in a child made for this call, which ends after it; what a wrong address does to it is
    // its observation.
    let result = unsafe {
        libc::syscall(call, argument(0), argument(1), argument(2), argument(3), argument(4), argument(5))
    };
    facts([("result", number(result)), ("errno", number(errno_of(result)))])
}

/// Clocks in nanoseconds (clock_gettime(2)).
pub fn clocks() -> Facts {
    let read = |clock| read_ns(clock) as i64;
    facts([
        ("errno", number(0)),
        ("realtime", number(read(libc::CLOCK_REALTIME))),
        ("monotonic", number(read(libc::CLOCK_MONOTONIC))),
        ("boottime", number(read(libc::CLOCK_BOOTTIME))),
    ])
}
