//! What a drill is asked to do.

use guest::Protocol;
use serde::{Deserialize, Serialize};

use crate::{Error, HostSize, Launch};

/// The default plan.
pub const DEFAULT: &str = include_str!("default.toml");

/// Everything that decides what a drill does; `run.json` holds it as resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What is started.
    #[serde(flatten)]
    pub launch: Launch,
    /// Instances that serve.
    pub instances: u32,
    /// Drills on each backend and mode.
    pub storms: u32,
    /// What dies at once.
    pub modes: Vec<Mode>,
    /// Requests a second over all instances together.
    pub rate: f64,
    /// Load before the failure and after the recovery, in seconds.
    pub calm_s: f64,
}

/// What dies at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Everything, and everything is started again at once.
    All,
    /// One instance; the next when the one before serves again.
    Rolling,
}

impl Mode {
    /// As in plan and rows.
    pub fn name(self) -> &'static str {
        match self {
            Mode::All => "all",
            Mode::Rolling => "rolling",
        }
    }
}

impl Plan {
    /// Its own keys, beside those of [`Launch`].
    pub(crate) const KEYS: &[&str] = &["instances", "storms", "modes", "rate", "calm_s"];

    /// The default plan sized to the host, and what was chosen and why.
    ///
    /// # Errors
    /// None in practice: the default plan is checked by a test.
    pub fn sized_for(host: &HostSize) -> Result<(Plan, Vec<String>), Error> {
        let mut plan: Plan = toml::from_str(DEFAULT)?;
        let by_cores = host.cores.max(1).saturating_mul(if host.kvm { 8 } else { 4 });
        let by_memory = u32::try_from(host.mem_available_bytes / (512 << 20)).unwrap_or(1).max(1);
        plan.instances = by_cores.min(by_memory).min(64);
        plan.launch.resolve_seed();
        let chosen = vec![format!(
            "{} instances, {} drills of each kind on each backend ({} cores, {} MiB free)",
            plan.instances,
            plan.storms,
            host.cores,
            host.mem_available_bytes >> 20
        )];
        Ok((plan, chosen))
    }

    /// The drill the article speaks of, as often as an interval needs.
    pub(crate) fn quicken(&mut self) {
        self.storms = 3;
        self.modes = vec![Mode::All];
    }

    /// Checks what the types do not.
    ///
    /// # Errors
    /// The first key whose value makes no sense.
    pub fn validate(&self) -> Result<(), Error> {
        let bad = |key, problem: String| Err(Error::Plan { key, problem });
        if !(1..=10_000).contains(&self.instances) {
            return bad("instances", format!("{} is not within 1 to 10000", self.instances));
        }
        if !(1..=1_000).contains(&self.storms) {
            return bad("storms", format!("{} is not within 1 to 1000", self.storms));
        }
        if self.modes.is_empty() {
            return bad("modes", "none given; there are all and rolling".into());
        }
        if !(0.1..=10_000.0).contains(&self.rate) {
            return bad("rate", format!("{} is not within 0.1 to 10000 requests a second", self.rate));
        }
        if !(0.0..=600.0).contains(&self.calm_s) {
            return bad("calm_s", format!("{} is not within 0 to 600", self.calm_s));
        }
        self.protocol().map(drop)
    }

    /// How the instances are asked.
    ///
    /// # Errors
    /// A workload that answers nothing.
    pub(super) fn protocol(&self) -> Result<Protocol, Error> {
        self.launch.parsed_workload()?.protocol().ok_or_else(|| Error::Plan {
            key: "workload",
            problem: format!(
                "{:?} answers no requests; a drill needs http or service=KIND",
                self.launch.workload
            ),
        })
    }

    /// What each backend is asked to do.
    pub(crate) fn would_do(&self) -> String {
        let modes: Vec<&str> = self.modes.iter().map(|mode| mode.name()).collect();
        format!(
            "{} drills ({}) of {} instances under {} requests a second",
            self.storms,
            modes.join(", "),
            self.instances,
            self.rate
        )
    }
}
