//! What a probe saw.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Longest text of one fact; what is longer is cut, and the fact `cut` says so.
pub const MAX_TEXT_BYTES: usize = 16 * 1024;

/// Facts by name. `errno` is 0 where the call succeeded; `own` is 1 where the probe found what it had
/// put there itself, which shows that looking works in this place at all.
pub type Facts = BTreeMap<String, Fact>;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Fact {
    /// A return value, an error number, a count.
    Number(i64),
    /// Bytes read, invalid UTF-8 replaced.
    Text(String),
    /// Names.
    List(Vec<String>),
}

/// How a probe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It did all it was asked to.
    Done,
    /// Its process exited early with this status.
    Exited(i32),
    /// Its process was killed by this signal.
    Signal(i32),
    /// It did not answer in time.
    Timeout,
    /// The guest program could not begin it; this error number.
    NotStarted(i32),
}

/// What one request of a plan led to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// The nonce of the plan, so that what another run said counts for nothing.
    pub nonce: String,
    /// Which request of the plan, from 0.
    pub index: u32,
    /// How many facts were established; a message that lost some on its way does not count.
    pub assertions: u32,
    /// How it ended.
    pub ending: Ending,
    /// What happened.
    #[serde(default)]
    pub facts: Facts,
}
