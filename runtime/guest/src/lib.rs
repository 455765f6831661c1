//! The wire protocol between the guest program and the host that started it.
//!
//! The guest speaks lines: one record separator (RFC 7464), one JSON object, one newline. The
//! separator lets a reader find the next message after kernel text, firmware text or garbage on
//! the same line. The guest never compares its clock with the host's; where it shares the host's
//! kernel it adds its own CLOCK_MONOTONIC reading, which the host uses only to measure how late
//! its own stamp is.

mod decoder;
mod identity;
mod message;
mod plan;
pub mod probe;
pub mod report;
mod task;

pub use decoder::{Decoded, Decoder, MAX_LINE_BYTES};
pub use identity::{Became, IDENTITY_FILE, Identity, NO_IDENTITY, PLAN_FILE, PLAN_IN_FW_CFG};
pub use message::{Message, PROTOCOL_VERSION, RECORD_SEPARATOR, Stream};
pub use plan::{ParseWorkloadError, Plan, Protocol, Service, WORKLOADS, Workload};
pub use task::{MEASURES, TASKS, Task, measure};
