//! How long the report of a million attempts takes, how much memory, and how large its page is; fails above
//! 10 s, 1 GiB and 5 MB: `cargo run --release -p results --example million [ATTEMPTS]`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use results::record::{Attempt, Outcome, Phase, Run};
use results::{RunFolder, write_all};

const INSTANCES: u32 = 1_000;
const BACKENDS: [&str; 4] = ["process", "container", "vm:direct", "vm:restore"];

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let attempts: u32 = std::env::args().nth(1).map_or(Ok(1_000_000), |word| word.parse())?;
    let folder = std::env::temp_dir().join(format!("bench-million-{}", std::process::id()));
    make(&folder, attempts / INSTANCES)?;
    // What making the rows took is not asked for: the peak counts from here (proc_pid_clear_refs(5)).
    std::fs::write("/proc/self/clear_refs", "5")?;
    let began = Instant::now();
    let written = write_all(&folder);
    let took = began.elapsed();
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    let peak_bytes = peak.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(u64::MAX / 1024) * 1024;
    let page_bytes = std::fs::metadata(folder.join("report.html"))?.len();
    std::fs::remove_dir_all(&folder)?;
    let summary = written?;
    println!(
        "{} attempts: {:.1} s, {} MiB, page of {} kB",
        summary.attempts,
        took.as_secs_f64(),
        peak_bytes >> 20,
        page_bytes / 1000
    );
    let fine = took < Duration::from_secs(10) && peak_bytes < 1 << 30 && page_bytes < 5_000_000;
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Storms of the backends in turns, each attempt with three phases.
fn make(path: &std::path::Path, storms: u32) -> Result<(), results::Error> {
    let mut run = Run::new("million", "boot-storm");
    run.backends = BACKENDS.map(str::to_owned).to_vec();
    run.complete = true;
    let folder = RunFolder::create(path, &run)?;
    let mut now = 0;
    for storm in 0..storms {
        let backend = BACKENDS[storm as usize % BACKENDS.len()];
        for instance in 0..INSTANCES {
            // Scattered by a multiplicative hash (Knuth, TAOCP 3, §6.4): no two attempts are alike.
            let scatter = u64::from((storm * INSTANCES + instance).wrapping_mul(2_654_435_769) >> 12);
            let (begin, ready) = (now + 1_000 * u64::from(instance), 1_000_000 + scatter);
            let at = |share: u64| begin + ready * share / 10;
            folder.attempt(&Attempt {
                storm,
                backend: backend.into(),
                instance,
                config: "c0ffee".into(),
                scheduled_ns: now,
                started_ns: Some(begin),
                ready_ns: Some(at(10)),
                serving_ns: Some(at(12)),
                stopped_ns: Some(at(20)),
                outcome: Outcome::Ready,
                error: String::new(),
            })?;
            let phase = |phase: &str, from, to| Phase {
                storm,
                backend: backend.into(),
                instance,
                phase: phase.into(),
                begin_ns: at(from),
                end_ns: at(to),
            };
            folder.phases(&[phase("vmm", 0, 2), phase("kernel", 2, 7), phase("init", 7, 10)])?;
        }
        now += 100_000_000;
    }
    Ok(())
}
