//! OCI bundles: config.json in, a container out, and its life from create to delete.
//!
//! What `bench oci` does, as functions. Sources: the OCI runtime specification (config.md,
//! config-linux.md, runtime.md, features.md). CONFORMANCE.md beside this file says what of it is
//! done, what is refused, and what other runtimes make of the same bundles.

mod clean;
pub mod config;
mod create;
mod delete;
mod exec;
mod features;
#[cfg(fuzzing)]
pub mod fuzz;
mod grant;
mod hook;
mod kill;
mod pause;
mod program;
pub mod resources;
mod run;
pub mod sealed;
pub mod seccomp;
pub mod signal;
mod start;
mod state;
pub mod translate;

pub use clean::clean;
pub use create::{Options as CreateOptions, create};
pub use delete::delete;
pub use exec::{Options as ExecOptions, exec};
pub use features::features;
pub use kill::kill;
pub use pause::{pause, processes, resume};
pub use run::run;
pub use start::start;
pub use state::{Root, State, Status};

use crate::Error;

/// The state of a container (runtime.md, "State").
///
/// # Errors
/// Where there is no such container.
pub fn state(root: &Root, id: &str) -> Result<State, Error> {
    let folder = root.find(id)?;
    let record = start::read(&folder, id)?;
    Ok(record.state(folder.status(&record)))
}

/// The states of all containers, in the order of their names.
///
/// # Errors
/// Where they cannot be read. One that is removed meanwhile is left out.
pub fn list(root: &Root) -> Result<Vec<State>, Error> {
    Ok(root.list()?.iter().filter_map(|id| state(root, id).ok()).collect())
}
