//! What is tried, and the claims it tests.

mod blocks;
pub mod boot_storm;
mod clock;
mod contender;
mod error;
mod host_size;
mod launch;
mod plan;
mod progress;
mod rows;
mod stage;
mod stop;
mod storm;
mod stress;

pub use error::Error;
pub use host_size::HostSize;
pub use launch::Launch;
pub use plan::{Plan, SCENARIOS};
pub use progress::Progress;
pub use rows::Rows;
pub use stage::{Completion, Stage};
pub use stop::Stop;
pub use storm::Arrival;
