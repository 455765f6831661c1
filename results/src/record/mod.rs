//! The rows of a run folder. Times are nanoseconds of the host's CLOCK_MONOTONIC since the run
//! began, sizes are bytes.

mod cell;
mod check;
mod memory;
mod reading;
mod run;

use serde::{Deserialize, Serialize};

pub use cell::{Cell, CellOutcome};
pub use check::{Check, CheckVerdict};
pub use memory::{KsmSample, MemoryState, MemoryStep};
pub use reading::{Reading, ReadingOutcome};
pub use run::{Run, SCHEMA_VERSION};

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It reached what the storm waited for.
    Ready,
    /// It could not be started, or ended before.
    Failed,
    /// Its deadline passed.
    Timeout,
    /// The user interrupted the run.
    Killed,
}

/// A row of `attempts.csv`. Absent times did not happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// Storm number, from 0; warm-up storms are numbered too and listed in `run.json`.
    pub storm: u32,
    /// Backend.
    pub backend: String,
    /// Instance number within its storm, from 0.
    pub instance: u32,
    /// Hash of the full launch configuration, spelled out in `run.json`.
    pub config: String,
    /// When it was due.
    pub scheduled_ns: u64,
    /// When the launcher began with it.
    pub started_ns: Option<u64>,
    /// When the first instruction of the workload had run.
    pub ready_ns: Option<u64>,
    /// When the workload's first answer arrived.
    pub serving_ns: Option<u64>,
    /// When it had ended.
    pub stopped_ns: Option<u64>,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, where it is not `ready`.
    pub error: String,
}

/// A row of `phases.csv`. The phases of an attempt tile start → ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Storm number.
    pub storm: u32,
    /// Backend.
    pub backend: String,
    /// Instance number.
    pub instance: u32,
    /// Name.
    pub phase: String,
    /// Begin.
    pub begin_ns: u64,
    /// End.
    pub end_ns: u64,
}

/// A row of `measures.csv`: something about an attempt that is no time of its start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    /// Storm number.
    pub storm: u32,
    /// Backend.
    pub backend: String,
    /// Instance number.
    pub instance: u32,
    /// What, with its unit as in `overlay_bytes`.
    pub measure: String,
    /// How much.
    pub value: u64,
}

/// A row of `host.csv`: the host and the canary during one sampling interval.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostSample {
    /// End of the interval.
    pub at_ns: u64,
    /// Storm that was under way; absent between storms (`baseline`).
    pub storm: Option<u32>,
    /// Backend of that storm.
    pub backend: String,
    /// CPU use of the whole host, 0 to 1.
    pub cpu_used_ratio: Option<f64>,
    /// CPU time stolen by the host's own hypervisor, 0 to 1.
    pub cpu_steal_ratio: Option<f64>,
    /// MemAvailable.
    pub mem_available_bytes: Option<u64>,
    /// Bytes read from disks in the interval.
    pub disk_read_bytes: Option<u64>,
    /// Bytes written to disks in the interval.
    pub disk_written_bytes: Option<u64>,
    /// PSI cpu `some`, share of the interval (from `total`). Absent where the kernel has no PSI.
    pub psi_cpu_some_ratio: Option<f64>,
    /// PSI io `some`.
    pub psi_io_some_ratio: Option<f64>,
    /// PSI memory `some`.
    pub psi_memory_some_ratio: Option<f64>,
    /// Processes made per second.
    pub forks_per_s: Option<f64>,
    /// Median latency of the canary's task within the interval.
    pub canary_p50_ns: Option<u64>,
    /// Worst latency of the canary's task within the interval.
    pub canary_max_ns: Option<u64>,
    /// Tasks the canary finished in the interval.
    pub canary_tasks: Option<u64>,
    /// Instances started and not yet stopped.
    pub live_instances: u64,
}

/// A row of `storms.csv`: what was asked of a storm, and how long it lasted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storm {
    /// Storm number.
    pub storm: u32,
    /// Backend.
    pub backend: String,
    /// Kept but not counted.
    pub warmup: bool,
    /// Attempts in it.
    pub instances: u32,
    /// When they were due: `burst`, `serial`, `rate=R/s` or `poisson=R/s`.
    pub arrival: String,
    /// Processors the instances and their launchers could use.
    pub cores: u32,
    /// `shared` image and warm cache, or an image of its `own` for each and a cold cache.
    pub images: String,
    /// First due instant.
    pub began_ns: u64,
    /// When the last instance was gone.
    pub ended_ns: u64,
}

/// A row of `drills.csv`: what a failure cost. When the replacements served is in `attempts.csv`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drill {
    /// Storm of the replacements.
    pub storm: u32,
    /// Storm of those that died.
    pub before: u32,
    /// Backend.
    pub backend: String,
    /// `all` died at once, or `rolling`: one after the other.
    pub mode: String,
    /// Instances that served.
    pub instances: u32,
    /// When the first was killed.
    pub failed_at_ns: u64,
    /// When the last of the old ones was gone.
    pub gone_at_ns: u64,
    /// Requests the client made, before, during and after.
    pub requests: u64,
    /// Requests that had no answer, as the client counted them.
    pub lost: u64,
    /// When the last of those was due.
    pub last_lost_ns: Option<u64>,
    /// Slowest answer to a request due after the failure, from when it was due.
    pub slowest_answer_ns: Option<u64>,
}
