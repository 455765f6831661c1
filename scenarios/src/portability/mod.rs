//! Portability: what is made once is carried to other machines, runtimes and kernels, and tried there.
//!
//! Nothing is argued: a cell of the matrix that says `works` was booted or run; what follows from other
//! cells says `inferred`. Hypervisors are emulated by QEMU, as far as it has models of their devices.

mod bundles;
mod containers;
mod inside;
mod live;
mod machines;
mod plan;
mod run;
mod userland;

pub use containers::report_plan;
pub use plan::{DEFAULT, Part, Plan};
pub use run::run;

/// Name of the scenario.
pub const NAME: &str = "portability";
