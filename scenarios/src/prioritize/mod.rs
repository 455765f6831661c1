//! Whether limits, shares and accounts are what they are asked to be, as numbers.
//!
//! Each [`Mechanism`] is tried on each backend, with a control in which it is off. What was asked
//! stands beside what was measured, by the host's count and by the work done inside.

mod inside;
pub(crate) mod measure;
mod mechanism;
mod plan;
pub(crate) mod question;
mod run;
mod scene;

pub use crate::inside::Version;
pub use mechanism::Mechanism;
pub use plan::{DEFAULT, Plan};
pub use run::run;

/// Name of the scenario.
pub const NAME: &str = "prioritize";

#[cfg(test)]
mod tests;
