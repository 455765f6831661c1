//! What is tried, and the claims it tests.

pub mod boot_storm;
mod error;
mod progress;
mod rows;
mod stop;

pub use error::Error;
pub use progress::Progress;
pub use rows::Rows;
pub use stop::Stop;
