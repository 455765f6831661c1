//! What a probe is asked to do inside an instance, and what it says happened.
//!
//! Requests travel in the plan at the start, observations come back as messages: the way out of an
//! instance is a way out only. A probe says *what happened* (return value, error number, bytes),
//! never whether that is good.

mod observation;
mod request;

pub use observation::{Ending, Fact, Facts, MAX_TEXT_BYTES, Observation};
pub use request::{IpcKind, MemoryKind, Request, Work};
