//! The rows of a run folder. Times are nanoseconds of the host's CLOCK_MONOTONIC since the run
//! began, sizes are bytes.

use serde::{Deserialize, Serialize};

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

/// A row of `matrix.csv`: one thing carried to one place, and what became of it there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// What kind of thing: `vm`, `container`, `conversion`, `round-trip` or `live`.
    pub kind: String,
    /// The thing, as it was carried: a version of a disk with its format, an image with its userland.
    pub artifact: String,
    /// Where to.
    pub platform: String,
    /// What became of it.
    pub outcome: CellOutcome,
    /// Why, where it does not work; what an inference rests on.
    pub reason: String,
    /// What was changed about the thing for this place; empty where nothing was.
    pub changes: String,
    /// Size of the thing on the host.
    pub bytes: Option<u64>,
    /// How long it took: to serving, to the end of the report, to the end of the conversion.
    pub duration_ns: Option<u64>,
}

/// What became of a thing in a place.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum CellOutcome {
    /// It was tried and works as where it came from.
    Works,
    /// It runs, and not all it says is as where it came from.
    Differs,
    /// It was tried and does not work.
    Fails,
    /// It was tried and turned away before it could do harm.
    Refused,
    /// It was not tried; other cells say that it would work.
    Inferred,
    /// It cannot be tried here.
    Impossible,
}

impl CellOutcome {
    /// As in rows.
    pub fn word(self) -> &'static str {
        match self {
            CellOutcome::Works => "works",
            CellOutcome::Differs => "differs",
            CellOutcome::Fails => "fails",
            CellOutcome::Refused => "refused",
            CellOutcome::Inferred => "inferred",
            CellOutcome::Impossible => "impossible",
        }
    }
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

/// What the instances were doing when their memory was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemoryState {
    /// Started, ready or serving, and left alone.
    Idle,
    /// After each had answered requests.
    Worked,
    /// After the kernel had been told to merge equal pages (KSM) and was done with it.
    Merged,
}

/// A row of `memory.csv`: the host and the sums over all live instances of one backend after a
/// step of growth. What an accounting method cannot say is absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryStep {
    /// Repetition, numbered as storms are.
    pub storm: u32,
    /// Backend.
    pub backend: String,
    /// Instances alive.
    pub live: u32,
    /// When it was looked.
    pub at_ns: u64,
    /// What the instances were doing.
    pub state: MemoryState,
    /// MemAvailable of the host, and the free pages on the lists of single processors that it leaves out.
    pub mem_available_bytes: Option<u64>,
    /// Slab of the host: kernel objects, those of namespaces among them.
    pub slab_bytes: Option<u64>,
    /// PageTables of the host.
    pub page_tables_bytes: Option<u64>,
    /// KernelStack of the host.
    pub kernel_stack_bytes: Option<u64>,
    /// Percpu of the host.
    pub percpu_bytes: Option<u64>,
    /// Cached and Buffers of the host.
    pub page_cache_bytes: Option<u64>,
    /// Instances whose processes could be read for the sums below.
    pub counted: u32,
    /// Σ resident set size: shared pages count once for each who shares them.
    pub rss_bytes: Option<u64>,
    /// Σ proportional set size: shared pages count once.
    pub pss_bytes: Option<u64>,
    /// Σ private pages.
    pub private_bytes: Option<u64>,
    /// Σ virtual size.
    pub virtual_bytes: Option<u64>,
    /// Σ memory cgroups, kernel memory included.
    pub cgroup_bytes: Option<u64>,
}

/// A row of `ksm.csv`: how far the kernel's merging of equal pages is
/// (Documentation/admin-guide/mm/ksm.rst).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KsmSample {
    /// Repetition.
    pub storm: u32,
    /// Backend.
    pub backend: String,
    /// When it was looked.
    pub at_ns: u64,
    /// Pages that stand for others.
    pub pages_shared: u64,
    /// Pages that are saved.
    pub pages_sharing: u64,
    /// Complete scans of all memory on offer, since boot.
    pub full_scans: u64,
    /// Processor time the kernel's thread has taken since merging was switched on.
    pub ksmd_cpu_ns: u64,
    /// MemAvailable.
    pub mem_available_bytes: Option<u64>,
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

/// What a check says of a backend.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum CheckVerdict {
    /// Kept apart, as expected, and all controls say that the check would have noticed otherwise.
    Pass,
    /// Seen, reached or changed through.
    Leak,
    /// Seen, reached or changed through, as is said of this kind of backend.
    #[serde(rename = "shared by design")]
    SharedByDesign,
    /// What the check looks at does not exist on this host.
    #[serde(rename = "n/a")]
    NotApplicable,
    /// Kept apart, but not for the reason that would show it.
    #[serde(rename = "wrong reason")]
    WrongReason,
    /// The control with the mechanism removed did not leak either: the check sees nothing.
    Blind,
    /// The probe, the plant or the witness did not do its work.
    Broken,
}

impl CheckVerdict {
    /// As in `checks.csv`.
    pub fn word(self) -> &'static str {
        match self {
            CheckVerdict::Pass => "pass",
            CheckVerdict::Leak => "leak",
            CheckVerdict::SharedByDesign => "shared by design",
            CheckVerdict::NotApplicable => "n/a",
            CheckVerdict::WrongReason => "wrong reason",
            CheckVerdict::Blind => "blind",
            CheckVerdict::Broken => "broken",
        }
    }
}

/// A row of `checks.csv`: one question asked of one backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Identifier of the check.
    pub check: String,
    /// The claim it speaks to.
    pub claim: String,
    /// Backend.
    pub backend: String,
    /// What is expected of this kind of backend: `apart`, `open` or `shared`, and why.
    pub expectation: String,
    /// What the probe or the host saw.
    pub observation: String,
    /// What the other side proved meanwhile.
    pub witness: String,
    /// Controls C0 to C5, each with its outcome.
    pub controls: String,
    /// The verdict.
    pub verdict: CheckVerdict,
    /// Raw facts of both sides.
    pub evidence: String,
}

/// Whether something could be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub enum ReadingOutcome {
    /// It was.
    #[serde(rename = "measured")]
    Measured,
    /// It should have been, and failed.
    #[serde(rename = "failed")]
    Failed,
    /// This host or backend has no such thing.
    #[serde(rename = "n/a")]
    NotApplicable,
}

/// A row of `readings.csv`: what was asked of something that limits, shares out or counts, and what
/// was measured, once in one repetition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// Repetition, numbered as storms are.
    pub storm: u32,
    /// Backend.
    pub backend: String,
    /// What was tried, as `cpu-quota`.
    pub mechanism: String,
    /// Under which circumstances.
    pub case: String,
    /// Whether it is a control: the mechanism is off, and what it would hold back must happen.
    pub control: bool,
    /// Who or what says so: the host's count, the work done inside.
    pub by: String,
    /// Unit of the two values: `cores`, `share`, `bytes`, `bytes/s`, `processes`, `kills`, `ns`, `times`.
    pub unit: String,
    /// What was asked, or is the truth that an account is held against; absent where it is only told.
    pub asked: Option<f64>,
    /// The least that counts as what was asked.
    pub least: Option<f64>,
    /// The most that counts as what was asked.
    pub most: Option<f64>,
    /// What was measured.
    pub measured: Option<f64>,
    /// Whether it could be.
    pub outcome: ReadingOutcome,
    /// Why not.
    pub reason: String,
}

/// `run.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Run {
    /// Version of the run folder's format; see [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Identifier.
    pub id: String,
    /// Scenario.
    pub scenario: String,
    /// Begin, RFC 3339 in UTC. For people; nothing is computed from it.
    pub began_at: String,
    /// CLOCK_MONOTONIC of time 0 of this run, nanoseconds.
    pub epoch_ns: u64,
    /// The plan as resolved.
    pub plan: serde_json::Value,
    /// Seed of everything random.
    pub seed: u64,
    /// The command line.
    pub argv: Vec<String>,
    /// Versions of `bench` and of what it started.
    pub versions: std::collections::BTreeMap<String, String>,
    /// The host, by property.
    pub host: std::collections::BTreeMap<String, serde_json::Value>,
    /// Launch configurations by hash.
    pub configs: std::collections::BTreeMap<String, serde_json::Value>,
    /// Backends in the order asked for.
    pub backends: Vec<String>,
    /// Backends that were left out, with the reason.
    pub unavailable: std::collections::BTreeMap<String, String>,
    /// Numbers of the warm-up storms: kept, not counted.
    pub warmup_storms: Vec<u32>,
    /// Self-test: timer resolution, stamping delay, cost of sampler and canary, settling times.
    pub self_test: std::collections::BTreeMap<String, serde_json::Value>,
    /// What a reader should know before believing a number.
    pub warnings: Vec<String>,
    /// Whether the run came to its planned end.
    pub complete: bool,
}

impl Run {
    /// A run of which nothing is known but what it is.
    pub fn new(id: &str, scenario: &str) -> Run {
        Run {
            schema_version: SCHEMA_VERSION,
            id: id.to_owned(),
            scenario: scenario.to_owned(),
            began_at: String::new(),
            epoch_ns: 0,
            plan: serde_json::Value::Null,
            seed: 0,
            argv: Vec::new(),
            versions: Default::default(),
            host: Default::default(),
            configs: Default::default(),
            backends: Vec::new(),
            unavailable: Default::default(),
            warmup_storms: Vec::new(),
            self_test: Default::default(),
            warnings: Vec::new(),
            complete: false,
        }
    }
}

/// Version of the run folder's format.
pub const SCHEMA_VERSION: u32 = 1;
