//! One storm: its attempts are launched when they are due, watched, judged, stopped and written down.

mod affinity;
mod arrival;
mod attempt;
mod crew;
mod held;
mod ledger;
mod making;
mod order;
mod selftest;
mod settle;
mod slot;

pub use arrival::Arrival;
pub(crate) use attempt::Progressing;
pub(crate) use crew::Crew;
pub(crate) use ledger::Ledger;
pub(crate) use making::{Storm, make};
pub(crate) use order::{Aftermath, Field, Order};
pub(crate) use selftest::{injected_delay, spread, timer_resolution};
pub(crate) use settle::{look, settle};
