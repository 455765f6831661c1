//! A setup made ready: checked, its paths taken apart, its options spelled as the kernel wants them.

use std::ffi::{CString, c_char};

use super::device::Devices;
use super::hidden::Hidden;
use super::identity::{Identity, Maps};
use super::mount::Mounts;
use super::namespace::Namespaces;
use super::privilege::Privileges;
use super::process::{Process, pointers};
use super::report::{Label, Labels};
use super::root::Root;
use super::setup::{Namespace, Rlimit, Setup};
use crate::Error;

/// Carried out once for each instance, by [`start`](Compiled::start).
#[derive(Debug)]
pub struct Compiled {
    pub(super) labels: Labels,
    /// At the program itself.
    pub(super) executed: Label,
    pub(super) namespaces: Namespaces,
    pub(super) maps: Option<Maps>,
    pub(super) identity: Identity,
    pub(super) root: Root,
    pub(super) mounts: Mounts,
    pub(super) devices: Devices,
    pub(super) hidden: Hidden,
    pub(super) process: Process,
    pub(super) privileges: Privileges,
    pub(super) rlimits: Vec<Rlimit>,
    pub(super) oom_score_adj: Option<i32>,
    pub(super) loopback: bool,
    pub(super) close_descriptors: bool,
    pub(super) args: Vec<CString>,
    pub(super) env: Vec<CString>,
    pub(super) envp: Vec<*const c_char>,
    /// Whether a child may share this program's memory until it executes: only where nobody else is
    /// in its process id namespace, who could reach that memory through it (ptrace(2), CVE-2016-9962).
    pub(super) may_share_memory: bool,
}

// SAFETY: the pointers of `envp` are to the strings of `env` beside them, which do not change.
unsafe impl Send for Compiled {}
// SAFETY: as above.
unsafe impl Sync for Compiled {}

impl Compiled {
    /// Checks and prepares. Opens the namespaces that are joined, nothing else.
    ///
    /// # Errors
    /// What cannot be carried out, by name.
    pub fn new(setup: &Setup) -> Result<Compiled, Error> {
        let mut labels = Labels::default();
        let namespaces = Namespaces::new(setup, &mut labels)?;
        if setup.loopback && setup.namespaces.network != Namespace::New {
            return Err(Error::Invalid(
                "the loopback interface is brought up in a new network namespace only".into(),
            ));
        }
        let env = setup.process.env.clone();
        let program = setup.process.args.first().map(|name| name.to_string_lossy()).unwrap_or_default();
        let executed = labels.add(format!("execute {program}"));
        Ok(Compiled {
            maps: setup.id_maps.as_ref().map(Maps::new).transpose()?,
            identity: Identity::new(setup, &mut labels)?,
            root: Root::new(setup, &mut labels)?,
            mounts: Mounts::new(&setup.mounts, &mut labels)?,
            devices: Devices::new(setup, &mut labels)?,
            hidden: Hidden::new(setup, &mut labels)?,
            process: Process::new(setup, &mut labels)?,
            privileges: Privileges::new(setup, &mut labels)?,
            rlimits: setup.process.rlimits.clone(),
            oom_score_adj: setup.process.oom_score_adj,
            loopback: setup.loopback,
            close_descriptors: setup.process.close_descriptors,
            args: setup.process.args.clone(),
            may_share_memory: setup.namespaces.pid == Namespace::New
                && !namespaces.joins()
                && !namespaces.needs_memory(),
            namespaces,
            executed,
            labels,
            envp: pointers(&env),
            env,
        })
    }

    /// Whether the parent has something to do for each child before it can go on.
    pub(super) fn needs_parent(&self) -> bool {
        debug_assert_eq!(self.env.len() + 1, self.envp.len());
        self.maps.is_some() || self.oom_score_adj.is_some() || !self.rlimits.is_empty()
    }
}
