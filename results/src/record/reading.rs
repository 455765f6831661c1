//! `readings.csv`: what was asked of a mechanism, and what was measured.

use serde::{Deserialize, Serialize};

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
