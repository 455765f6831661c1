//! What a run of the checks is asked to do.

use serde::{Deserialize, Serialize};

use super::check::Check;
use super::{list, mutate};
use crate::inside::Version;
use crate::{Error, HostSize, Launch};

/// The default plan.
pub const DEFAULT: &str = include_str!("default.toml");

/// Everything that decides what a run does; `run.json` holds it as resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What is started.
    #[serde(flatten)]
    pub launch: Launch,
    /// Checks, claims or globs; empty = all.
    #[serde(default)]
    pub check: Vec<String>,
    /// `on` or `off`: whether each check is tried with its mechanism removed.
    pub controls: String,
    /// Versions of cgroups under which the checks of cgroups are asked of a container in a virtual machine too.
    #[serde(default)]
    pub inside: Vec<Version>,
    /// For tests of the checks themselves: `all`, or a mechanism to be left out of `container`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutate: Option<String>,
}

impl Plan {
    /// Its own keys, beside those of [`Launch`].
    pub(crate) const KEYS: &[&str] = &["check", "controls", "inside", "mutate"];

    /// The default plan.
    ///
    /// # Errors
    /// None in practice: the default plan is checked by a test.
    pub fn sized_for(_host: &HostSize) -> Result<(Plan, Vec<String>), Error> {
        let mut plan: Plan = toml::from_str(DEFAULT)?;
        plan.launch.resolve_seed();
        let chosen = vec![format!("{} checks", list::all().len())];
        Ok((plan, chosen))
    }

    /// The checks are few seconds each way; there is nothing to leave out but the controls, and without
    /// those they say nothing.
    pub(crate) fn quicken(&mut self) {}

    /// Checks what the types do not.
    ///
    /// # Errors
    /// The first key whose value makes no sense.
    pub fn validate(&self) -> Result<(), Error> {
        let bad = |key, problem: String| Err(Error::Plan { key, problem });
        if let Some(unknown) = self.check.iter().find(|pattern| list::matching(pattern).is_empty()) {
            return bad(
                "check",
                format!("{unknown:?} is no check, claim or glob that fits one (see --list)"),
            );
        }
        if !["on", "off"].contains(&self.controls.as_str()) {
            return bad("controls", format!("{:?} is not on or off", self.controls));
        }
        if let Some(Err(problem)) = self.mutate.as_deref().map(mutate::mechanisms) {
            return bad("mutate", problem);
        }
        if self.launch.workload != "ready" {
            return bad(
                "workload",
                format!("{:?}: the checks bring their own, leave it at ready", self.launch.workload),
            );
        }
        Ok(())
    }

    /// What each backend is asked to do.
    pub(crate) fn would_do(&self) -> String {
        let controls = if self.has_controls() { "" } else { " without" };
        format!("{} checks{controls} with their controls", self.checks().len())
    }

    /// The checks asked for, in the order of the list.
    pub fn checks(&self) -> Vec<&'static Check> {
        let mut checks = list::all();
        if !self.check.is_empty() {
            let wanted: Vec<&str> =
                self.check.iter().flat_map(|pattern| list::matching(pattern)).map(|check| check.id).collect();
            checks.retain(|check| wanted.contains(&check.id));
        }
        checks
    }

    pub(crate) fn has_controls(&self) -> bool {
        self.controls == "on"
    }
}
