//! Runs that are interrupted or killed.

use std::collections::HashSet;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{Said, bench, rows, said};

/// Attempts in each storm below.
const INSTANCES: usize = 40;

/// Starts storms of two seconds each and waits until some have ended and another is at about a third:
/// some of its attempts have been decided and most have not.
fn in_mid_storm(folder: &Path) -> Child {
    let mut child = bench(folder)
        .args("run boot-storm --on fake:ready=5ms --storms 20 --warmup 0 --arrival rate=20/s".split(' '))
        .args(["--instances", &INSTANCES.to_string(), "--out", "out"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let rows = |name: &str| {
        let text = std::fs::read_to_string(folder.join("out").join(name)).unwrap_or_default();
        text.lines().count().saturating_sub(1)
    };
    loop {
        let ended = rows("attempts.csv");
        let of_this = rows("attempts-decided.csv").saturating_sub(ended);
        if ended >= INSTANCES && (INSTANCES / 10..INSTANCES / 3).contains(&of_this) {
            return child;
        }
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "no storm is under way");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

#[test]
fn an_interrupted_run_has_a_row_for_every_attempt_of_its_storm() {
    let folder = tempfile::tempdir().unwrap();
    let child = in_mid_storm(folder.path());
    signal(&child, Signal::SIGINT);
    let said = Said::from(child.wait_with_output().unwrap());
    assert_eq!(said.code, Some(130), "{said:?}");
    let attempts = rows(&folder.path().join("out/attempts.csv"));
    let storms = attempts.iter().map(|row| row["storm"].as_str()).collect::<HashSet<_>>().len();
    assert!((1..20).contains(&storms), "{storms}");
    assert_eq!(attempts.len(), storms * INSTANCES);
    assert!(attempts.iter().any(|row| row["outcome"] == "killed"));
    assert!(attempts.iter().any(|row| row["outcome"] == "ready"));
    let run = std::fs::read_to_string(folder.path().join("out/run.json")).unwrap();
    assert!(run.contains("\"complete\": false"), "{run}");
}

#[test]
fn a_killed_run_can_be_reported() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = in_mid_storm(folder.path());
    signal(&child, Signal::SIGKILL);
    child.wait().unwrap();
    let count = |name: &str| rows(&folder.path().join("out").join(name)).len();
    // What of the storm under way had an outcome is there beside the rows of the storms before.
    assert_eq!(count("attempts.csv") % INSTANCES, 0);
    assert!(count("attempts-decided.csv") > count("attempts.csv"));
    let report = said(bench(folder.path()).args(["report", "out"]));
    assert_eq!(report.code, Some(0), "{report:?}");
    assert!(report.out.contains("did not come to its planned end"), "{report:?}");
    assert!(report.out.contains("had their outcome when the run was killed"), "{report:?}");
    // Its private folder; whatever else dead runs of this user have left may go with it.
    let clean = said(bench(folder.path()).arg("clean"));
    assert_eq!(clean.code, Some(0), "{clean:?}");
}

#[test]
fn a_full_disk_ends_the_run_with_its_reason_and_what_was_measured_still_reads() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: a small file system in a mount namespace needs root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = r#"
        mount -t tmpfs -o size=256k none . && cd "$PWD" || exit 99
        "$0" run boot-storm --on fake:ready=1ms --storms 2000 --warmup 0 --instances 20 --out out >run.out 2>run.err
        echo $? >&3
        cat run.err >&2
        rm run.err run.out
        head -n 3 out/attempts.csv >&2
        "$0" report out >report.out
        echo $? >&3
        # Room is made again: what was measured can be reported.
        mount -o remount,size=8m . && "$0" report out >report.out || exit 98
        cat report.out
    "#;
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "sh", "-c", &format!("exec 3>&1; {script}")]);
    command.arg(env!("CARGO_BIN_EXE_bench")).current_dir(folder.path());
    let said = said(&mut command);
    if said.code == Some(99) {
        eprintln!("skipped: this host mounts nothing in a mount namespace: {said:?}");
        return;
    }
    let mut lines = said.out.lines();
    assert_eq!(lines.next(), Some("1"), "{said:?}");
    assert!(said.err.contains("No space left on device"), "{said:?}");
    assert!(said.err.contains("what was measured until then is in out"), "{said:?}");
    assert!(said.err.contains("storm,backend,instance"), "{said:?}");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("fake:ready=1ms"), "{said:?}");
}

#[test]
fn exec_passes_output_and_exit_code_on() {
    let folder = tempfile::tempdir().unwrap();
    let run =
        said(bench(folder.path()).args(["exec", "process", "--", "/bin/sh", "-c", "echo hello; exit 3"]));
    assert_eq!((run.code, run.out.as_str()), (Some(3), "hello\n"), "{run:?}");
    let missing = said(bench(folder.path()).args(["exec", "process", "--", "/no/such/program"]));
    assert_eq!(missing.code, Some(1), "{missing:?}");
    assert!(missing.err.contains("/no/such/program"), "{missing:?}");
}
