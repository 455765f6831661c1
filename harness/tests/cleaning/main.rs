//! `bench clean` after a run that was killed.
//!
//! Cleaning concerns all runs of a host, so the test has a host of its own. It is a program apart
//! because its load would disturb the timing of other tests.

mod elsewhere;
#[path = "../own_host/mod.rs"]
mod own_host;
mod round;
mod steps;
mod tracer;

use std::process::Command;
use std::time::Duration;

use own_host::{Groups, without_settings};
use round::{Round, descendants, kill};

/// How many times a run is killed, and so many more where BENCH_TEST_KILLS says.
const KILLS: u32 = 4;

#[test]
fn runs_killed_at_random_moments_leave_nothing_after_clean() {
    let groups = Groups::new("clean");
    if !groups.can_be_had() {
        return;
    }
    let kills = std::env::var("BENCH_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    // As moments: spread over preparation and the first storms, no two alike.
    let moments =
        (0..kills).map(|round| 150 + (u64::from(round) * 1337 + u64::from(std::process::id())) % 6000);
    let mut backends = "process,container".to_owned();
    for family in ["vm", "oci"] {
        let dry = without_settings(&mut Command::new(env!("CARGO_BIN_EXE_bench")))
            .args(["run", "boot-storm", "--on", family, "--dry-run"])
            .output()
            .unwrap();
        if dry.status.success() {
            backends += &format!(",{family}");
        } else {
            eprintln!("without {family}: {}", String::from_utf8_lossy(&dry.stderr));
        }
    }
    let network = |delay_ms: &u64| if delay_ms.is_multiple_of(2) { "bridge" } else { "loopback" };
    let cut_storms =
        moments.filter(|delay_ms| one_round(&groups, &backends, network(delay_ms), *delay_ms)).count();
    eprintln!("{kills} runs killed, {cut_storms} of them with instances alive");
    assert!(cut_storms > 0, "no run was killed in the middle of a storm");
}

/// Kills a run after `delay_ms`; whether something it had started was alive then.
fn one_round(groups: &Groups, backends: &str, network: &str, delay_ms: u64) -> bool {
    let arguments = format!(
        "boot-storm --on {backends} --network {network} --storms 50 --instances 30 --arrival rate=20/s --warmup 0"
    );
    let round = Round::begin(groups, &[&arguments]);
    std::thread::sleep(Duration::from_millis(delay_ms));
    let started = descendants(round.pid);
    kill(round.pid);
    round.assert_cleaned(groups, &started, &format!("killed after {delay_ms} ms ({network})"));
    !started.is_empty()
}
