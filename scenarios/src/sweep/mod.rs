//! Storm sweep: how latency, throughput and stress grow with the size of a storm and the starts per
//! core, where the knee is, and how much of it is the processor and how much the storage.

mod images;
mod plan;
mod run;

pub use plan::{DEFAULT, Images, Plan};
pub use run::run;

/// Name of the scenario.
pub const NAME: &str = "storm-sweep";

#[cfg(test)]
mod tests;
