//! System calls without the C library.
//!
//! The child of a launch shares the memory of this program until it executes: the C library's
//! errno and thread pointer are those of the suspended launcher, and its wrappers for identity
//! changes wait for threads (nptl(7)). Here the kernel's answer comes back as a value.

/// What the kernel said: an error number, positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i32);

/// The kernel's answer to a system call.
pub(crate) type Answer<T = usize> = Result<T, Errno>;

/// `raw!(SYS_name, argument, …)`: the call with up to six arguments, each a number or a pointer.
macro_rules! raw {
    ($number:ident $(, $argument:expr)* $(,)?) => {
        $crate::container::syscall::call(libc::$number, &[$($argument as usize),*])
    };
}
pub(super) use raw;

/// The numbered call.
///
/// # Safety
/// As the call itself: pointers must be valid for what it reads and writes.
#[inline(always)]
pub(super) unsafe fn call(number: libc::c_long, arguments: &[usize]) -> Answer {
    let word = |index: usize| arguments.get(index).copied().unwrap_or(0);
    // SAFETY: passed on to the caller.
    let answer = unsafe { enter(number as usize, word(0), word(1), word(2), word(3), word(4), word(5)) };
    // The last 4,095 values are error numbers on every architecture of Linux (syscall(2)).
    if (-4095..0).contains(&answer) { Err(Errno(-answer as i32)) } else { Ok(answer as usize) }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn enter(number: usize, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> isize {
    let answer: isize;
    // SAFETY: the kernel changes rax, rcx and r11 only (syscall(2)); memory is named as touched.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => answer,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack)
        );
    }
    answer
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
unsafe fn enter(number: usize, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> isize {
    let answer: isize;
    // SAFETY: the kernel changes x0 only (syscall(2)); memory is named as touched.
    unsafe {
        std::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a as isize => answer,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack)
        );
    }
    answer
}

/// clone3(2) whose child calls `begin(argument)` on its own stack, given in `arguments`, and never
/// returns. Answers the child's id, in the parent.
///
/// # Safety
/// The stack and `argument` must stay valid as long as the child uses them, and what the child does
/// must be sound beside everything that shares its memory.
pub(crate) unsafe fn clone3(
    arguments: &mut libc::clone_args,
    begin: unsafe extern "C" fn(*const libc::c_void) -> !,
    argument: *const libc::c_void,
) -> Answer {
    let answer: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: in the child no register of the parent's frame is used: it calls `begin`, which does
    // not return. In the parent the call changes rax, rcx and r11 only.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r13",
            "call r12",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 as isize => answer,
            in("rdi") &raw mut *arguments, in("rsi") size_of::<libc::clone_args>(),
            in("r12") begin, in("r13") argument,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above; in the parent the call changes x0 only.
    unsafe {
        std::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x10",
            "blr x9",
            "brk 1",
            "2:",
            in("x8") libc::SYS_clone3,
            inlateout("x0") &raw mut *arguments => answer,
            in("x1") size_of::<libc::clone_args>(),
            in("x9") begin, in("x10") argument,
            lateout("x30") _,
        );
    }
    if answer < 0 { Err(Errno(-answer as i32)) } else { Ok(answer as usize) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_values_or_error_numbers() {
        // SAFETY: no pointers are passed but one to a static string.
        let (own, closed) = unsafe { (raw!(SYS_getpid), raw!(SYS_close, -1isize)) };
        assert_eq!(own, Ok(std::process::id() as usize));
        assert_eq!(closed, Err(Errno(libc::EBADF)));
    }
}
