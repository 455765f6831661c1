//! System call filters: classic BPF, assembled once per run (seccomp(2)).
//!
//! When a filter is installed the kernel runs it for every call there is to find those always allowed
//! (`seccomp_cache_prepare`, kernel/seccomp.c). A chain of comparisons makes that some 100,000 steps
//! at each start; a search tree over ranges of numbers some thousands.

mod assemble;
mod describe;
mod profile;

pub(crate) use describe::described;
pub(super) use profile::standard;

/// The default profile as a program for those who take one as bytes: `struct sock_filter` after each other.
pub(crate) fn compiled_filter() -> Vec<u8> {
    standard().program.iter().flat_map(|instruction| instruction.to_ne_bytes()).collect()
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Allow,
    /// Refused with this error number.
    Errno(i32),
    /// Refused with EPERM where one of these bits of the argument is set.
    RefuseBits {
        argument: u32,
        bits: u32,
    },
    /// Refused with EPERM where the argument is this value.
    RefuseValue {
        argument: u32,
        value: u32,
    },
    /// Refused with EPERM unless the argument is one of these.
    OnlyValues {
        argument: u32,
        values: &'static [u32],
    },
}

#[cfg(test)]
mod tests;
