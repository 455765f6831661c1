//! What is known afterwards: records, run folder, statistics, verdicts, charts and report.
//!
//! Knows no operating system and no runtime: it can read a run made on another machine.

pub mod record;
