//! What the program may do: capabilities, no_new_privs, the system call filter (capabilities(7), prctl(2)).

use super::report::{Label, Labels, Report};
use super::setup::{Capabilities, Seccomp, Setup};
use super::syscall::{Answer, raw};
use crate::Error;

/// _LINUX_CAPABILITY_VERSION_3 (capset(2)).
const VERSION_3: u32 = 0x2008_0522;
const SECCOMP_SET_MODE_FILTER: usize = libc::SECCOMP_SET_MODE_FILTER as usize;

/// Privileges to be given up.
#[derive(Debug)]
pub(super) struct Privileges {
    capabilities: Option<(Label, Capabilities)>,
    dropped: Label,
    /// What the kernel knows, as bits.
    known: u64,
    no_new_privs: bool,
    seccomp: Option<(Label, Seccomp)>,
}

impl Privileges {
    pub(super) fn new(setup: &Setup, labels: &mut Labels) -> Result<Privileges, Error> {
        let known = known()?;
        if let Some(sets) = &setup.process.capabilities {
            check(sets, known)?;
        }
        if let Some(seccomp) = &setup.process.seccomp
            && (seccomp.program.is_empty() || seccomp.program.len() > usize::from(u16::MAX))
        {
            return Err(Error::Invalid(format!(
                "a system call filter of {} instructions is none the kernel takes",
                seccomp.program.len()
            )));
        }
        Ok(Privileges {
            capabilities: setup.process.capabilities.map(|sets| (labels.add("set capabilities"), sets)),
            dropped: labels.add("drop capabilities from the bounding set"),
            known,
            no_new_privs: setup.process.no_new_privs,
            seccomp: setup
                .process
                .seccomp
                .clone()
                .map(|filter| (labels.add("install the system call filter"), filter)),
        })
    }

    /// Takes from the bounding set. Before the change of user, which takes the right to.
    ///
    /// # Safety
    /// In the child.
    pub(super) unsafe fn bound(&self, report: &Report) -> Answer<()> {
        let Some((_, sets)) = &self.capabilities else { return Ok(()) };
        report.at(self.dropped);
        let mut dropped = self.known & !sets.bounding;
        while dropped != 0 {
            // SAFETY: no memory is involved.
            unsafe { raw!(SYS_prctl, libc::PR_CAPBSET_DROP, dropped.trailing_zeros(), 0, 0, 0) }?;
            dropped &= dropped - 1;
        }
        Ok(())
    }

    /// Sets the other sets, and from here on no execution gives more.
    ///
    /// # Safety
    /// In the child.
    pub(super) unsafe fn drop(&self, report: &Report) -> Answer<()> {
        // SAFETY: header and data have the layout of capset(2), version 3, and live through the call.
        unsafe {
            if !self.no_new_privs && self.seccomp.is_some() {
                // Allowed to the privileged only, so before the privileges go (seccomp(2)); a user
                // other than root has what is permitted not in effect.
                put_permitted_in_effect()?;
                self.filter_calls(report)?;
            }
            if let Some((label, sets)) = &self.capabilities {
                report.at(*label);
                let header = [VERSION_3, 0];
                let (low, high) = (|set: u64| set as u32, |set: u64| (set >> 32) as u32);
                let (e, p, i) = (sets.effective, sets.permitted, sets.inheritable);
                let data = [low(e), low(p), low(i), high(e), high(p), high(i)];
                raw!(SYS_capset, header.as_ptr(), data.as_ptr())?;
                raw!(SYS_prctl, libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)?;
                let mut ambient = sets.ambient;
                while ambient != 0 {
                    let number = ambient.trailing_zeros();
                    raw!(SYS_prctl, libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, number, 0, 0)?;
                    ambient &= ambient - 1;
                }
            }
            if self.no_new_privs {
                raw!(SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)?;
            }
        }
        Ok(())
    }

    /// The filter of a program that gains nothing by executing: the very last step before it.
    ///
    /// # Safety
    /// In the child.
    pub(super) unsafe fn filter_last(&self, report: &Report) -> Answer<()> {
        // SAFETY: passed on.
        if self.no_new_privs { unsafe { self.filter_calls(report) } } else { Ok(()) }
    }

    unsafe fn filter_calls(&self, report: &Report) -> Answer<()> {
        let Some((label, filter)) = &self.seccomp else { return Ok(()) };
        report.at(*label);
        let program = libc::sock_fprog {
            len: filter.program.len() as libc::c_ushort,
            filter: filter.program.as_ptr().cast_mut().cast(),
        };
        // SAFETY: an instruction is 8 bytes without padding, as a number is; both live through the call.
        unsafe { raw!(SYS_seccomp, SECCOMP_SET_MODE_FILTER, filter.flags, &raw const program) }?;
        Ok(())
    }
}

/// After a change of user from root capabilities are kept, but not in effect (capabilities(7)).
///
/// # Safety
/// In the child.
unsafe fn put_permitted_in_effect() -> Answer<()> {
    let header = [VERSION_3, 0];
    // Effective, permitted, inheritable of the lower half, then of the upper half.
    let mut data = [0u32; 6];
    // SAFETY: header and data have the layout of capget(2), version 3, and live through the calls.
    unsafe {
        raw!(SYS_capget, header.as_ptr(), data.as_mut_ptr())?;
        (data[0], data[3]) = (data[1], data[4]);
        raw!(SYS_capset, header.as_ptr(), data.as_ptr()).map(drop)
    }
}

/// All capabilities this kernel knows.
fn known() -> Result<u64, Error> {
    let path = "/proc/sys/kernel/cap_last_cap";
    let text = std::fs::read_to_string(path).map_err(Error::system(format!("read {path}")))?;
    let last: u32 =
        text.trim().parse().map_err(|_| Error::Invalid(format!("{path} says {text:?}, no number")))?;
    Ok(u64::MAX >> (63 - last.min(63)))
}

fn check(sets: &Capabilities, known: u64) -> Result<(), Error> {
    let unknown =
        (sets.bounding | sets.effective | sets.permitted | sets.inheritable | sets.ambient) & !known;
    if unknown != 0 {
        return Err(Error::Invalid(format!(
            "capability number {} is not known to this kernel",
            unknown.trailing_zeros()
        )));
    }
    // The rules of capset(2) and capabilities(7), told here by name and not by EPERM there.
    let within = |what: &str, small: u64, of: &str, large: u64| match small & !large {
        0 => Ok(()),
        more => Err(Error::Invalid(format!(
            "capability number {} is in the {what} set and not in the {of} set",
            more.trailing_zeros()
        ))),
    };
    within("effective", sets.effective, "permitted", sets.permitted)?;
    within("ambient", sets.ambient, "permitted", sets.permitted)?;
    within("ambient", sets.ambient, "inheritable", sets.inheritable)
}
