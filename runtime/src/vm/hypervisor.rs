//! QEMU made ready for the machines of one run.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;

use super::accel::{self, Choice};
use super::instance::{self, Firmware, Launch, Vm};
use super::monitor::Monitor;
use super::options::{Accel, Machine, Options};
use super::reach::Access;
use super::{qemu, user};
use crate::cgroup::{Cgroup, Hierarchies};
use crate::event::EventSink;
use crate::spawn::User;
use crate::watch::Watch;
use crate::{Error, InstanceName, LaunchSpec, Limits, Requirement, RunContext};

/// What all machines of a run share.
pub(super) struct Hypervisor {
    pub(super) program: PathBuf,
    /// First line of `--version`.
    pub(super) version: String,
    pub(super) choice: Choice,
    pub(super) machine: Machine,
    pub(super) watch: Arc<Watch>,
    run_id: String,
    hierarchies: Option<Hierarchies>,
    pub(super) access: Access,
}

/// What every machine needs of the host, and `further`.
pub(super) fn requirements(
    options: &Options,
    further: impl IntoIterator<Item = Requirement>,
) -> Vec<Requirement> {
    let accelerator = accel::requirement(options, &crate::cache_dir());
    std::iter::once(qemu::requirement(options.qemu.as_deref())).chain(further).chain(accelerator).collect()
}

/// What one machine adds.
pub(super) struct Start<'a> {
    pub(super) name: &'a InstanceName,
    pub(super) limits: &'a Limits,
    pub(super) arguments: &'a [String],
    /// See [`Launch::files`].
    pub(super) files: &'a [BorrowedFd<'a>],
    /// See [`Launch::service`].
    pub(super) service: Option<SocketAddr>,
    pub(super) firmware: Firmware,
}

impl Hypervisor {
    /// Finds QEMU, settles the accelerator, opens the cgroup hierarchies.
    pub(super) fn prepare(context: &RunContext, options: &Options) -> Result<Hypervisor, Error> {
        let program = qemu::required(options.qemu.as_deref())?;
        let is_root = rustix::process::geteuid().is_root();
        Ok(Hypervisor {
            version: qemu::version(&program).unwrap_or_default(),
            choice: accel::accelerator(options, &context.cache_dir)?,
            machine: options.machine,
            watch: context.watch.clone(),
            run_id: context.run_id.clone(),
            access: Access::of(context)?,
            hierarchies: is_root.then(Hierarchies::of_host).transpose()?,
            program,
        })
    }

    /// [`Accel::Kvm`] or [`Accel::Tcg`].
    pub(super) fn accel(&self) -> Accel {
        self.choice.accel
    }

    /// Starts a machine in a cgroup of its own and as a user of its own, where this program is root.
    pub(super) fn start(
        &self,
        start: &Start<'_>,
        events: &EventSink,
        before: impl FnOnce(&mut Monitor) -> Result<(), Error>,
    ) -> Result<Vm, Error> {
        let limits = of_host(start.limits);
        let group = |hierarchies| Cgroup::create(hierarchies, &self.run_id, &start.name.to_string(), &limits);
        if self.hierarchies.is_none() && limits != of_host(&Limits::default()) {
            return Err(Error::Invalid(
                "shares and parts of a processor are held by a cgroup of QEMU's, which takes root".into(),
            ));
        }
        let launch = Launch {
            program: &self.program,
            arguments: start.arguments,
            files: start.files,
            user: self.user(start.name),
            cgroup: self.hierarchies.as_ref().map(group).transpose()?,
            service: start.service,
            firmware: start.firmware,
        };
        instance::start(launch, &self.watch, events, before)
    }

    fn user(&self, name: &InstanceName) -> Option<User> {
        user::unprivileged(self.accel(), &self.run_id, name)
    }

    /// For the record: what all kinds of machines have, and `own`, which is an object.
    pub(super) fn describe(&self, own: serde_json::Value) -> serde_json::Value {
        let mut described = serde_json::json!({
            "qemu": self.version,
            "accelerator": self.accel().name(),
            "accelerator_chosen": self.choice.how,
            "machine": self.machine.name(),
            "user": self.described_user(),
        });
        if let (Some(described), serde_json::Value::Object(own)) = (described.as_object_mut(), own) {
            described.extend(own);
        }
        described
    }

    /// Whom machines run as.
    fn described_user(&self) -> &'static str {
        if self.user(&InstanceName { storm: 0, index: 0 }).is_some() {
            "an unprivileged one for each machine"
        } else {
            "that of the harness"
        }
    }
}

/// A machine's processes are its own.
pub(super) fn refuse_pids(spec: &LaunchSpec) -> Result<(), Error> {
    cannot_hold(&spec.limits).map_or(Ok(()), |why| Err(Error::Invalid(why)))
}

/// Why no machine can be held to `limits`.
pub(super) fn cannot_hold(limits: &Limits) -> Option<String> {
    let why = "a VM's processes are its own: ask for no limit of pids, or leave vm out";
    limits.pids.is_some().then(|| why.into())
}

/// RAM of a machine that is not told otherwise.
const DEFAULT_MEMORY_BYTES: u64 = 128 << 20;

/// RAM and virtual CPUs of a machine within `limits`.
pub(super) fn size(limits: &Limits) -> (u64, u64) {
    let vcpus = limits.cpus.map_or(1, |cpus| cpus.ceil().max(1.0) as u64);
    (limits.memory_bytes.unwrap_or(DEFAULT_MEMORY_BYTES), vcpus)
}

/// What the host holds QEMU to. What the guest may have is what it is told ([`size`]); what all of
/// QEMU takes is accounted for. Shares, and part of a processor where that is less than the virtual
/// ones, only the host can hold.
fn of_host(limits: &Limits) -> Limits {
    Limits {
        account_memory: true,
        cpus: limits.cpus.filter(|cpus| cpus.fract() > 0.0),
        cpu_period_us: limits.cpu_period_us,
        cpu_weight: limits.cpu_weight,
        cpuset_cpus: limits.cpuset_cpus.clone(),
        cpuset_mems: limits.cpuset_mems.clone(),
        io_weight: limits.io_weight,
        io: limits.io.clone(),
        ..Limits::default()
    }
}
