//! `linux.seccomp` of a configuration as a program for seccomp(2).
//!
//! Meaning (config-linux.md, "Seccomp"; where it is silent, what runc does with libseccomp):
//! - The machine's own architecture is always included; a call by one not included ends the process.
//! - The first rule of a system call whose arguments match decides; where none does, the default action.
//! - Arguments of one rule must all match, but where two of them look at the same argument, one suffices.
//! - A name that an architecture does not have is passed over there. A name that no known architecture
//!   has is passed over too where that forbids no less: where the rule would allow it, or the default
//!   action forbids it. Else it is refused.
//!
//! The `seccompiler` crate has one action for all matches and one architecture per program, so that it
//! cannot express this.

mod assemble;
mod syscall;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSeccompOperator,
    LinuxSyscall,
};

use super::config::refuse;
use crate::Error;
use assemble::{Comparison, Condition, Decision, Rule, Section, assemble};
use syscall::Architecture;

/// The kernel's own limit of a program (BPF_MAXINSNS).
const MAX_INSTRUCTIONS: usize = 4096;
/// Largest number that a system call can return as an error (MAX_ERRNO).
const MAX_ERRNO: u32 = 4095;

/// A program for seccomp(2), and the flags to load it with.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Classic BPF over `struct seccomp_data`.
    pub program: Vec<libc::sock_filter>,
    /// SECCOMP_FILTER_FLAG_*.
    pub flags: u32,
}

/// Translates a profile.
///
/// # Errors
/// Where a field of it is not implemented, contradicts another or makes no program the kernel takes.
pub fn translate(profile: &LinuxSeccomp) -> Result<Filter, Error> {
    let at = "linux.seccomp";
    let default = action(profile.default_action(), profile.default_errno_ret(), at, "defaultErrnoRet")?;
    let mut architectures = vec![Architecture::NATIVE];
    for (index, arch) in profile.architectures().iter().flatten().enumerate() {
        let found = architecture(*arch).ok_or_else(|| {
            refuse(format!("{at}.architectures[{index}]"), format!("{arch} cannot run on this machine"))
        })?;
        if !architectures.contains(&found) {
            architectures.push(found);
        }
    }
    let mut rules: Vec<BTreeMap<u32, Vec<Rule>>> = vec![BTreeMap::new(); architectures.len()];
    for (index, syscall) in profile.syscalls().iter().flatten().enumerate() {
        let at = format!("{at}.syscalls[{index}]");
        add(syscall, &at, default, &architectures, &mut rules)?;
    }
    let mut sections: Vec<Section> = Vec::new();
    for (architecture, rules) in architectures.iter().zip(rules) {
        let decisions = rules.into_iter().map(|(number, rules)| (number, Decision::of(rules, default)));
        match sections.iter_mut().find(|section| section.audit == architecture.audit()) {
            // x86-64 and x32 differ by a bit of the number only.
            Some(section) => section.decisions.extend(decisions),
            None => sections.push(Section {
                audit: architecture.audit(),
                is_32_bit: architecture.is_32_bit(),
                decisions: decisions.collect(),
                forbidden: (*architecture == Architecture::X86_64
                    && !architectures.contains(&Architecture::X32))
                .then_some(syscall::X32_BIT..u32::MAX),
            }),
        }
    }
    let program = assemble(&sections, default);
    if program.len() > MAX_INSTRUCTIONS {
        let size = format!("becomes {} instructions, but the kernel takes {MAX_INSTRUCTIONS}", program.len());
        return Err(refuse(at, size));
    }
    Ok(Filter { program, flags: flags(profile)? })
}

fn add(
    syscall: &LinuxSyscall,
    at: &str,
    default: u32,
    architectures: &[Architecture],
    rules: &mut [BTreeMap<u32, Vec<Rule>>],
) -> Result<(), Error> {
    let verdict = action(syscall.action(), syscall.errno_ret(), at, "errnoRet")?;
    if syscall.names().is_empty() {
        return Err(refuse(format!("{at}.names"), "is empty"));
    }
    let alternatives = alternatives(syscall.args().as_deref().unwrap_or_default(), at)?;
    for (index, name) in syscall.names().iter().enumerate() {
        if !syscall::is_known(name) && verdict != libc::SECCOMP_RET_ALLOW && !forbids(default) {
            return Err(refuse(format!("{at}.names[{index}]"), format!("{name:?} is no known system call")));
        }
        for (architecture, rules) in architectures.iter().zip(&mut *rules) {
            if let Some(number) = architecture.number(name) {
                let of_call = rules.entry(number).or_default();
                of_call.extend(
                    alternatives.iter().map(|conditions| Rule { conditions: conditions.clone(), verdict }),
                );
            }
            let is_unconditional = alternatives == [[]];
            let multiplexed = architecture.multiplexed(name);
            // What such a call's arguments are lies in memory, which no program sees: an allowance
            // that depends on them is none.
            if let Some((number, call)) =
                multiplexed.filter(|_| is_unconditional || verdict != libc::SECCOMP_RET_ALLOW)
            {
                let first = Condition { argument: 0, comparison: Comparison::Equal(u64::from(call)) };
                rules.entry(number).or_default().push(Rule { conditions: vec![first], verdict });
            }
        }
    }
    Ok(())
}

/// Whether a call with this verdict is never carried out.
fn forbids(verdict: u32) -> bool {
    !matches!(
        verdict & libc::SECCOMP_RET_ACTION_FULL,
        libc::SECCOMP_RET_ALLOW | libc::SECCOMP_RET_LOG | libc::SECCOMP_RET_TRACE
    )
}

/// The conditions of a rule: those of one inner list must all hold, one list is enough.
fn alternatives(args: &[LinuxSeccompArg], at: &str) -> Result<Vec<Vec<Condition>>, Error> {
    let mut conditions = Vec::new();
    for (index, arg) in args.iter().enumerate() {
        let argument = u8::try_from(arg.index()).ok().filter(|argument| *argument < 6).ok_or_else(|| {
            refuse(format!("{at}.args[{index}].index"), "a system call has arguments 0 to 5")
        })?;
        let value = arg.value();
        let comparison = match arg.op() {
            LinuxSeccompOperator::ScmpCmpNe => Comparison::NotEqual(value),
            LinuxSeccompOperator::ScmpCmpLt => Comparison::Less(value),
            LinuxSeccompOperator::ScmpCmpLe => Comparison::LessOrEqual(value),
            LinuxSeccompOperator::ScmpCmpEq => Comparison::Equal(value),
            LinuxSeccompOperator::ScmpCmpGe => Comparison::GreaterOrEqual(value),
            LinuxSeccompOperator::ScmpCmpGt => Comparison::Greater(value),
            LinuxSeccompOperator::ScmpCmpMaskedEq => {
                Comparison::Masked { mask: value, value: arg.value_two().unwrap_or(0) }
            }
        };
        if arg.value_two().unwrap_or(0) != 0 && arg.op() != LinuxSeccompOperator::ScmpCmpMaskedEq {
            let why = "only SCMP_CMP_MASKED_EQ has a second value";
            return Err(refuse(format!("{at}.args[{index}].valueTwo"), why));
        }
        conditions.push(Condition { argument, comparison });
    }
    let is_repeated = |condition: &Condition| {
        conditions.iter().filter(|other| other.argument == condition.argument).count() > 1
    };
    if conditions.iter().any(is_repeated) {
        return Ok(conditions.into_iter().map(|condition| vec![condition]).collect());
    }
    Ok(vec![conditions])
}

/// The value the program returns (seccomp(2)).
fn action(
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    at: &str,
    errno_field: &str,
) -> Result<u32, Error> {
    let field = |why: String| refuse(format!("{at}.{errno_field}"), why);
    let data = |most: u32| match errno_ret {
        None => Ok(libc::EPERM as u32),
        Some(number) if number <= most => Ok(number),
        Some(number) => Err(field(format!("{number} is more than {most}"))),
    };
    let plain = match action {
        LinuxSeccompAction::ScmpActErrno => return Ok(libc::SECCOMP_RET_ERRNO | data(MAX_ERRNO)?),
        LinuxSeccompAction::ScmpActTrace => return Ok(libc::SECCOMP_RET_TRACE | data(0xffff)?),
        LinuxSeccompAction::ScmpActNotify => {
            return Err(refuse(at, "SCMP_ACT_NOTIFY is not implemented"));
        }
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => {
            libc::SECCOMP_RET_KILL_THREAD
        }
        LinuxSeccompAction::ScmpActKillProcess => libc::SECCOMP_RET_KILL_PROCESS,
        LinuxSeccompAction::ScmpActTrap => libc::SECCOMP_RET_TRAP,
        LinuxSeccompAction::ScmpActLog => libc::SECCOMP_RET_LOG,
        LinuxSeccompAction::ScmpActAllow => libc::SECCOMP_RET_ALLOW,
    };
    match errno_ret {
        None | Some(0) => Ok(plain),
        Some(_) => Err(field(format!("{action} returns no number"))),
    }
}

fn flags(profile: &LinuxSeccomp) -> Result<u32, Error> {
    let mut flags = 0;
    for (index, flag) in profile.flags().iter().flatten().enumerate() {
        flags |= match flag {
            // The process has one thread when it loads the program: nothing to synchronise.
            LinuxSeccompFilterFlag::SeccompFilterFlagTsync => 0,
            LinuxSeccompFilterFlag::SeccompFilterFlagLog => libc::SECCOMP_FILTER_FLAG_LOG as u32,
            LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW as u32,
            LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => {
                let why = format!("{flag} is for SCMP_ACT_NOTIFY, which is not implemented");
                return Err(refuse(format!("linux.seccomp.flags[{index}]"), why));
            }
        };
    }
    Ok(flags)
}

fn architecture(arch: Arch) -> Option<Architecture> {
    let found = match arch {
        Arch::ScmpArchNative => Architecture::NATIVE,
        Arch::ScmpArchX86_64 => Architecture::X86_64,
        Arch::ScmpArchX86 => Architecture::X86,
        Arch::ScmpArchX32 => Architecture::X32,
        Arch::ScmpArchAarch64 => Architecture::Aarch64,
        Arch::ScmpArchArm => Architecture::Arm,
        _ => return None,
    };
    found.runs_here().then_some(found)
}
