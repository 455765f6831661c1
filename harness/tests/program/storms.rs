//! Whole runs on the fake backend.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::{bench, rows, said};

#[test]
fn attempts_reconcile_with_the_summary() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let script = "fake:ready=2ms+jitter=2ms+serving=1ms+fail=0.1+die=0.1";
    let said = said(
        bench(folder.path())
            .args(["run", "boot-storm", "--on"])
            .arg(format!("{script},fake:ready=1ms"))
            .args([
                "--instances",
                "10",
                "--storms",
                "3",
                "--warmup",
                "1",
                "--timeout",
                "5s",
                "--seed",
                "1",
                "--out",
            ])
            .arg(&out),
    );
    assert_eq!(said.code, Some(0), "{said:?}");
    let attempts = rows(&out.join("attempts.csv"));
    assert_eq!(attempts.len(), 2 * 10 * 4);
    let run: Value = serde_json::from_slice(&std::fs::read(out.join("run.json")).unwrap()).unwrap();
    assert_eq!(run["complete"], true);
    assert_eq!(run["seed"], 1);
    assert!(run["host"]["kernel"].is_string() && run["versions"]["bench"].is_string());
    let warmup: Vec<u64> =
        run["warmup_storms"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
    let mut counted: HashMap<(String, String), u64> = HashMap::new();
    for row in attempts.iter().filter(|row| !warmup.contains(&row["storm"].parse().unwrap())) {
        *counted.entry((row["backend"].clone(), row["outcome"].clone())).or_default() += 1;
    }
    let summary: Value = serde_json::from_slice(&std::fs::read(out.join("summary.json")).unwrap()).unwrap();
    for backend in summary["backends"].as_array().unwrap() {
        let name = backend["backend"].as_str().unwrap().to_owned();
        for outcome in ["ready", "failed", "timeout", "killed"] {
            let rows = counted.get(&(name.clone(), outcome.to_owned())).copied().unwrap_or(0);
            assert_eq!(backend["counted"][outcome].as_u64(), Some(rows), "{name} {outcome}: {backend}");
        }
    }
    assert!(counted[&(script.to_owned(), "failed".to_owned())] > 0, "{counted:?}");
    assert!(said.out.contains("fake:ready=1ms"), "{said:?}");
    assert!(!said.out.contains('\x1b') && !said.err.contains('\x1b'), "{said:?}");
}

#[test]
fn the_newest_run_is_latest_and_can_be_reported_again() {
    let folder = tempfile::tempdir().unwrap();
    let run = said(
        bench(folder.path()).args("run boot-storm --on fake --instances 2 --storms 1 --warmup 0".split(' ')),
    );
    assert_eq!(run.code, Some(0), "{run:?}");
    let again = said(bench(folder.path()).args(["report", "bench-results/latest"]));
    assert_eq!(again.code, Some(0), "{again:?}");
    let first_row =
        |text: &str| text.lines().find(|line| line.trim_start().starts_with("fake")).map(str::to_owned);
    assert!(first_row(&run.out).is_some(), "{run:?}");
    assert_eq!(first_row(&again.out), first_row(&run.out));
}

#[test]
fn a_backend_of_which_nothing_came_up_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let run = said(
        bench(folder.path())
            .args("run boot-storm --on fake:fail=1 --instances 2 --storms 1 --warmup 0 --out out".split(' ')),
    );
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.err.contains("not one instance"), "{run:?}");
    assert_eq!(rows(&folder.path().join("out/attempts.csv")).len(), 2);
}

#[test]
fn a_hanging_instance_is_a_timeout() {
    let folder = tempfile::tempdir().unwrap();
    let run = said(
        bench(folder.path()).args(
            "run boot-storm --on fake:hang=1 --instances 2 --storms 1 --warmup 0 --timeout 200ms --out out"
                .split(' '),
        ),
    );
    assert_eq!(run.code, Some(1), "{run:?}");
    let attempts = rows(&folder.path().join("out/attempts.csv"));
    assert_eq!(attempts.len(), 2, "{run:?}");
    assert!(attempts.iter().all(|row| row["outcome"] == "timeout"), "{attempts:?}");
}

#[test]
fn an_out_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    std::fs::create_dir(folder.path().join("full")).unwrap();
    std::fs::write(folder.path().join("full/something"), "").unwrap();
    for out in ["file", "file/below", "/proc/nowhere", "full"] {
        let run = said(bench(folder.path()).args(["run", "boot-storm", "--on", "fake", "--out", out]));
        assert_eq!(run.code, Some(1), "{out}: {run:?}");
        assert!(run.err.contains(out), "{out}: {run:?}");
    }
}

#[test]
fn a_backend_that_is_missing_is_77_by_name_and_left_out_by_default() {
    let folder = tempfile::tempdir().unwrap();
    // No program is found on this path, so QEMU is not.
    let empty = folder.path().join("bin");
    std::fs::create_dir(&empty).unwrap();
    std::fs::set_permissions(&empty, std::fs::Permissions::from_mode(0o755)).unwrap();
    let named = said(bench(folder.path()).env("PATH", &empty).args([
        "run",
        "boot-storm",
        "--on",
        "process,vm",
        "--dry-run",
    ]));
    assert_eq!(named.code, Some(77), "{named:?}");
    assert!(named.err.contains("vm:direct"), "{named:?}");
    let default = said(bench(folder.path()).env("PATH", &empty).args(["run", "boot-storm", "--dry-run"]));
    assert_eq!(default.code, Some(0), "{default:?}");
    assert!(default.out.contains("# would leave out: vm:direct"), "{default:?}");
    assert!(default.out.contains("# would run: process"), "{default:?}");
}

#[test]
fn a_folder_that_is_no_run_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let report = said(bench(folder.path()).args(["report", "."]));
    assert_eq!(report.code, Some(1), "{report:?}");
    assert!(report.err.contains("run.json"), "{report:?}");
}
