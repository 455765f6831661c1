//! What the parts of a start cost, each alone, by criterion:
//!
//! ```text
//! cargo bench -p runtime --bench parts [-- FILTER]
//! ```
//! `container start` needs root: the whole setup, and the same with one mechanism left out, so that
//! the difference is the price of that mechanism. `cgroup` needs a mounted hierarchy. The others
//! need nothing.

#![expect(missing_docs, reason = "criterion_group makes a function without")]

mod cgroup;
mod once;
mod protocol;
mod start;

use criterion::{criterion_group, criterion_main};

criterion_group!(parts, start::without_one, cgroup::create_and_end, once::per_run, protocol::messages);
criterion_main!(parts);
