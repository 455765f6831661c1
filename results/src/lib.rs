//! What is known afterwards: records, run folder, statistics, verdicts, charts and report.
//!
//! Knows no operating system and no runtime: it can read a run made on another machine.

pub mod chart;
pub mod claims;
pub mod compare;
pub mod density;
pub mod dossier;
pub mod drill;
mod error;
pub mod explain;
pub mod export;
pub mod folder;
pub mod history;
pub mod isolation;
pub mod noise;
pub mod portability;
#[cfg(feature = "png")]
mod raster;
pub mod readings;
pub mod record;
pub mod report;
pub mod statistics;
pub mod stress;
pub mod summary;
pub mod sweep;
pub mod text;
pub mod trace;
mod write;

pub use error::Error;
pub use folder::{LoadedRun, RunFolder, default_path, point_latest};
#[cfg(feature = "png")]
pub use raster::write_png;
pub use summary::{Row, Summary, summarize, table};
pub use write::{write_all, write_json};
