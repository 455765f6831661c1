//! Runs that are killed at a step of a container's start, or of the run around it.

use std::collections::BTreeMap;

use crate::own_host::Groups;
use crate::round::Round;
use crate::tracer::{Step, follow};

/// How many steps are tried, where BENCH_TEST_STEPS does not ask for all of them from a number on.
const TRIED: usize = 6;

/// Stops until it is traced, and becomes what it is given.
const STOPPED: [&str; 4] = ["sh", "-c", "kill -STOP $$; exec \"$@\"", "sh"];

#[test]
fn runs_killed_at_any_step_leave_nothing_after_clean() {
    let groups = Groups::new("steps");
    if !groups.can_be_had() {
        return;
    }
    // A root file system, so that there is a mount of the run's own too.
    let image = tempfile::tempdir().unwrap();
    std::fs::create_dir(image.path().join("etc")).unwrap();
    let arguments = format!(
        "--on container --network bridge --storms 1 --instances 2 --workload ready --image {}",
        image.path().display()
    );
    let steps = one_round(&groups, &arguments, None);
    let kinds = kinds(&steps);
    eprintln!("{} steps of {} kinds: {kinds:?}", steps.len(), kinds.len());
    for (call, by_child) in [("clone3", false), ("mkdir", false), ("pivot_root", true), ("execveat", true)] {
        assert!(kinds.contains_key(&Step { call, by_child }), "{call} is not seen: {kinds:?}");
    }
    for at in chosen(&steps, &kinds) {
        eprintln!("killed at step {at}: {:?}", steps[at]);
        one_round(&groups, &arguments, Some(at));
    }
}

/// Where each kind of step is among all.
fn kinds(steps: &[Step]) -> BTreeMap<Step, Vec<usize>> {
    let mut kinds: BTreeMap<Step, Vec<usize>> = BTreeMap::new();
    for (at, step) in steps.iter().enumerate() {
        kinds.entry(*step).or_default().push(at);
    }
    kinds
}

/// Some, of kinds as different as can be, others each time; all where that is asked for.
fn chosen(steps: &[Step], kinds: &BTreeMap<Step, Vec<usize>>) -> Vec<usize> {
    if let Ok(from) = std::env::var("BENCH_TEST_STEPS") {
        return (from.parse().unwrap_or(0)..steps.len()).collect();
    }
    let seed = std::process::id() as usize;
    let one_each: Vec<usize> = kinds.values().map(|all| all[seed % all.len()]).collect();
    (0..TRIED).map(|number| one_each[(seed + number * one_each.len() / TRIED) % one_each.len()]).collect()
}

/// Kills a run at a step, cleans, and looks; gives the steps until then. Threads take turns as they
/// like, so the step of this number need not be the same each time.
fn one_round(groups: &Groups, arguments: &str, kill_at: Option<usize>) -> Vec<Step> {
    let round = Round::begin(groups, &[&[arguments], &STOPPED[..]].concat());
    let pid = round.pid;
    let traced = std::thread::spawn(move || follow(pid, kill_at)).join().unwrap();
    let steps = traced.unwrap_or_else(|error| panic!("trace {pid}: {error}"));
    let when = format!("killed at step {kill_at:?} ({:?})", steps.last());
    round.assert_cleaned(groups, &BTreeMap::new(), &when);
    steps
}
