//! One file per command. Each returns the exit code or why it could not do its work.

pub mod clean;
pub mod doctor;
pub mod exec;
pub mod image;
pub mod list;
pub mod oci;
pub mod report;
pub mod run;
