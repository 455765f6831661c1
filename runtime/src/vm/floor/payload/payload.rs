//! A machine's whole content: a few kilobytes, entered by the PVH boot protocol. Compiled by the
//! build script with the compiler alone, no other tool and no library.

#![no_std]
#![no_main]

core::arch::global_asm!(include_str!("entry.s"), options(att_syntax, raw));
core::arch::global_asm!(include_str!("proof.s"), options(att_syntax, raw));

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
