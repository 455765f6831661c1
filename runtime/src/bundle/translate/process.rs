//! `process`: what is executed, as whom, with which rights.

use std::collections::HashSet;
use std::ffi::CString;

use oci_spec::runtime::{Capability, LinuxSeccomp, PosixRlimitType, Process as Wanted};

use super::super::config::refuse;
use super::super::seccomp;
use crate::Error;
use crate::container::setup::{Capabilities, Process, Rlimit, Seccomp};

/// Umask where none is asked for.
const UMASK: u32 = 0o022;

/// The process, confined by `profile`.
///
/// # Errors
/// The first field that cannot be carried out, by its JSON path.
pub fn process(wanted: &Wanted, profile: Option<&LinuxSeccomp>) -> Result<Process, Error> {
    let user = wanted.user();
    for (field, id) in [("process.user.uid", user.uid()), ("process.user.gid", user.gid())] {
        if id == u32::MAX {
            return Err(refuse(field, "is no id: the kernel's own value for none"));
        }
    }
    let umask = user.umask().unwrap_or(UMASK);
    if umask > 0o777 {
        return Err(refuse("process.user.umask", format!("{umask:o} (octal) is more than 777")));
    }
    if let Some(score) = wanted.oom_score_adj().filter(|score| !(-1000..=1000).contains(score)) {
        return Err(refuse("process.oomScoreAdj", format!("{score} is not -1000 to 1000")));
    }
    let strings = |list: &Option<Vec<String>>, field: &str| -> Result<Vec<CString>, Error> {
        let list = list.iter().flatten().enumerate();
        list.map(|(index, text)| {
            CString::new(text.as_str()).map_err(|_| refuse(format!("process.{field}[{index}]"), "has a NUL"))
        })
        .collect()
    };
    let seccomp = match profile {
        None => None,
        Some(profile) => {
            let filter = seccomp::translate(profile)?;
            // SAFETY: an instruction is eight bytes of plain data without padding.
            let word = |one: libc::sock_filter| unsafe { std::mem::transmute::<libc::sock_filter, u64>(one) };
            Some(Seccomp { program: filter.program.into_iter().map(word).collect(), flags: filter.flags })
        }
    };
    Ok(Process {
        args: strings(wanted.args(), "args")?,
        env: strings(wanted.env(), "env")?,
        cwd: super::inside(wanted.cwd(), "process.cwd")?,
        uid: user.uid(),
        gid: user.gid(),
        groups: user.additional_gids().clone().unwrap_or_default(),
        umask,
        capabilities: Some(capabilities(wanted)?),
        no_new_privs: wanted.no_new_privileges().unwrap_or(false),
        seccomp,
        rlimits: wanted
            .rlimits()
            .iter()
            .flatten()
            .map(|limit| Rlimit { resource: resource(limit.typ()), soft: limit.soft(), hard: limit.hard() })
            .collect(),
        oom_score_adj: wanted.oom_score_adj(),
        nice: None,
        own_keyring: true,
        close_descriptors: true,
    })
}

/// Without the field the process has none at all, as with crun and runc.
fn capabilities(wanted: &Wanted) -> Result<Capabilities, Error> {
    let Some(sets) = wanted.capabilities() else { return Ok(Capabilities::default()) };
    let mask = |set: &Option<HashSet<Capability>>| {
        set.iter().flatten().fold(0u64, |mask, capability| mask | 1 << number(*capability))
    };
    let permitted = mask(sets.permitted());
    let inheritable = mask(sets.inheritable());
    let found = Capabilities {
        bounding: mask(sets.bounding()),
        effective: mask(sets.effective()),
        permitted,
        inheritable,
        // No process can have others as ambient (capabilities(7)), and `runc spec` writes them so.
        ambient: mask(sets.ambient()) & permitted & inheritable,
    };
    // The kernel's rules (capabilities(7)), told before it refuses.
    if found.effective & !found.permitted != 0 {
        return Err(refuse("process.capabilities.effective", "has one that is not in permitted"));
    }
    Ok(found)
}

/// All capabilities in the order of the kernel's numbers (include/uapi/linux/capability.h).
const CAPABILITIES: [Capability; 41] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

fn number(capability: Capability) -> usize {
    CAPABILITIES.iter().position(|known| *known == capability).unwrap_or_default()
}

/// Names of all capabilities that are understood.
pub fn capability_names() -> Vec<String> {
    CAPABILITIES.iter().map(|capability| format!("CAP_{capability}")).collect()
}

fn resource(kind: PosixRlimitType) -> u32 {
    match kind {
        PosixRlimitType::RlimitCpu => libc::RLIMIT_CPU,
        PosixRlimitType::RlimitFsize => libc::RLIMIT_FSIZE,
        PosixRlimitType::RlimitData => libc::RLIMIT_DATA,
        PosixRlimitType::RlimitStack => libc::RLIMIT_STACK,
        PosixRlimitType::RlimitCore => libc::RLIMIT_CORE,
        PosixRlimitType::RlimitRss => libc::RLIMIT_RSS,
        PosixRlimitType::RlimitNproc => libc::RLIMIT_NPROC,
        PosixRlimitType::RlimitNofile => libc::RLIMIT_NOFILE,
        PosixRlimitType::RlimitMemlock => libc::RLIMIT_MEMLOCK,
        PosixRlimitType::RlimitAs => libc::RLIMIT_AS,
        PosixRlimitType::RlimitLocks => libc::RLIMIT_LOCKS,
        PosixRlimitType::RlimitSigpending => libc::RLIMIT_SIGPENDING,
        PosixRlimitType::RlimitMsgqueue => libc::RLIMIT_MSGQUEUE,
        PosixRlimitType::RlimitNice => libc::RLIMIT_NICE,
        PosixRlimitType::RlimitRtprio => libc::RLIMIT_RTPRIO,
        PosixRlimitType::RlimitRttime => libc::RLIMIT_RTTIME,
    }
}
