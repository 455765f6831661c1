//! What is tried, and the claims it tests.

pub mod boot_storm;
mod clock;
mod error;
mod progress;
mod rows;
mod stop;
mod stress;

pub use error::Error;
pub use progress::Progress;
pub use rows::Rows;
pub use stop::Stop;
