//! What is tried, and the claims it tests.

mod blocks;
pub mod boot_storm;
pub mod claims;
mod client;
mod clock;
mod contender;
mod deadlines;
pub mod density;
mod error;
mod folder_image;
mod host_size;
mod inside;
pub mod isolation;
mod launch;
pub mod node_failure;
mod plan;
pub mod portability;
pub mod prioritize;
mod progress;
mod rows;
mod stage;
mod stop;
mod storm;
mod stress;
pub mod sweep;
#[cfg(test)]
mod testing;
mod trial;

pub use error::Error;
pub use host_size::HostSize;
use host_size::cores;
pub use launch::Launch;
pub use plan::{Plan, SCENARIOS};
pub use progress::Progress;
pub use rows::Rows;
pub use stage::{Completion, Stage};
pub use stop::Stop;
pub use storm::Arrival;
