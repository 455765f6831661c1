//! The contract between those who start instances and those who try things with them.

use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use guest::Plan;

use crate::cgroup::{Limits, Statistics};
use crate::event::EventSink;
use crate::image::Image;
use crate::network::Network;
use crate::watch::Watch;

/// One way to start an instance.
pub trait Backend: Send + Sync {
    /// Its name, `family` or `family:variant`.
    fn id(&self) -> String;

    /// What it is, in one line.
    fn description(&self) -> &'static str;

    /// What this host must have, each with its state as measured now.
    fn requirements(&self) -> Vec<Requirement>;

    /// Does once per run what all instances share: unpacks the image, opens cgroups, builds an
    /// initramfs. Nothing of it may be part of an instance's own start that a user would pay for
    /// each time.
    ///
    /// # Errors
    /// What could not be prepared, and what the system said.
    fn prepare(&self, context: &RunContext, image: &Image) -> Result<Arc<dyn Prepared>, Error>;
}

/// A backend made ready for one image.
pub trait Prepared: Send + Sync {
    /// The full launch configuration, spelled out: what a reader needs to do the same by hand.
    fn config(&self) -> serde_json::Value;

    /// Does once what all launches of such a plan within such limits share and a user would not
    /// pay for each time: the template of machines that are restored. Launching without having
    /// asked for it is allowed, and slow once.
    ///
    /// # Errors
    /// What could not be made.
    fn get_ready(&self, _plan: &Plan, _limits: &Limits) -> Result<(), Error> {
        Ok(())
    }

    /// What is not as usual here and a reader should know before believing a number of it.
    fn remark(&self) -> Option<String> {
        None
    }

    /// Why instances cannot be held to `limits` here; `None` where they can, as far as that is known
    /// without trying.
    fn cannot_hold(&self, _limits: &Limits) -> Option<String> {
        None
    }

    /// Starts an instance that goes on from what one of the same plan and limits was saved as. As
    /// [`Prepared::launch`] otherwise; its workload says no second time that it is ready.
    ///
    /// # Errors
    /// Where the mechanism is missing or refuses.
    fn go_on(
        &self,
        _spec: &LaunchSpec,
        _saved: &Saved,
        _events: EventSink,
    ) -> Result<Box<dyn Instance>, Error> {
        Err(Error::Missing { what: "this backend does not save its instances".into(), fix: None })
    }

    /// Starts one instance and returns as soon as it runs on its own; what becomes of it is told
    /// to `events`. Must be called on a thread that lives as long as the run: the kernel sends
    /// the parent-death signal when the *thread* that made a child ends (prctl(2)).
    ///
    /// # Errors
    /// What could not be started. Nothing of the instance is left behind then.
    fn launch(&self, spec: &LaunchSpec, events: EventSink) -> Result<Box<dyn Instance>, Error>;
}

/// One started workload. Dropping it kills it and removes what it had.
pub trait Instance: Send {
    /// Where the workload's service is reached from this host once it listens on `guest_port`.
    fn service(&self, guest_port: u16) -> Option<std::net::SocketAddr>;

    /// The network namespace the address of [`Instance::service`] belongs to; `None` = this host's own.
    ///
    /// # Errors
    /// Where the instance has ended.
    fn network_namespace(&self) -> Result<Option<OwnedFd>, Error> {
        Ok(None)
    }

    /// The process of this host that was started for it: the workload itself, a container's init, a
    /// foreign runtime, a virtual machine's monitor. `None` where there is none to look at.
    fn root_pid(&self) -> Option<i32> {
        None
    }

    /// What it occupies now.
    ///
    /// # Errors
    /// Where the kernel's files cannot be read, for example because it has ended.
    fn memory(&self) -> Result<Footprint, Error>;

    /// What the host's kernel has counted of it so far, limits it has hit included.
    ///
    /// # Errors
    /// Where it is in no group of its own or has ended.
    fn statistics(&self) -> Result<Statistics, Error> {
        Err(Error::Missing {
            what: "this backend puts its instances into no cgroup that we know".into(),
            fix: None,
        })
    }

    /// Stops its execution without ending it.
    ///
    /// # Errors
    /// Where the mechanism is missing or refuses.
    fn pause(&mut self) -> Result<(), Error>;

    /// Lets it go on.
    ///
    /// # Errors
    /// As [`Instance::pause`].
    fn resume(&mut self) -> Result<(), Error>;

    /// Has it give memory back to the host, or take it again, until it has `bytes` (a VM's balloon);
    /// returns what it has then.
    ///
    /// # Errors
    /// Where it cannot, which most cannot, or has not within `patience`.
    fn set_memory(&mut self, bytes: u64, patience: Duration) -> Result<u64, Error> {
        let _ = (bytes, patience);
        Err(Error::Invalid("this instance has no balloon to give memory back with".into()))
    }

    /// Asks it to end, as the host of one does (SIGTERM; the power button), and ends it where it has
    /// not within `patience`, or cannot be asked.
    ///
    /// # Errors
    /// As [`Instance::stop`].
    fn shut_down(&mut self, patience: Duration) -> Result<Exit, Error> {
        let _ = patience;
        self.stop()
    }

    /// Writes down all it is, so that another instance can go on from there ([`Prepared::go_on`]). It
    /// may stand still afterwards and has to be stopped.
    ///
    /// # Errors
    /// Where the mechanism is missing, with what it says, or refuses.
    fn save(&mut self) -> Result<Saved, Error> {
        Err(Error::Missing { what: "this backend does not save its instances".into(), fix: None })
    }

    /// Ends it at once with everything it started, waits until that is so, and removes its
    /// cgroups, mounts and files.
    ///
    /// # Errors
    /// What could not be removed.
    fn stop(&mut self) -> Result<Exit, Error>;
}

/// What an instance was saved as.
#[derive(Debug)]
pub struct Saved {
    /// All of it, in a file of memory that nobody can change.
    pub(crate) state: OwnedFd,
    /// How much that is.
    pub bytes: u64,
}

/// How an instance ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl From<std::process::ExitStatus> for Exit {
    fn from(status: std::process::ExitStatus) -> Exit {
        match status.signal() {
            Some(signal) => Exit::Signal(signal),
            None => Exit::Code(status.code().unwrap_or(-1)),
        }
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit status {code}"),
            Exit::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// Memory of one instance in bytes, by the accounting methods that work for it. `None` where one does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Σ resident set size.
    pub rss_bytes: Option<u64>,
    /// Σ proportional set size (smaps_rollup).
    pub pss_bytes: Option<u64>,
    /// Σ private pages, clean and dirty.
    pub private_bytes: Option<u64>,
    /// Σ virtual size.
    pub virtual_bytes: Option<u64>,
    /// What its memory cgroup is charged with, kernel memory included.
    pub cgroup_bytes: Option<u64>,
}

/// One instance of one storm of one run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InstanceName {
    /// Storm number, from 0.
    pub storm: u32,
    /// Instance number within its storm, from 0.
    pub index: u32,
}

impl std::fmt::Display for InstanceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s{}-i{}", self.storm, self.index)
    }
}

/// What one launch is asked to start.
#[derive(Clone, Debug)]
pub struct LaunchSpec {
    /// Unique name within the run.
    pub name: InstanceName,
    /// What the guest program is told.
    pub plan: Plan,
    /// Limits.
    pub limits: Limits,
}

/// What all backends of a run share.
#[derive(Clone)]
pub struct RunContext {
    /// Identifier of the run, unique on this host: `[a-z0-9-]+`, at most 24 bytes.
    pub run_id: String,
    /// Private folder (mode 0700) for sockets, upper layers and the like, removed with the run.
    pub state_dir: PathBuf,
    /// Folder for what outlives runs (unpacked kernels, initramfs by digest).
    pub cache_dir: PathBuf,
    /// Stamps events.
    pub watch: Arc<Watch>,
    /// How instances are reached.
    pub network: Arc<Network>,
}

/// One thing a backend needs of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// What is needed.
    pub what: String,
    /// `Ok(what was found)` or `Err(why not)`.
    pub state: Result<String, String>,
    /// The command or change that fixes it where it is missing.
    pub fix: Option<String>,
}

/// What could not be done, to what, what the system said, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused a step.
    #[error("cannot {action}: {source}")]
    System {
        /// What was being done, to what.
        action: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something is not as it must be.
    #[error("{0}")]
    Invalid(String),
    /// A requirement of the host is not met.
    #[error("{what}{}", fix.as_ref().map(|fix| format!(" (try: {fix})")).unwrap_or_default())]
    Missing {
        /// What is missing and how that was found.
        what: String,
        /// The command that fixes it.
        fix: Option<String>,
    },
}

impl Error {
    /// For `map_err`: the system refused `action`.
    pub fn system<E: Into<std::io::Error>>(action: impl Into<String>) -> impl FnOnce(E) -> Error {
        let action = action.into();
        move |source| Error::System { action, source: source.into() }
    }
}
