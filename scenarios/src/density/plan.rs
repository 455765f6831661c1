//! What a density run is asked to do.

use serde::{Deserialize, Serialize};

use super::until::Until;
use crate::{Error, HostSize, Launch};

/// The default plan.
pub const DEFAULT: &str = include_str!("default.toml");

/// More instances than this are taken for a slip of the finger.
const MOST: u32 = 100_000;
/// Less than this is taken for a slip of the unit.
const LEAST_BALLOON_BYTES: u64 = 16 << 20;

/// Everything that decides what a density run does; `run.json` holds it as resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What is started.
    #[serde(flatten)]
    pub launch: Launch,
    /// When to stop growing.
    pub until: Until,
    /// Instances at most on single backends, `BACKEND=N` each: what fits of one kind may be far more
    /// than of another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub most: Vec<String>,
    /// Steps up to a number; without a number, instances added in each step.
    pub steps: u32,
    /// Repetitions on each backend.
    pub storms: u32,
    /// Requests each instance answers between the two looks at the last step.
    #[serde(default)]
    pub requests: u32,
    /// Bytes that machines with a balloon are left with once they have grown and worked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balloon_bytes: Option<u64>,
    /// Share of all memory that stays available whatever is asked.
    pub reserve: f64,
    /// What to do about KSM.
    pub ksm: Ksm,
    /// What of the host may be switched for the run, and is put back: `ksm`.
    #[serde(default)]
    pub allow: Vec<String>,
}

/// Kernel samepage merging (Documentation/admin-guide/mm/ksm.rst).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ksm {
    /// As the host has it.
    Leave,
    /// Off while growing, then on, and looked at again when it is done.
    Compare,
}

impl Plan {
    /// Its own keys, beside those of [`Launch`].
    pub(crate) const KEYS: &[&str] =
        &["until", "most", "steps", "storms", "requests", "balloon_bytes", "reserve", "ksm", "allow"];

    /// The default plan sized to the host, and what was chosen and why.
    ///
    /// # Errors
    /// None in practice: the default plan is checked by a test.
    pub fn sized_for(host: &HostSize) -> Result<(Plan, Vec<String>), Error> {
        let mut plan: Plan = toml::from_str(DEFAULT)?;
        // A VM of 128 MiB occupies less than 256 MiB; half of the free memory is left alone. A boot
        // takes about 2 s of a core under TCG.
        let by_memory = u32::try_from(host.mem_available_bytes / (512 << 20)).unwrap_or(1).max(1);
        let by_cores = host.cores.max(1) * if host.kvm { 32 } else { 8 };
        let most = by_memory.min(by_cores).clamp(1, 64);
        plan.until = Until::Count(most);
        plan.launch.resolve_seed();
        let chosen = vec![format!(
            "up to {most} instances in {} steps, {} repetitions on each backend ({} cores, {} MiB free)",
            plan.steps,
            plan.storms,
            host.cores,
            host.mem_available_bytes >> 20
        )];
        Ok((plan, chosen))
    }

    /// The least repetitions that have an interval.
    pub(crate) fn quicken(&mut self) {
        self.storms = 2;
    }

    /// Checks what the types do not.
    ///
    /// # Errors
    /// The first key whose value makes no sense.
    pub fn validate(&self) -> Result<(), Error> {
        let bad = |key, problem: String| Err(Error::Plan { key, problem });
        if let Until::Count(count) = self.until
            && count > MOST
        {
            return bad("until", format!("{count} is above {MOST}"));
        }
        if let Some(wrong) = self.most.iter().find(|word| most_of(word).is_none()) {
            return bad("most", format!("{wrong:?} is not BACKEND=N, as in vm:restore=64"));
        }
        if !(1..=10_000).contains(&self.steps) {
            return bad("steps", format!("{} is not within 1 to 10000", self.steps));
        }
        if !(1..=1_000).contains(&self.storms) {
            return bad("storms", format!("{} is not within 1 to 1000", self.storms));
        }
        if !(0.02..=0.9).contains(&self.reserve) {
            return bad("reserve", format!("{} is not within 0.02 to 0.9", self.reserve));
        }
        if self.requests > 100_000 {
            return bad("requests", format!("{} is above 100000", self.requests));
        }
        if self.balloon_bytes.is_some_and(|bytes| bytes < LEAST_BALLOON_BYTES) {
            return bad(
                "balloon_bytes",
                format!("no system lives in less than {} MiB", LEAST_BALLOON_BYTES >> 20),
            );
        }
        if let Some(unknown) = self.allow.iter().find(|what| *what != "ksm") {
            return bad("allow", format!("{unknown:?} is nothing this scenario would switch; there is: ksm"));
        }
        if self.ksm == Ksm::Compare && !self.allow.iter().any(|what| what == "ksm") {
            return bad(
                "ksm",
                "comparing switches the host's KSM on and puts it back; say --allow ksm to let it".into(),
            );
        }
        Ok(())
    }

    /// What each backend is asked to do.
    pub(crate) fn would_do(&self) -> String {
        let most =
            if self.most.is_empty() { String::new() } else { format!(", at most {}", self.most.join(", ")) };
        match self.until {
            Until::Count(count) => {
                format!("{} repetitions of growing to {count} in {} steps{most}", self.storms, self.steps)
            }
            until => format!("{} repetitions of growing by {} until {until}{most}", self.storms, self.steps),
        }
    }

    /// When `backend` has grown enough.
    pub(super) fn until_on(&self, backend: &str) -> Until {
        let most = self.most.iter().filter_map(|word| most_of(word)).find(|(name, _)| *name == backend);
        match (self.until, most) {
            (Until::Count(count), Some((_, most))) => Until::Count(count.min(most)),
            (until, _) => until,
        }
    }

    /// How many should live on `backend` after step `step`, from 1. `None`: the growth is over.
    pub(super) fn goal(&self, step: u32, backend: &str) -> Option<u32> {
        let most = self.most.iter().filter_map(|word| most_of(word)).find(|(name, _)| *name == backend);
        let most = most.map_or(MOST, |(_, most)| most);
        match self.until_on(backend) {
            Until::Count(count) => {
                let steps = self.steps.min(count);
                let goal = u64::from(count) * u64::from(step) / u64::from(steps);
                (step <= steps).then_some(goal as u32)
            }
            Until::Failure | Until::Free(_) => self.steps.checked_mul(step).filter(|goal| *goal <= most),
        }
    }
}

/// `BACKEND=N`.
fn most_of(word: &str) -> Option<(&str, u32)> {
    let (backend, most) = word.rsplit_once('=')?;
    let backend = if backend == "vm" { "vm:direct" } else { backend };
    Some((backend, most.parse().ok().filter(|most| (1..=MOST).contains(most))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan::sized_for(&HostSize { cores: 2, mem_available_bytes: 20 << 30, kvm: false }).expect("default").0
    }

    #[test]
    fn steps_are_even_and_end_at_the_number() {
        let mut plan = plan();
        plan.until = Until::Count(10);
        plan.steps = 4;
        assert_eq!((1..6).map_while(|step| plan.goal(step, "a")).collect::<Vec<_>>(), [2, 5, 7, 10]);
        plan.steps = 100;
        assert_eq!((1..20).map_while(|step| plan.goal(step, "a")).count(), 10);
        plan.until = Until::Failure;
        assert_eq!(plan.goal(3, "a"), Some(300));
        assert_eq!(plan.goal(1001, "a"), None);
    }

    #[test]
    fn one_backend_may_end_earlier_than_the_others() {
        let mut plan = plan();
        plan.until = Until::Count(1000);
        plan.steps = 4;
        plan.most = vec!["vm:restore=64".into()];
        plan.validate().expect("valid");
        let goals = |backend| (1..9).map_while(|step| plan.goal(step, backend)).collect::<Vec<_>>();
        assert_eq!(goals("container"), [250, 500, 750, 1000]);
        assert_eq!(goals("vm:restore"), [16, 32, 48, 64]);
        plan.until = Until::Failure;
        assert_eq!(plan.goal(16, "vm:restore"), Some(64));
        assert_eq!(plan.goal(17, "vm:restore"), None);
        for wrong in ["64", "vm:restore=0", "vm:restore=x"] {
            plan.most = vec![wrong.into()];
            assert!(matches!(plan.validate(), Err(Error::Plan { key: "most", .. })), "{wrong}");
        }
    }

    #[test]
    fn the_hosts_ksm_is_switched_by_permission_only() {
        let mut plan = plan();
        plan.validate().expect("default");
        plan.ksm = Ksm::Compare;
        assert!(matches!(plan.validate(), Err(Error::Plan { key: "ksm", .. })));
        plan.allow = vec!["ksm".into()];
        plan.validate().expect("allowed");
        plan.allow.push("swap".into());
        assert!(matches!(plan.validate(), Err(Error::Plan { key: "allow", .. })));
    }
}
