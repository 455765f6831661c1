//! The filter of system calls (seccomp(2)): which of the calls that reach beyond an instance, or are wide
//! doors into the kernel, still reach the kernel's own code.
//!
//! Each call is made with arguments that the call itself refuses before it does anything, or that ask for
//! nothing (numbers from arch/x86/entry/syscalls/syscall_64.tbl). So EFAULT, EBADF, EINVAL, ESRCH,
//! ENOEXEC and EOPNOTSUPP say that it was reached, EPERM that it was not, or that a capability is missing: the
//! control has to have both. A virtual machine carries out its own calls on its own kernel, harmlessly:
//! there the question makes no sense.

use guest::probe::Request;
use nix::libc::{self, c_long};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::ForkResult;
use runtime::container::Mechanism;

use super::super::check::{Absent, Check, Expect, Finding, Missing, OnHost, Scene, Twin};
use super::super::judge;
use super::super::kind::Kind;

const CLAIM: &str = "privilege";
const SOURCE: &str = "seccomp(2), syscall_64.tbl; the refused list of the engines' default profiles";
const FILTER: Twin = Twin::Without(&[Mechanism::Seccomp]);
/// No descriptor, no process, no processor.
const NONE: i64 = -1;

/// `id`, call, arguments, and what has to be gone for the kernel's own code to be reached.
macro_rules! calls {
    ($($id:literal $call:ident [$($argument:expr),*] $twin:expr;)*) => {
        &[$(Check {
            id: $id,
            claim: CLAIM,
            question: concat!("does ", stringify!($call), " reach the kernel?"),
            source: SOURCE,
            expect: by_filter,
            on_host: Some(|_| Known::find(stringify!($call), libc::$call, &[$($argument),*])),
            look: Some(|_| vec![call(libc::$call, &[$($argument),*])]),
            judge: reached,
            twin: $twin,
            ..Check::NOTHING
        }),*]
    };
}

/// For calls that ask for a capability over the host itself.
const ADMIN: Twin = Twin::Without(&[Mechanism::Seccomp, Mechanism::Capability(21)]);
const HOST_ADMIN: Twin =
    Twin::Without(&[Mechanism::Seccomp, Mechanism::UserNamespace, Mechanism::Capability(21)]);
const HOST_BOOT: Twin =
    Twin::Without(&[Mechanism::Seccomp, Mechanism::UserNamespace, Mechanism::Capability(22)]);
const HOST_MODULE: Twin =
    Twin::Without(&[Mechanism::Seccomp, Mechanism::UserNamespace, Mechanism::Capability(16)]);
const HOST_TIME: Twin =
    Twin::Without(&[Mechanism::Seccomp, Mechanism::UserNamespace, Mechanism::Capability(25)]);

/// Before Linux 6.13 opening by handle asks for CAP_DAC_READ_SEARCH over the host before it looks at the handle.
const HOST_HANDLE: Twin =
    Twin::Without(&[Mechanism::Seccomp, Mechanism::UserNamespace, Mechanism::Capability(2)]);
/// With kernel.dmesg_restrict the log asks for CAP_SYSLOG over the host.
const HOST_SYSLOG: Twin =
    Twin::Without(&[Mechanism::Seccomp, Mechanism::UserNamespace, Mechanism::Capability(34)]);

pub(super) const ALL: &[Check] = calls! {
    "call-mount" SYS_mount [0, 0, 0, 0, 0] FILTER;
    "call-umount" SYS_umount2 [0, 0] FILTER;
    "call-pivot-root" SYS_pivot_root [0, 0] ADMIN;
    "call-chroot" SYS_chroot [0] FILTER;
    "call-fsopen" SYS_fsopen [0, 0xffff] ADMIN;
    "call-open-tree" SYS_open_tree [NONE, 0, 0xffff_fff0] FILTER;
    "call-move-mount" SYS_move_mount [NONE, 0, NONE, 0, 0xffff_f000] ADMIN;
    "call-mount-setattr" SYS_mount_setattr [NONE, 0, 0xffff_f000, 0, 0] FILTER;
    "call-unshare-user" SYS_unshare [libc::CLONE_NEWUSER as i64] FILTER;
    "call-clone-user" SYS_clone [(libc::CLONE_NEWUSER | libc::CLONE_FS) as i64, 0, 0, 0, 0] FILTER;
    "call-setns" SYS_setns [NONE, 0] FILTER;
    "call-bpf" SYS_bpf [9999, 0, 0] FILTER;
    "call-perf-event" SYS_perf_event_open [0, 0, NONE, NONE, 0xffff] FILTER;
    "call-userfaultfd" SYS_userfaultfd [0xffff_ffff] FILTER;
    "call-io-uring" SYS_io_uring_enter [NONE, 0, 0, 0, 0, 0] FILTER;
    "call-add-key" SYS_add_key [0, 0, 0, 0, 0] FILTER;
    "call-request-key" SYS_request_key [0, 0, 0, 0] FILTER;
    "call-keyctl" SYS_keyctl [9999, 0, 0, 0, 0] FILTER;
    "call-open-by-handle" SYS_open_by_handle_at [NONE, 0, 0] HOST_HANDLE;
    "call-fanotify" SYS_fanotify_init [0xffff_ffff, 0] HOST_ADMIN;
    "call-quotactl" SYS_quotactl [0x7fff_ffff, 0, 0, 0] FILTER;
    "call-swapon" SYS_swapon [0, 0] HOST_ADMIN;
    "call-swapoff" SYS_swapoff [0] HOST_ADMIN;
    "call-kexec-load" SYS_kexec_load [0, 99_999, 0, 0] HOST_BOOT;
    "call-init-module" SYS_init_module [0, 0, 0] HOST_MODULE;
    "call-finit-module" SYS_finit_module [NONE, 0, 0] HOST_MODULE;
    "call-delete-module" SYS_delete_module [0, 0] HOST_MODULE;
    // The magic numbers are wrong: it cannot reboot anything.
    "call-reboot" SYS_reboot [0, 0, 0, 0] HOST_BOOT;
    "call-iopl" SYS_iopl [4] FILTER;
    "call-clock-settime" SYS_clock_settime [libc::CLOCK_REALTIME as i64, 0] FILTER;
    // Neither a time nor a zone: nothing is set.
    "call-settimeofday" SYS_settimeofday [0, 0] HOST_TIME;
    "call-clock-adjtime" SYS_clock_adjtime [libc::CLOCK_REALTIME as i64, 0] FILTER;
    "call-personality" SYS_personality [libc::ADDR_NO_RANDOMIZE as i64] FILTER;
    "call-ptrace" SYS_ptrace [9999, 0, 0, 0] FILTER;
    "call-process-vm-readv" SYS_process_vm_readv [0, 0, 0, 0, 0, 1] FILTER;
    "call-kcmp" SYS_kcmp [0, 0, 0, 0, 0] FILTER;
    "call-pidfd-getfd" SYS_pidfd_getfd [NONE, 0, 0] FILTER;
    "call-migrate-pages" SYS_migrate_pages [0, 0, 1, 1] FILTER;
    "call-vsock" SYS_socket [libc::AF_VSOCK as i64, libc::SOCK_STREAM as i64, 0] FILTER;
    // The size of the kernel's log buffer.
    "call-syslog" SYS_syslog [10, 0, 0] HOST_SYSLOG;
};

fn call(number: c_long, arguments: &[i64]) -> Request {
    Request::Call { number, arguments: arguments.to_vec() }
}

/// A call that the host's kernel has.
struct Known(&'static str);

impl Known {
    /// Makes the call outside, in a child, for ENOSYS inside may be a filter or a kernel without it.
    fn find(name: &'static str, number: c_long, arguments: &[i64]) -> Result<Box<dyn OnHost>, Absent> {
        let argument = |at: usize| arguments.get(at).copied().unwrap_or(0);
        let six = [argument(0), argument(1), argument(2), argument(3), argument(4), argument(5)];
        // SAFETY: the child makes two system calls and touches nothing of what other threads may hold.
        let child = match unsafe { nix::unistd::fork() } {
            Ok(ForkResult::Parent { child }) => child,
            // SAFETY: as above; nothing is returned to.
            Ok(ForkResult::Child) => unsafe {
                let result = libc::syscall(number, six[0], six[1], six[2], six[3], six[4], six[5]);
                let is_unknown = result == -1 && *libc::__errno_location() == libc::ENOSYS;
                libc::_exit(is_unknown.into());
            },
            Err(error) => return Err(Absent(format!("cannot fork: {error}"))),
        };
        match waitpid(child, None) {
            Ok(WaitStatus::Exited(_, 0)) => Ok(Box::new(Known(name))),
            Ok(WaitStatus::Exited(_, _)) => Err(Absent(format!("this host answers {name} with ENOSYS"))),
            other => Err(Absent(format!("{name} on this host: {other:?}"))),
        }
    }
}

impl OnHost for Known {
    fn witness(&self) -> Result<String, String> {
        Ok(format!("the host's kernel knows {}", self.0))
    }
}

fn by_filter(kind: Kind) -> Expect {
    match kind {
        Kind::Process => Expect::Open,
        Kind::Container | Kind::Runtime | Kind::Engine => Expect::Apart,
        Kind::Sandbox | Kind::Machine => Expect::Pointless("a kernel of its own carries it out, harmlessly"),
    }
}

fn reached(scene: &Scene<'_>) -> Result<Finding, Missing> {
    let errno = scene.look(0)?.number("errno")?;
    let told = judge::name(errno);
    Ok(match errno as i32 {
        libc::EPERM => Finding::Apart(told),
        libc::ENOSYS => Finding::Wrong("ENOSYS: a filter, or a kernel without the call".into()),
        libc::EAFNOSUPPORT => Finding::Absent("the kernel has no such family of sockets".into()),
        _ => Finding::Open(format!("the kernel's own code answered: {told}")),
    })
}
