//! Runs that are killed at a step of a container's start, or of the run around it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::SystemTime;

use crate::own_host::{Groups, without_settings};
use crate::round::Round;
use crate::tracer::{Step, follow};

/// Each time one of so many steps is tried, the next ones the next time: all of them, which takes minutes, in
/// so many times. BENCH_TEST_STEPS asks for all from a number on at once.
const TURNS: usize = 12;
/// Rounds at once, each in a host of its own: they wait for most of their time, as a run does before it starts
/// anything.
const WORKERS: usize = 4;
/// Which turn it is next; kept where the tests are built, so that it goes round there.
const TURN: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/cleaning-turn");

/// Stops until it is traced, and becomes what it is given.
const STOPPED: [&str; 4] = ["sh", "-c", "kill -STOP $$; exec \"$@\"", "sh"];

#[test]
fn runs_killed_at_any_step_leave_nothing_after_clean() {
    let hosts: Vec<Groups> = (0..WORKERS).map(|number| Groups::new(&format!("steps{number}"))).collect();
    if !hosts[0].can_be_had() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(folder.path());
    let steps = one_round(&hosts[0], &plan, None);
    let kinds = kinds(&steps);
    eprintln!("{} steps of {} kinds: {kinds:?}", steps.len(), kinds.len());
    for (call, by_child) in [("clone3", false), ("mkdir", false), ("pivot_root", true), ("execveat", true)] {
        assert!(kinds.contains_key(&Step { call, by_child }), "{call} is not seen: {kinds:?}");
    }
    let turn = turn();
    let chosen = match std::env::var("BENCH_TEST_STEPS") {
        Ok(from) => (from.parse().unwrap_or(0)..steps.len()).collect(),
        Err(_) => of_turn(turn, steps.len()),
    };
    eprintln!("turn {turn} of {TURNS}: killed at {chosen:?}");
    let left = Mutex::new(chosen.into_iter());
    let next = || left.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next();
    std::thread::scope(|scope| {
        for host in &hosts {
            scope.spawn(|| {
                while let Some(at) = next() {
                    drop(one_round(host, &plan, Some(at)))
                }
            });
        }
    });
    // Not where one has failed: it is tried again.
    std::fs::write(TURN, (turn + 1).to_string()).unwrap();
}

/// The plan of a run with a root file system, so that there is a mount of the run's own too, and which waits
/// for no quiet host.
fn plan(folder: &Path) -> PathBuf {
    std::fs::create_dir_all(folder.join("image/etc")).unwrap();
    let words =
        ["run", "boot-storm", "--on", "container", "--network", "bridge", "--storms", "1", "--warmup", "0"];
    let output = without_settings(&mut Command::new(env!("CARGO_BIN_EXE_bench")))
        .args(words)
        .args(["--instances", "2", "--workload", "ready", "--dry-run", "--image"])
        .arg(folder.join("image"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {said}", output.status);
    let text = String::from_utf8(output.stdout).unwrap();
    let is_wait = |line: &&str| line.starts_with("settle_s = ");
    assert_eq!(text.lines().filter(is_wait).count(), 1, "{text}");
    let lines = text.lines().map(|line| if is_wait(&line) { "settle_s = 0.0" } else { line });
    let path = folder.join("plan.toml");
    std::fs::write(&path, lines.collect::<Vec<_>>().join("\n")).unwrap();
    path
}

/// Where each kind of step is among all.
fn kinds(steps: &[Step]) -> BTreeMap<Step, Vec<usize>> {
    let mut kinds: BTreeMap<Step, Vec<usize>> = BTreeMap::new();
    for (at, step) in steps.iter().enumerate() {
        kinds.entry(*step).or_default().push(at);
    }
    kinds
}

/// The turn after the last one here; some turn where there was none.
fn turn() -> usize {
    let noted = std::fs::read_to_string(TURN).ok().and_then(|text| text.parse().ok());
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    noted.unwrap_or_else(|| now() as usize) % TURNS
}

/// Steps of a turn among `count`: far apart, and in `TURNS` turns each once.
fn of_turn(turn: usize, count: usize) -> Vec<usize> {
    (turn..count).step_by(TURNS).collect()
}

#[test]
fn the_turns_have_each_step_once() {
    let mut all: Vec<usize> = (0..TURNS).flat_map(|turn| of_turn(turn, 100)).collect();
    all.sort_unstable();
    assert_eq!(all, (0..100).collect::<Vec<_>>());
}

/// Kills a run at a step, cleans, and looks; gives the steps until then. Threads take turns as they
/// like, so the step of this number need not be the same each time.
fn one_round(groups: &Groups, plan: &Path, kill_at: Option<usize>) -> Vec<Step> {
    let round = Round::begin(groups, &[&[plan.to_str().unwrap()], &STOPPED[..]].concat());
    let pid = round.pid;
    let traced = std::thread::spawn(move || follow(pid, kill_at)).join().unwrap();
    let steps = traced.unwrap_or_else(|error| panic!("trace {pid}: {error}"));
    let when = format!("killed at step {kill_at:?} ({:?})", steps.last());
    round.assert_cleaned(groups, &BTreeMap::new(), &when);
    steps
}
