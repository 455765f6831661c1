//! What is done once for all instances of a run.

use std::hint::black_box;

use criterion::Criterion;
use runtime::container::{Compiled, standard_setup};

/// What `runc spec` prints.
const CONFIG: &[u8] = include_bytes!("../../src/bundle/config/runc-spec.json");

pub fn per_run(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("once per run");
    // The filter of system calls is assembled in it.
    group.bench_function("standard setup", |bencher| bencher.iter(|| standard_setup(black_box(None))));
    let setup = standard_setup(None);
    group.bench_function("compile a setup", |bencher| bencher.iter(|| Compiled::new(black_box(&setup))));
    group.bench_function("read a config.json", |bencher| {
        bencher.iter(|| runtime::bundle::config::parse(black_box(CONFIG)));
    });
    group.finish();
}
