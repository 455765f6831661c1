//! The drill: instances serve under a light load, the node dies, everything is started again.
//!
//! What is lost is counted by the client that asked, not inferred. The rolling variant replaces one
//! instance after the other, as a scheduled restart does.

mod load;
mod plan;
mod run;

pub use plan::{DEFAULT, Mode, Plan};
pub use run::run;

/// Name of the scenario.
pub const NAME: &str = "node-failure";

#[cfg(test)]
mod tests;
