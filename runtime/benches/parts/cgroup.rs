//! A group with limits, made and removed.

use criterion::Criterion;
use runtime::Limits;
use runtime::cgroup::{Cgroup, Hierarchies};

pub fn create_and_end(criterion: &mut Criterion) {
    let hierarchies = match Hierarchies::of_host() {
        Ok(hierarchies) if rustix::process::geteuid().is_root() => hierarchies,
        Ok(_) => return println!("cgroup: skipped, needs root"),
        Err(error) => return println!("cgroup: skipped, {error}"),
    };
    let run = format!("parts-{}", std::process::id());
    let mut group = criterion.benchmark_group("cgroup");
    let memory = Limits { memory_bytes: Some(256 << 20), ..Limits::default() };
    let all = Limits { cpus: Some(2.0), pids: Some(100), ..memory.clone() };
    for (name, limits) in [("no limit", Limits::default()), ("memory", memory), ("memory, cpus, pids", all)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| Cgroup::create(&hierarchies, &run, "one", &limits).expect("made").end());
        });
    }
    group.finish();
    for root in hierarchies.roots() {
        let _ = std::fs::remove_dir(root.join("bench").join(&run));
    }
}
