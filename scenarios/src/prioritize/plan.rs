//! What is to be tried.

use serde::{Deserialize, Serialize};

use super::{Mechanism, Version};
use crate::{Error, HostSize, Launch};

/// The default plan.
pub const DEFAULT: &str = include_str!("default.toml");

/// Everything that decides what is tried; `run.json` holds it as resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What is started.
    #[serde(flatten)]
    pub launch: Launch,
    /// What is tried.
    pub mechanisms: Vec<Mechanism>,
    /// Repetitions of each on each backend.
    pub storms: u32,
    /// How long shares of the processor are looked at, in seconds.
    pub window_s: f64,
    /// Pieces of work of the victim beside a hog.
    pub pulses: u32,
    /// Versions of cgroups under which the same is asked of a container in a virtual machine.
    pub inside: Vec<Version>,
}

impl Plan {
    /// Its own keys, beside those of [`Launch`].
    pub(crate) const KEYS: &[&str] = &["mechanisms", "storms", "window_s", "pulses", "inside"];

    /// The default plan, and what was chosen and why.
    ///
    /// # Errors
    /// None in practice: the default plan is checked by a test.
    pub fn sized_for(host: &HostSize) -> Result<(Plan, Vec<String>), Error> {
        let mut plan: Plan = toml::from_str(DEFAULT)?;
        plan.launch.resolve_seed();
        let chosen = vec![format!(
            "{} mechanisms, {} repetitions of each on each backend ({} cores)",
            plan.mechanisms.len(),
            plan.storms,
            host.cores
        )];
        Ok((plan, chosen))
    }

    /// The least repetitions that have an interval.
    pub(crate) fn quicken(&mut self) {
        self.storms = 2;
        self.window_s = 1.0;
    }

    /// Checks what the types do not.
    ///
    /// # Errors
    /// The first key whose value makes no sense.
    pub fn validate(&self) -> Result<(), Error> {
        let bad = |key, problem: String| Err(Error::Plan { key, problem });
        if self.mechanisms.is_empty() {
            let all: Vec<&str> = Mechanism::ALL.into_iter().map(Mechanism::name).collect();
            return bad("mechanisms", format!("none given; there are {}", all.join(", ")));
        }
        if let Some(twice) =
            self.mechanisms.iter().enumerate().find(|(at, one)| self.mechanisms[..*at].contains(one))
        {
            return bad("mechanisms", format!("{} is given twice", twice.1.name()));
        }
        if !(1..=1_000).contains(&self.storms) {
            return bad("storms", format!("{} is not within 1 to 1000", self.storms));
        }
        if !(0.2..=600.0).contains(&self.window_s) {
            return bad("window_s", format!("{} is not within 0.2 to 600", self.window_s));
        }
        if !(1..=100_000).contains(&self.pulses) {
            return bad("pulses", format!("{} is not within 1 to 100000", self.pulses));
        }
        if self.launch.workload != "ready" {
            let problem = format!(
                "{:?}: each mechanism has workloads of its own here; leave it at ready",
                self.launch.workload
            );
            return bad("workload", problem);
        }
        for (key, given) in [
            ("memory_bytes", self.launch.memory_bytes.is_some()),
            ("cpus", self.launch.cpus.is_some()),
            ("pids", self.launch.pids.is_some()),
        ] {
            if given {
                return bad(key, "limits are what is tried here, and are the mechanisms' own".into());
            }
        }
        Ok(())
    }

    /// What each backend is asked to do.
    pub(crate) fn would_do(&self) -> String {
        let names: Vec<&str> = self.mechanisms.iter().map(|one| one.name()).collect();
        format!("{} repetitions of {}", self.storms, names.join(", "))
    }

    /// The window in nanoseconds.
    pub(super) fn window_ns(&self) -> u64 {
        (self.window_s * 1e9) as u64
    }
}
