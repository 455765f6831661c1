//! The small static program inside every instance.
//!
//! It is PID 1 of a VM, the entry process of a container, or a plain process:
//!
//! ```text
//! guest fd:3 PLAN              speak on an inherited descriptor
//! guest own-clock:fd:1 PLAN    the same, on a kernel that is not the host's
//! guest unix:PATH PLAN         speak on a socket of the host that is found inside
//! guest port:e9 PLAN           speak on an I/O port (QEMU's isa-debugcon), as PID 1 of a VM
//! ```
//!
//! Its very first act is to say `ready`; everything else, even reading its plan, comes after.

#![no_main]

mod program;

use std::ffi::{CStr, c_char, c_int};

use program::channel::Channel;

/// Entry point called by the C runtime: nothing of Rust's own start-up runs before `ready`.
///
/// # Safety
/// Called once by the C runtime with the process's arguments.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    let argument = |index: c_int| {
        // SAFETY: argv holds argc pointers to NUL-terminated strings (execve(2)).
        (index < argc).then(|| unsafe { CStr::from_ptr(*argv.add(index as usize)) })
    };
    let Some(channel) = argument(1).and_then(|word| Channel::open(word.to_bytes())) else {
        eprintln!("guest: usage: guest [own-clock:]fd:N|[own-clock:]unix:PATH|port:HEX PLAN");
        return 2;
    };
    channel.ready();
    program::run(channel, argument(2).map(|word| word.to_string_lossy()))
}
