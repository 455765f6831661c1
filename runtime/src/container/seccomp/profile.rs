//! The default profile, in the spirit of the engines'.
//!
//! A closed set: calls known when this was written are allowed unless they are listed here, whatever
//! a later kernel adds is answered with ENOSYS, so that programs take the way they know. Refused is
//! what reaches beyond the container or is a wide door into the kernel that its programs do not need.

use super::Action;
use super::assemble::assemble;
use crate::container::setup::Seccomp;

/// The last call of the tables of Linux 6.12: listmount, statmount, lsm_*, mseal, setxattrat … removexattrat.
pub(super) const LAST_KNOWN: u32 = 466;
/// Namespace flags of clone(2) and unshare(2), CLONE_NEWTIME included.
const NEW_NAMESPACES: u32 = 0x7e02_0000 | 0x80;
/// Personalities that only change what uname(2) tells: PER_LINUX, PER_LINUX32, UNAME26 with each; and the question.
const PERSONALITIES: [u32; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Refused with EPERM.
const REFUSED: [libc::c_long; 57] = [
    // Mounts and roots.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    // Namespaces.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    // Files by handle instead of by path (the way out of 2014's "shocker").
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_fanotify_init,
    // Kernel code.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Other processes' memory.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    libc::SYS_mbind,
    libc::SYS_set_mempolicy,
    libc::SYS_get_mempolicy,
    libc::SYS_set_mempolicy_home_node,
    // Keys, which no namespace but the user's parts.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // The machine.
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_vhangup,
    libc::SYS_nfsservctl,
    libc::SYS_lookup_dcookie,
    // Clocks.
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
];
/// Refused too, where the architecture has them.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[libc::c_long] = &[
    libc::SYS_kexec_file_load,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_sysfs,
    libc::SYS__sysctl,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[libc::c_long] = &[libc::SYS_kexec_file_load];

/// The profile, assembled.
pub(in crate::container) fn standard() -> Seccomp {
    Seccomp { program: assemble(&rules(), LAST_KNOWN), flags: 0 }
}

/// What is not simply allowed.
pub(super) fn rules() -> Vec<(u32, Action)> {
    let refused =
        REFUSED.iter().chain(REFUSED_HERE).map(|number| (*number as u32, Action::Errno(libc::EPERM)));
    let mut rules: Vec<(u32, Action)> = refused.collect();
    rules.extend([
        // Its flags are in memory, where no filter can look: without it programs use clone(2).
        (libc::SYS_clone3 as u32, Action::Errno(libc::ENOSYS)),
        (libc::SYS_clone as u32, Action::RefuseBits { argument: 0, bits: NEW_NAMESPACES }),
        // AF_VSOCK reaches the hypervisor around every namespace.
        (libc::SYS_socket as u32, Action::RefuseValue { argument: 0, value: libc::AF_VSOCK as u32 }),
        (libc::SYS_personality as u32, Action::OnlyValues { argument: 0, values: &PERSONALITIES }),
        // Puts keys into a terminal (CVE-2016-2779 and its kind).
        (libc::SYS_ioctl as u32, Action::RefuseValue { argument: 1, value: libc::TIOCSTI as u32 }),
    ]);
    rules
}
