//! `run.json`: what a run was.

use serde::{Deserialize, Serialize};

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
