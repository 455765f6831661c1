//! One file per command. Each returns the exit code or why it could not do its work.

pub mod aa;
pub mod ab;
pub mod baseline;
pub mod claims;
pub mod clean;
pub mod compare;
pub mod doctor;
pub mod exec;
pub mod explain;
pub mod history;
pub mod image;
pub mod list;
pub mod oci;
pub mod report;
pub mod run;
pub mod shell;
pub mod trial;
