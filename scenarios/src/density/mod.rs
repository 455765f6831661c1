//! Memory density: what one more instance costs, and how many fit.
//!
//! The instances of one backend grow in steps; after each the host settles and every accounting
//! method is read. The price of one more is the slope of a line through the steps (METHOD, memory).

mod account;
mod ksm;
mod namespace;
mod plan;
mod run;
mod until;

pub use plan::{DEFAULT, Plan};
pub use run::run;

/// Name of the scenario.
pub const NAME: &str = "density";

#[cfg(test)]
mod tests;
