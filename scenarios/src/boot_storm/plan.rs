//! What a boot storm is asked to do.

use serde::{Deserialize, Serialize};

use crate::blocks::Interleave;
use crate::storm::Arrival;
use crate::{Error, HostSize, Launch};

/// The default plan.
pub const DEFAULT: &str = include_str!("default.toml");

/// More instances than this in a storm is taken for a slip of the finger.
const MAX_INSTANCES: u32 = 100_000;

/// Everything that decides what a boot storm does; `run.json` holds it as resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What is started.
    #[serde(flatten)]
    pub launch: Launch,
    /// Attempts in a storm.
    pub instances: u32,
    /// Storms on each backend that count.
    pub storms: u32,
    /// Storms on each backend before those.
    #[serde(default)]
    pub warmup: u32,
    /// When attempts are due.
    pub arrival: Arrival,
    /// How storms of the backends alternate.
    #[serde(default)]
    pub interleave: Interleave,
    /// For testing the harness: the launcher stops for this long in the middle of each storm.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stall_launcher_ms: u64,
}

impl Plan {
    /// Its own keys, beside those of [`Launch`].
    pub(crate) const KEYS: &[&str] =
        &["instances", "storms", "warmup", "arrival", "interleave", "stall_launcher_ms"];

    /// The default plan as it stands in its file, not sized to any host.
    ///
    /// # Errors
    /// None in practice: the default plan is checked by a test.
    pub fn standard() -> Result<Plan, Error> {
        Ok(toml::from_str(DEFAULT)?)
    }

    /// The default plan sized so that a first run ends within two minutes, and what was chosen
    /// and why, in sentences.
    ///
    /// # Errors
    /// None in practice: the default plan is checked by a test.
    pub fn sized_for(host: &HostSize) -> Result<(Plan, Vec<String>), Error> {
        let mut plan = Plan::standard()?;
        // A microvm boot takes about 2 s of one core under TCG and 0.2 s under KVM; a VM of
        // 128 MiB occupies less than 256 MiB, and half of the free memory is left alone.
        let (per_core, most, storms, accelerator) = if host.kvm {
            (16, 128, 10, "hardware virtualization works")
        } else {
            (4, 16, 5, "no usable hardware virtualization, so a VM boot takes about 2 s of a core")
        };
        let by_cores = host.cores.max(1).saturating_mul(per_core).min(most);
        let by_memory = u32::try_from(host.mem_available_bytes / (512 << 20)).unwrap_or(most).max(1);
        plan.instances = by_cores.min(by_memory);
        plan.storms = storms;
        plan.launch.resolve_seed();
        let limited = if by_memory < by_cores { ", limited by free memory" } else { "" };
        let chosen = vec![
            format!(
                "{} instances a storm ({} cores, {} MiB free{limited})",
                plan.instances,
                host.cores,
                host.mem_available_bytes >> 20
            ),
            format!("{storms} storms and {} warm-up on each backend ({accelerator})", plan.warmup),
        ];
        Ok((plan, chosen))
    }

    /// The least storms a verdict rests on (METHOD, statistics), and no more.
    pub(crate) fn quicken(&mut self) {
        self.storms = self.storms.min(5);
    }

    /// Checks what the types do not.
    ///
    /// # Errors
    /// The first key whose value makes no sense.
    pub fn validate(&self) -> Result<(), Error> {
        let bad = |key, problem: String| Err(Error::Plan { key, problem });
        if !(1..=MAX_INSTANCES).contains(&self.instances) {
            return bad("instances", format!("{} is not within 1 to {MAX_INSTANCES}", self.instances));
        }
        if !(1..=10_000).contains(&self.storms) {
            return bad("storms", format!("{} is not within 1 to 10000", self.storms));
        }
        if self.warmup > 1_000 {
            return bad("warmup", format!("{} is above 1000", self.warmup));
        }
        Ok(())
    }

    /// What each backend is asked to do.
    pub(crate) fn would_do(&self) -> String {
        let attempts = u64::from(self.instances) * (u64::from(self.storms) + u64::from(self.warmup));
        format!(
            "{} storms and {} warm-up of {} instances, {attempts} attempts",
            self.storms, self.warmup, self.instances
        )
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(cores: u32, gib: u64, kvm: bool) -> HostSize {
        HostSize { cores, mem_available_bytes: gib << 30, kvm }
    }

    #[test]
    fn the_default_fits_two_minutes_on_two_cores_without_kvm() {
        let (plan, chosen) = Plan::sized_for(&host(2, 20, false)).expect("default plan");
        crate::Plan::BootStorm(plan.clone()).validate().expect("valid");
        let boots = plan.instances * (plan.storms + plan.warmup);
        assert!(f64::from(boots) * 2.0 / 2.0 < 80.0, "{boots} boots of 2 s on 2 cores");
        assert_eq!(chosen.len(), 2);
        assert_ne!(plan.launch.seed, 0);
    }

    #[test]
    fn size_follows_the_host() {
        let sized = |cores, gib, kvm| Plan::sized_for(&host(cores, gib, kvm)).expect("default").0.instances;
        assert!(sized(8, 64, true) > sized(8, 64, false));
        assert_eq!(sized(8, 0, true), 1);
        assert_eq!(sized(8, 1, true), 2);
    }

    #[test]
    fn nonsense_is_named() {
        let good = Plan::sized_for(&host(2, 20, false)).expect("default").0;
        type Spoil = fn(&mut Plan);
        let cases: [(&str, Spoil); 10] = [
            ("on", |plan| plan.launch.on.clear()),
            ("on", |plan| plan.launch.on = vec!["vm".into(), "vm".into()]),
            ("instances", |plan| plan.instances = 0),
            ("storms", |plan| plan.storms = 0),
            ("timeout_s", |plan| plan.launch.timeout_s = f64::NAN),
            ("cpus", |plan| plan.launch.cpus = Some(-1.0)),
            ("pids", |plan| plan.launch.pids = Some(0)),
            ("workload", |plan| plan.launch.workload = "htpp".into()),
            ("accel", |plan| plan.launch.accel = "hvf".into()),
            ("command", |plan| plan.launch.command = vec!["true".into()]),
        ];
        for (expected, spoil) in cases {
            let mut plan = good.clone();
            spoil(&mut plan);
            match crate::Plan::BootStorm(plan).validate() {
                Err(Error::Plan { key, .. }) => assert_eq!(key, expected),
                other => panic!("{expected}: {other:?}"),
            }
        }
    }
}
