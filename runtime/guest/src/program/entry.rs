//! The first instructions: `ready` is said before the C library sets itself up.
//!
//! Its set-up asks the processor dozens of questions (CPUID), each of which leaves a virtual machine
//! for its hypervisor: 0.2 ms of 0.3 where that is nested, spent on nothing of the workload. So the
//! program does not begin at the C library's `_start` but here, and goes on there.
//!
//! What runs here may use nothing that needs the set-up: no thread-local variable, no errno, and no
//! memcpy or memset, which are chosen by processor through relocations not yet applied. Therefore
//! system calls by hand, pointers instead of slices, and volatile stores, which a compiler does not
//! turn into calls. Like the I/O port, this is x86-64 only.

use std::ffi::{c_char, c_int};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

/// How far [`say_ready`] has come: nothing said, or said on one of the ways.
const NOTHING: u32 = 0;
const BY_DESCRIPTOR: u32 = 1;
const BY_PORT: u32 = 2;

/// Bit of [`SAID`]: the clock is the host's.
const SHARES_CLOCK: u32 = 4;

static SAID: AtomicU32 = AtomicU32::new(NOTHING);
/// The descriptor or the port.
static NUMBER: AtomicI32 = AtomicI32::new(-1);

/// The longest a message here gets, and more.
const MESSAGE_BYTES: usize = 96;

/// The way out over which `ready` was said.
pub enum Said {
    /// An open descriptor, and whether the clock is the host's.
    Descriptor(c_int, bool),
    /// An I/O port this program may write to.
    Port(u16),
}

/// What became of [`say_ready`].
pub fn said() -> Option<Said> {
    let said = SAID.load(Ordering::Relaxed);
    let number = NUMBER.load(Ordering::Relaxed);
    match said & !SHARES_CLOCK {
        BY_DESCRIPTOR => Some(Said::Descriptor(number, said & SHARES_CLOCK != 0)),
        BY_PORT => Some(Said::Port(number as u16)),
        _ => None,
    }
}

// The kernel enters with the stack pointer at argc, 16-byte aligned, and in rdx what `_start` hands
// to atexit(3) (System V ABI, AMD64 supplement, 3.4.1).
std::arch::global_asm!(
    ".globl guest_start",
    ".type guest_start, @function",
    "guest_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "push rdx",
    "push rdx",
    "call {begin}",
    "pop rdx",
    "pop rdx",
    "jmp _start",
    begin = sym begin,
);

/// # Safety
/// Called once with the kernel's initial stack: argc, then the pointers to the arguments.
unsafe extern "C" fn begin(stack: *const usize) {
    // SAFETY: the initial stack holds argc and as many pointers to strings that end with NUL.
    unsafe {
        if *stack >= 2 {
            say_ready(*stack.add(2) as *const c_char);
        }
    }
}

/// Opens the way out in `word`, `fd:N`, `unix:PATH` or `port:HEX`, the first two with `own-clock:` in
/// front where the kernel is not the host's, and says `ready` on it. Anything else is left alone.
///
/// # Safety
/// `word` ends with NUL. Called by the only thread.
unsafe fn say_ready(word: *const c_char) {
    let word = word.cast::<u8>();
    // SAFETY: `after` reads no further than the first difference, the rest no further than NUL.
    unsafe {
        let own_clock = after(word, c"own-clock:".as_ptr().cast());
        let shares_clock = own_clock.is_null();
        let word = if shares_clock { word } else { own_clock };
        let number = after(word, c"fd:".as_ptr().cast());
        if !number.is_null() {
            return on_descriptor(digits(number, 10), shares_clock);
        }
        let path = after(word, c"unix:".as_ptr().cast());
        if !path.is_null() {
            return on_descriptor(connect(path), shares_clock);
        }
        let port = after(word, c"port:".as_ptr().cast());
        if !port.is_null() && shares_clock {
            on_port(digits(port, 16));
        }
    }
}

/// Says it on a socket, a pipe or a file.
unsafe fn on_descriptor(fd: isize, shares_clock: bool) {
    if fd < 0 || fd > c_int::MAX as isize {
        return;
    }
    let mut message = Text::new();
    // SAFETY: the message is local; a descriptor that is not open is refused by the kernel.
    unsafe {
        message.ready(shares_clock);
        let (text, length) = message.parts();
        // MSG_NOSIGNAL: no SIGPIPE when the host is gone.
        let sent =
            call(libc::SYS_sendto, [fd as usize, text as usize, length, libc::MSG_NOSIGNAL as usize, 0, 0]);
        if sent == -(libc::ENOTSOCK as isize) {
            call(libc::SYS_write, [fd as usize, text as usize, length, 0, 0, 0]);
        } else if sent == -(libc::EBADF as isize) {
            return;
        }
    }
    NUMBER.store(fd as c_int, Ordering::Relaxed);
    SAID.store(BY_DESCRIPTOR | if shares_clock { SHARES_CLOCK } else { 0 }, Ordering::Relaxed);
}

/// Says it on an I/O port.
unsafe fn on_port(port: isize) {
    if !(0..=0xffff).contains(&port) {
        return;
    }
    let mut message = Text::new();
    // SAFETY: asks for access to one port, then writes to it; no memory but the message is touched.
    unsafe {
        if call(libc::SYS_ioperm, [port as usize, 1, 1, 0, 0, 0]) != 0 {
            return;
        }
        message.ready(false);
        let (text, length) = message.parts();
        let mut at = 0;
        while at < length {
            super::channel::out_byte(port as u16, *text.add(at));
            at += 1;
        }
    }
    NUMBER.store(port as c_int, Ordering::Relaxed);
    SAID.store(BY_PORT, Ordering::Relaxed);
}

/// A stream socket connected to `path`, or a negative number.
unsafe fn connect(path: *const u8) -> isize {
    let mut address = MaybeUninit::<libc::sockaddr_un>::uninit();
    let start = address.as_mut_ptr();
    // SAFETY: stores within the address, the kernel reads no more than the length given.
    unsafe {
        (&raw mut (*start).sun_family).write_volatile(libc::AF_UNIX as libc::sa_family_t);
        let text = (&raw mut (*start).sun_path).cast::<u8>();
        let room = size_of::<libc::sockaddr_un>() - size_of::<libc::sa_family_t>();
        let mut length = 0;
        loop {
            if length == room {
                return -1;
            }
            let byte = *path.add(length);
            text.add(length).write_volatile(byte);
            length += 1;
            if byte == 0 {
                break;
            }
        }
        let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
        let socket = call(libc::SYS_socket, [libc::AF_UNIX as usize, kind as usize, 0, 0, 0, 0]);
        if socket < 0 {
            return socket;
        }
        let address_bytes = size_of::<libc::sa_family_t>() + length;
        match call(libc::SYS_connect, [socket as usize, start as usize, address_bytes, 0, 0, 0]) {
            0 => socket,
            error => error,
        }
    }
}

/// A message under way.
struct Text {
    bytes: MaybeUninit<[u8; MESSAGE_BYTES]>,
    length: usize,
}

impl Text {
    fn new() -> Text {
        Text { bytes: MaybeUninit::uninit(), length: 0 }
    }

    /// What [`guest::Message::Ready`] is on the wire.
    unsafe fn ready(&mut self, with_clock: bool) {
        // SAFETY: the texts end with NUL and are shorter than the room together with a number.
        unsafe {
            self.text(c"\x1e{\"v\":1,\"event\":\"ready\"".as_ptr().cast());
            if with_clock {
                self.text(c",\"clock_ns\":".as_ptr().cast());
                self.number(clock_ns());
            }
            self.text(c"}\n".as_ptr().cast());
        }
    }

    unsafe fn text(&mut self, text: *const u8) {
        let mut at = 0;
        // SAFETY: reads to the NUL.
        unsafe {
            while *text.add(at) != 0 {
                self.byte(*text.add(at));
                at += 1;
            }
        }
    }

    unsafe fn number(&mut self, number: u64) {
        let mut power = 1u64;
        while number / power >= 10 {
            power = power.wrapping_mul(10);
        }
        while power > 0 {
            // SAFETY: as for text.
            unsafe { self.byte(b'0' + (number / power % 10) as u8) };
            power /= 10;
        }
    }

    unsafe fn byte(&mut self, byte: u8) {
        if self.length < MESSAGE_BYTES {
            // SAFETY: within the room.
            unsafe { self.bytes.as_mut_ptr().cast::<u8>().add(self.length).write_volatile(byte) };
            self.length += 1;
        }
    }

    fn parts(&self) -> (*const u8, usize) {
        (self.bytes.as_ptr().cast(), self.length)
    }
}

/// What follows `beginning` in `word`, both up to NUL; null where `word` does not begin so.
unsafe fn after(word: *const u8, beginning: *const u8) -> *const u8 {
    let mut at = 0;
    // SAFETY: NUL in the word differs from all before NUL in the beginning.
    unsafe {
        while *beginning.add(at) != 0 {
            if *word.add(at) != *beginning.add(at) {
                return std::ptr::null();
            }
            at += 1;
        }
        word.add(at)
    }
}

/// The number to `base` 10 or 16 that is all of `text`, or a negative one.
unsafe fn digits(text: *const u8, base: isize) -> isize {
    let (mut at, mut number) = (0, 0isize);
    loop {
        // SAFETY: reads to the NUL at most.
        let byte = unsafe { *text.add(at) };
        let digit = match byte {
            0 if at > 0 => return number,
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' if base == 16 => byte - b'a' + 10,
            b'A'..=b'F' if base == 16 => byte - b'A' + 10,
            _ => return -1,
        };
        if number > c_int::MAX as isize {
            return -1;
        }
        number = number.wrapping_mul(base).wrapping_add(digit as isize);
        at += 1;
    }
}

/// CLOCK_MONOTONIC in nanoseconds, by the system call: the vDSO is not yet found.
unsafe fn clock_ns() -> u64 {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the kernel stores the time.
    unsafe {
        call(
            libc::SYS_clock_gettime,
            [libc::CLOCK_MONOTONIC as usize, time.as_mut_ptr() as usize, 0, 0, 0, 0],
        );
        let time = time.as_ptr();
        ((*time).tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add((*time).tv_nsec as u64)
    }
}

/// A system call: its answer, or the negative error number.
unsafe fn call(number: libc::c_long, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let answer: isize;
    // SAFETY: the caller's arguments fit the call; the kernel changes rax, rcx and r11 only.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => answer,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _, options(nostack),
        );
    }
    answer
}
