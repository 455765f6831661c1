//! Does an instance stay apart? One question a check, asked the same way of every backend, with a
//! plant, a witness and a control that has to leak.
//!
//! # How a check runs
//!
//! All checks that do not disturb each other share a *round* ([`round`]) on a backend:
//!
//! 1. what the host plants is planted ([`Check::on_host`]), with a nonce of the round;
//! 2. where [`Check::looks_before`]: one instance looks and ends, the baseline of counters;
//! 3. instance A carries out [`Check::plant`] and stays;
//! 4. the plants are witnessed ([`Check::witness`]);
//! 5. instance B carries out [`Check::look`] and stays;
//! 6. the plants are witnessed again, then [`Check::judge`] says what was found.
//!
//! An instance without anything to do is not started. A check that looks from the host has no `look`:
//! its judge looks, with [`Scene::planter`] as the way to the instance.
//!
//! Instances are of an image with files ([`files`]) where no other is asked for: containers as they are used.
//! A check of what an image's own files can do to who starts it ([`image`]) brings them, and its instance is
//! started, or refused, apart from all rounds.
//!
//! Checks of a network on which instances meet ([`Check::at_bridge`]) have rounds of their own, at a bridge
//! ([`bridged`]), whatever the run's instances have besides.
//!
//! Rounds run on threads that have a [`world`] of their own: UTS, IPC, network and mount namespaces
//! which are "the host" for everything planted, so that `process`, which is apart from nothing, changes
//! nothing of the real one. (Process ids, users, cgroups, clocks and kernel parameters are the real
//! host's: do not plant there what harms.) Engines have their daemon in the real host, so for them that
//! is the world.
//!
//! # How to add a check
//!
//! 1. Which requests does the probe need? [`guest::probe::Request`] has them with the facts they answer;
//!    most checks do with `Read`, `Write`, `List`, `Stat` and `Call`. A new one is a variant there and a
//!    function in `runtime/guest/src/program/probe/` that returns facts: what happened, never whether
//!    that is good. What it makes must last until the end: then it is in `Request::holds`. A look should
//!    find something of its own the same way and say so in the fact `own` (control C3).
//! 2. Write a [`Check`] in the file of its namespace, controller or topic below `checks/` (a new file: a
//!    `pub const ALL: &[Check]`, and a line in `checks/mod.rs`). `checks/uts.rs` has all directions:
//!    sibling to sibling, host to inside, inside to host.
//! 3. `judge` says [`Finding::Apart`], [`Finding::Open`] or what else; `?` on a missing fact makes the row
//!    `broken`. ENOENT and ENOSYS alone never mean apart: use [`judge::not_found`], which needs `own`.
//! 4. `expect` says what is right for each kind of backend, with the reason where it is not `apart`.
//! 5. `twin` says which mechanism keeps apart: the container without it must be `Open`, else the check is
//!    blind. Several mechanisms where one hides behind another.
//! 6. `company`: `Together` where it disturbs nobody, `Alone` where it may (own instances), `Quiet` where
//!    others disturb *it* (own round, nobody else runs).
//! 7. `bench run isolation --on process,container,oci:runc,vm --check 'my-*'`: `process` must be `leak`.

mod bridged;
mod check;
mod checks;
mod control;
mod files;
mod group;
#[cfg(test)]
mod hostile;
mod image;
mod inside;
mod judge;
mod kind;
mod layers;
mod list;
mod mutate;
#[cfg(test)]
mod nested;
mod nonce;
mod on_host;
mod plan;
mod processes;
mod round;
mod run;
mod sleeper;
mod start;
#[cfg(test)]
mod tests;
mod world;

pub use check::{Check, Company, Expect, Finding, HostileImage, MadeOf, Role, Twin, Watched};
pub use kind::Kind;
pub use layers::Member;
pub use list::{all, explain, matching};
pub use plan::{DEFAULT, Plan};
pub use run::run;

/// Name of the scenario.
pub const NAME: &str = "isolation";
