//! The small static program inside every instance.
//!
//! It is PID 1 of a VM, the entry process of a container, or a plain process:
//!
//! ```text
//! guest fd:3 PLAN              speak on an inherited descriptor
//! guest own-clock:fd:1 PLAN    the same, on a kernel that is not the host's
//! guest unix:PATH PLAN         speak on a socket of the host that is found inside
//! guest port:e9 PLAN           speak on an I/O port (QEMU's isa-debugcon), as PID 1 of a VM or,
//!                              where another is, as a unit of its
//! guest tell:e9 WHAT …         say something on behalf of a unit, and nothing else
//! bench-generator …            called by systemd early in its start (systemd.generator(7))
//! ```
//!
//! PLAN may be `@PATH`, a file with the plan. The very first act, before `main`, is to say `ready`
//! (`program/entry.rs`); everything else, even reading the plan, comes after.

#![no_main]

mod program;

use std::ffi::{CStr, c_char, c_int};

use program::{channel::Channel, entry};

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
    let words = || (0..argc).filter_map(argument).map(|word| word.to_string_lossy().into_owned());
    let is_generator = argument(0).is_some_and(|name| name.to_bytes().ends_with(program::GENERATOR));
    if is_generator {
        return program::generate(&words().collect::<Vec<_>>());
    }
    if argument(1).is_some_and(|word| word.to_bytes().starts_with(program::TELL)) {
        return program::tell(&words().collect::<Vec<_>>());
    }
    let Some(channel) = entry::said().map(Channel::adopt) else {
        eprintln!("guest: usage: guest [own-clock:]fd:N|[own-clock:]unix:PATH|port:HEX PLAN");
        return 2;
    };
    program::run(channel, argument(2).map(|word| word.to_string_lossy()))
}
