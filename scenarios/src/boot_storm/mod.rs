//! Boot storms: many instances asked for at once, or at a rate, on each backend in turn.

mod plan;
mod run;

pub use crate::blocks::Interleave;
pub use plan::{DEFAULT, Plan};
pub use run::run;

/// Name of the scenario.
pub const NAME: &str = "boot-storm";

#[cfg(test)]
mod tests;
