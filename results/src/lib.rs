//! What is known afterwards: records, run folder, statistics, verdicts, charts and report.
//!
//! Knows no operating system and no runtime: it can read a run made on another machine.

mod error;
pub mod folder;
pub mod record;

pub use error::Error;
pub use folder::{LoadedRun, RunFolder, default_path, point_latest};
