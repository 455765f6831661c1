//! What a boot storm is asked to do.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;

use guest::Workload;
use runtime::{Limits, vm};
use serde::{Deserialize, Serialize};

use super::Arrival;
use crate::Error;

/// The default plan.
pub const DEFAULT: &str = include_str!("default.toml");

/// More instances than this in a storm is taken for a slip of the finger.
const MAX_INSTANCES: u32 = 100_000;

/// Everything that decides what a run does; `run.json` holds it as resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Backends or families, in the order asked for.
    pub on: Vec<String>,
    /// Attempts in a storm.
    pub instances: u32,
    /// Storms on each backend that count.
    pub storms: u32,
    /// Storms on each backend before those.
    #[serde(default)]
    pub warmup: u32,
    /// When attempts are due.
    pub arrival: Arrival,
    /// `ready`, `http`, `memory=SIZE`, `cpu` or `command`.
    pub workload: String,
    /// For the workload `command`: program and arguments; empty = the image's own.
    #[serde(default)]
    pub command: Vec<String>,
    /// Seed of everything random; 0 = make one up ([`Plan::resolve_seed`]).
    #[serde(default)]
    pub seed: u64,
    /// Deadline of an attempt in seconds after it was begun.
    pub timeout_s: f64,
    /// Longest wait between storms for the host to become quiet, in seconds.
    pub settle_s: f64,
    /// Image reference.
    pub image: String,
    /// `auto`, `kvm` or `tcg`.
    pub accel: String,
    /// `microvm`, `pc` or `q35`.
    pub machine: String,
    /// Guest kernel; found where absent.
    #[serde(default)]
    pub kernel: Option<PathBuf>,
    /// Memory limit of an instance in bytes; for a VM the size of its RAM.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// Processor limit of an instance.
    #[serde(default)]
    pub cpus: Option<f64>,
    /// Limit of processes and threads of an instance.
    #[serde(default)]
    pub pids: Option<u64>,
    /// For testing the harness: the launcher stops for this long in the middle of each storm.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stall_launcher_ms: u64,
}

/// What of the host decides how much a run can ask of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostSize {
    /// Processors this program may use.
    pub cores: u32,
    /// MemAvailable.
    pub mem_available_bytes: u64,
    /// Whether hardware virtualization is proven to work.
    pub kvm: bool,
}

impl Plan {
    /// Reads a plan; every key the text leaves out must have a default.
    ///
    /// # Errors
    /// Where the text is no TOML, or has a key or value that is not known.
    pub fn from_toml(text: &str) -> Result<Plan, Error> {
        Ok(toml::from_str(text)?)
    }

    /// The default plan sized so that a first run ends within two minutes, and what was chosen
    /// and why, in sentences.
    ///
    /// # Errors
    /// None in practice: the default plan is checked by a test.
    pub fn sized_for(host: &HostSize) -> Result<(Plan, Vec<String>), Error> {
        let mut plan = Plan::from_toml(DEFAULT)?;
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
        plan.resolve_seed();
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

    /// Makes up a seed where none was given. Below 2^53, so that every JSON reader keeps it.
    pub fn resolve_seed(&mut self) {
        while self.seed == 0 {
            // The standard library's hasher keys come from the system's entropy.
            self.seed = RandomState::new().build_hasher().finish() >> 32;
        }
    }

    /// Checks what the types do not.
    ///
    /// # Errors
    /// The first key whose value makes no sense.
    pub fn validate(&self) -> Result<(), Error> {
        let bad = |key, problem: String| Err(Error::Plan { key, problem });
        if self.on.is_empty() {
            return bad("on", "no backend given; try process,container,vm".into());
        }
        if let Some(twice) = self.on.iter().enumerate().find(|(at, name)| self.on[..*at].contains(name)) {
            return bad("on", format!("{:?} is given twice", twice.1));
        }
        if !(1..=MAX_INSTANCES).contains(&self.instances) {
            return bad("instances", format!("{} is not within 1 to {MAX_INSTANCES}", self.instances));
        }
        if !(1..=10_000).contains(&self.storms) {
            return bad("storms", format!("{} is not within 1 to 10000", self.storms));
        }
        if self.warmup > 1_000 {
            return bad("warmup", format!("{} is above 1000", self.warmup));
        }
        for (key, seconds, least) in [("timeout_s", self.timeout_s, 1e-3), ("settle_s", self.settle_s, 0.0)] {
            if !(least..=86_400.0).contains(&seconds) {
                return bad(key, format!("{seconds} is not within {least} s to a day"));
            }
        }
        if let Some(cpus) = self.cpus
            && !(0.001..=1024.0).contains(&cpus)
        {
            return bad("cpus", format!("{cpus} is not within 0.001 to 1024"));
        }
        if self.memory_bytes == Some(0) || self.pids == Some(0) {
            let key = if self.pids == Some(0) { "pids" } else { "memory_bytes" };
            return bad(key, "a limit of 0 leaves nothing to start with".into());
        }
        if !self.command.is_empty() && self.workload != "command" {
            return bad("command", format!("given, but the workload is {:?}", self.workload));
        }
        self.parsed_workload()?;
        self.vm_options()?;
        Ok(())
    }

    /// The workload with its command.
    ///
    /// # Errors
    /// Where it names none.
    pub fn parsed_workload(&self) -> Result<Workload, Error> {
        match self.workload.parse() {
            Ok(Workload::Command { .. }) => Ok(Workload::Command { argv: self.command.clone() }),
            Ok(workload) => Ok(workload),
            Err(error) => Err(Error::Plan { key: "workload", problem: format!("{error}") }),
        }
    }

    /// What VM backends are told.
    ///
    /// # Errors
    /// Where accelerator or machine are not known.
    pub fn vm_options(&self) -> Result<vm::Options, Error> {
        let accel = vm::Accel::from_name(&self.accel).ok_or_else(|| Error::Plan {
            key: "accel",
            problem: format!("{:?} is not auto, kvm or tcg", self.accel),
        })?;
        let machine = vm::Machine::from_name(&self.machine).ok_or_else(|| Error::Plan {
            key: "machine",
            problem: format!("{:?} is not microvm, pc or q35", self.machine),
        })?;
        Ok(vm::Options { accel, machine, kernel: self.kernel.clone() })
    }

    /// Limits of each instance.
    pub fn limits(&self) -> Limits {
        Limits { memory_bytes: self.memory_bytes, cpus: self.cpus, pids: self.pids }
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
        plan.validate().expect("valid");
        let boots = plan.instances * (plan.storms + plan.warmup);
        assert!(f64::from(boots) * 2.0 / 2.0 < 80.0, "{boots} boots of 2 s on 2 cores");
        assert_eq!(chosen.len(), 2);
        assert_ne!(plan.seed, 0);
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
            ("on", |plan| plan.on.clear()),
            ("on", |plan| plan.on = vec!["vm".into(), "vm".into()]),
            ("instances", |plan| plan.instances = 0),
            ("storms", |plan| plan.storms = 0),
            ("timeout_s", |plan| plan.timeout_s = f64::NAN),
            ("cpus", |plan| plan.cpus = Some(-1.0)),
            ("pids", |plan| plan.pids = Some(0)),
            ("workload", |plan| plan.workload = "htpp".into()),
            ("accel", |plan| plan.accel = "hvf".into()),
            ("command", |plan| plan.command = vec!["true".into()]),
        ];
        for (expected, spoil) in cases {
            let mut plan = good.clone();
            spoil(&mut plan);
            match plan.validate() {
                Err(Error::Plan { key, .. }) => assert_eq!(key, expected),
                other => panic!("{expected}: {other:?}"),
            }
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        let text = format!("{DEFAULT}\ninstanecs = 3\n");
        assert!(Plan::from_toml(&text).expect_err("refused").to_string().contains("instanecs"));
    }
}
