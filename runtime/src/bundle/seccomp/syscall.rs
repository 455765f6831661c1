//! Names and numbers of system calls, per architecture.

/// Set in the number of an x32 call (arch/x86/include/uapi/asm/unistd.h).
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// x32 calls whose number is not that of x86-64 with the bit set: 512 onwards, in order
/// (arch/x86/entry/syscalls/syscall_64.tbl). Their x86-64 numbers are not x32's.
const X32_OWN: [&str; 36] = [
    "rt_sigaction",
    "rt_sigreturn",
    "ioctl",
    "readv",
    "writev",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "execve",
    "ptrace",
    "rt_sigpending",
    "rt_sigtimedwait",
    "rt_sigqueueinfo",
    "sigaltstack",
    "timer_create",
    "mq_notify",
    "kexec_load",
    "waitid",
    "set_robust_list",
    "get_robust_list",
    "vmsplice",
    "move_pages",
    "preadv",
    "pwritev",
    "rt_tgsigqueueinfo",
    "recvmmsg",
    "sendmmsg",
    "process_vm_readv",
    "process_vm_writev",
    "setsockopt",
    "getsockopt",
    "io_setup",
    "io_submit",
    "execveat",
    "preadv2",
    "pwritev2",
];
const X32_OWN_FIRST: u32 = 512;

/// Calls behind socketcall(2), from 1 in order (include/uapi/linux/net.h).
const SOCKET_CALLS: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];
/// Calls behind ipc(2) with their numbers (include/uapi/linux/ipc.h).
const IPC_CALLS: [(&str, u32); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

/// An architecture, in the sense of the numbering of its system calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Architecture {
    X86_64,
    X86,
    X32,
    Aarch64,
    Arm,
}

impl Architecture {
    #[cfg(target_arch = "x86_64")]
    pub(super) const NATIVE: Architecture = Architecture::X86_64;
    #[cfg(target_arch = "aarch64")]
    pub(super) const NATIVE: Architecture = Architecture::Aarch64;

    /// Whether a kernel of this program's architecture can run it.
    pub(super) fn runs_here(self) -> bool {
        match self {
            Architecture::X86_64 | Architecture::X86 | Architecture::X32 => cfg!(target_arch = "x86_64"),
            Architecture::Aarch64 | Architecture::Arm => cfg!(target_arch = "aarch64"),
        }
    }

    /// AUDIT_ARCH_* (include/uapi/linux/audit.h): the ELF machine, 64-bit and little-endian bits.
    pub(super) fn audit(self) -> u32 {
        match self {
            Architecture::X86_64 | Architecture::X32 => 0xc000_003e,
            Architecture::X86 => 0x4000_0003,
            Architecture::Aarch64 => 0xc000_00b7,
            Architecture::Arm => 0x4000_0028,
        }
    }

    pub(super) fn is_32_bit(self) -> bool {
        matches!(self, Architecture::X86 | Architecture::Arm)
    }

    /// The number of the call `name`.
    pub(super) fn number(self, name: &str) -> Option<u32> {
        match self {
            Architecture::X86_64 => name.parse().ok().map(|call: syscalls::x86_64::Sysno| call.id() as u32),
            Architecture::X86 => name.parse().ok().map(|call: syscalls::x86::Sysno| call.id() as u32),
            Architecture::Aarch64 => name.parse().ok().map(|call: syscalls::aarch64::Sysno| call.id() as u32),
            Architecture::Arm => name.parse().ok().map(|call: syscalls::arm::Sysno| call.id() as u32),
            Architecture::X32 => {
                let own = X32_OWN.iter().position(|own| *own == name);
                let plain = || Architecture::X86_64.number(name);
                own.map(|index| X32_OWN_FIRST + index as u32).or_else(plain).map(|number| X32_BIT | number)
            }
        }
    }

    /// Where the call can also be made through socketcall(2) or ipc(2): that call's number and its
    /// first argument.
    pub(super) fn multiplexed(self, name: &str) -> Option<(u32, u32)> {
        if self != Architecture::X86 {
            return None;
        }
        let socket =
            SOCKET_CALLS.iter().position(|call| *call == name).map(|index| ("socketcall", index as u32 + 1));
        let ipc = || IPC_CALLS.iter().find(|(call, _)| *call == name).map(|(_, number)| ("ipc", *number));
        let (through, argument) = socket.or_else(ipc)?;
        Some((self.number(through)?, argument))
    }
}

/// Whether any architecture known here has the call.
pub(super) fn is_known(name: &str) -> bool {
    use Architecture::{Aarch64, Arm, X86, X86_64};
    [X86_64, X86, Aarch64, Arm].into_iter().any(|architecture| architecture.number(name).is_some())
}
