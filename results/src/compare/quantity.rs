//! What is compared: the latencies, and the share of attempts that never got there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::summary::Metric;
use crate::text::{duration, percent};

/// A metric with one value a storm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// Due → first instruction of the workload; median of the storm, nanoseconds.
    ReadyFromScheduled,
    /// Begun → first instruction.
    ReadyFromStarted,
    /// Due → first answer.
    ServingFromScheduled,
    /// Begun → first answer.
    ServingFromStarted,
    /// Share of the storm's attempts that never got there, 0 to 1.
    NotReadyShare,
}

impl Quantity {
    /// All of them.
    pub const ALL: [Quantity; 5] = [
        Quantity::ReadyFromScheduled,
        Quantity::ReadyFromStarted,
        Quantity::ServingFromScheduled,
        Quantity::ServingFromStarted,
        Quantity::NotReadyShare,
    ];

    /// What is judged unless something else is asked for: what a user waits, and whether it comes
    /// at all. From when it was due, so that a launch that holds up the next one shows.
    pub const DEFAULT: [Quantity; 3] =
        [Quantity::ReadyFromScheduled, Quantity::ServingFromScheduled, Quantity::NotReadyShare];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self.metric() {
            Some(metric) => metric.name(),
            None => "not-ready-share",
        }
    }

    /// The one with this name.
    pub fn from_name(name: &str) -> Option<Quantity> {
        Quantity::ALL.into_iter().find(|quantity| quantity.name() == name)
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self.metric() {
            Some(metric) => metric.words(),
            None => "never got ready",
        }
    }

    /// The latency it is, where it is one.
    pub fn metric(self) -> Option<Metric> {
        match self {
            Quantity::ReadyFromScheduled => Some(Metric::ReadyFromScheduled),
            Quantity::ReadyFromStarted => Some(Metric::ReadyFromStarted),
            Quantity::ServingFromScheduled => Some(Metric::ServingFromScheduled),
            Quantity::ServingFromStarted => Some(Metric::ServingFromStarted),
            Quantity::NotReadyShare => None,
        }
    }

    /// A value for people.
    pub fn show(self, value: f64) -> String {
        match self.metric() {
            Some(_) => duration(value),
            None => percent(value),
        }
    }
}

impl std::fmt::Display for Quantity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
