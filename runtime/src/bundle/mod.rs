//! OCI bundles: config.json in, a container out, and its life from create to delete.
//!
//! Sources: the OCI runtime specification 1.2 (config.md, config-linux.md, runtime.md).

pub mod config;
pub mod seccomp;
