//! Boot storms: many instances asked for at once, or at a rate, on each backend in turn.

mod arrival;
mod attempt;
mod crew;
mod ledger;
mod order;
mod plan;
mod run;
mod selftest;
mod settle;
mod storm;

pub use arrival::{Arrival, ParseArrivalError};
pub use plan::{DEFAULT, HostSize, Plan};
pub use run::{Completion, run};

#[cfg(test)]
mod tests;
