//! Comparisons of runs on disk: never a wrong verdict.

mod fixture;

use std::fs;
use std::path::{Path, PathBuf};

use results::compare::{Comparison, FloorRule, IgnoreRule, Quantity, Rules, Side, Unit, Verdict, compare};
use results::record::Run;
use results::{LoadedRun, write_all};

/// A made-up run in `dir` whose latencies are `factor` times those of the fixture, changed by `change`.
fn run(dir: &Path, name: &str, factor: f64, change: impl FnOnce(&mut Run)) -> PathBuf {
    let path = dir.join(name);
    let mut run = fixture::run();
    run.id = name.into();
    run.plan["storms"] = 9.into();
    change(&mut run);
    fixture::write_scaled(&path, &run, factor, 10).unwrap();
    path
}

fn side(path: &Path) -> Side {
    Side::of_runs(&path.display().to_string(), &[LoadedRun::load(path).unwrap()])
}

fn judged(base: &Side, head: &Side) -> Comparison {
    compare(base, head, &Rules::default(), 1).unwrap()
}

fn verdict(comparison: &Comparison, backend: &str, metric: Quantity) -> Verdict {
    comparison.changes.iter().find(|c| c.backend == backend && c.metric == metric).unwrap().verdict
}

const READY: Quantity = Quantity::ReadyFromScheduled;

#[test]
fn a_slower_head_regressed_a_quicker_one_improved_and_the_same_is_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let base = side(&run(dir.path(), "base", 1.0, |_| {}));
    let slow = judged(&base, &side(&run(dir.path(), "slow", 1.3, |_| {})));
    assert_eq!(verdict(&slow, "container", READY), Verdict::Regressed, "{:#?}", slow.changes[0]);
    assert_eq!(slow.overall(), Verdict::Regressed);
    let change = slow.changes.iter().find(|c| c.backend == "container" && c.metric == READY).unwrap();
    let ratio = &change.ratio;
    assert!((ratio.low.unwrap()..ratio.high.unwrap()).contains(&1.3), "{ratio:?}");
    assert!(change.adjusted_p.unwrap() < 0.01 && change.test.unwrap().exact);
    let quick = judged(&base, &side(&run(dir.path(), "quick", 0.7, |_| {})));
    assert_eq!(verdict(&quick, "container", READY), Verdict::Improved);
    assert!(!quick.has(Verdict::Regressed));
    let same = judged(&base, &side(&run(dir.path(), "same", 1.0, |_| {})));
    assert!(!same.has(Verdict::Regressed) && !same.has(Verdict::Improved));
    assert_eq!(verdict(&same, "container", Quantity::NotReadyShare), Verdict::Unchanged);
}

#[test]
fn another_host_or_workload_is_incomparable_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let base = side(&run(dir.path(), "base", 1.0, |_| {}));
    type Change = fn(&mut Run);
    let cases: [(&str, Change); 5] = [
        ("host cpu_model", |run| _ = run.host.insert("cpu_model".into(), "another".into())),
        ("host kernel", |run| _ = run.host.insert("kernel".into(), "7.0".into())),
        ("host governor", |run| _ = run.host.insert("governor".into(), "powersave".into())),
        ("plan instances", |run| run.plan["instances"] = 9.into()),
        ("scenario", |run| run.scenario = "density".into()),
    ];
    for (index, (named, change)) in cases.into_iter().enumerate() {
        let head = side(&run(dir.path(), &format!("head{index}"), 2.0, change));
        let comparison = judged(&base, &head);
        assert!(comparison.changes.iter().all(|c| c.verdict == Verdict::Incomparable), "{named}");
        assert!(
            comparison.changes.iter().all(|c| c.why.contains(named)),
            "{named}: {:?}",
            comparison.changes[0]
        );
    }
    // An accelerator is the business of virtual machines only.
    let kvm =
        side(&run(dir.path(), "kvm", 1.0, |run| _ = run.host.insert("accelerator".into(), "kvm".into())));
    let comparison = judged(&base, &kvm);
    assert_eq!(verdict(&comparison, "vm:direct", READY), Verdict::Incomparable);
    assert_ne!(verdict(&comparison, "process", READY), Verdict::Incomparable);
    // Two hosts on one side.
    let other = run(dir.path(), "other", 1.0, |run| _ = run.host.insert("cpu_model".into(), "x".into()));
    let mixed = Side::of_runs(
        "mixed",
        &[LoadedRun::load(&dir.path().join("kvm")).unwrap(), LoadedRun::load(&other).unwrap()],
    );
    let comparison = judged(&base, &mixed);
    assert_eq!(verdict(&comparison, "process", READY), Verdict::Incomparable);
}

#[test]
fn a_backend_that_is_gone_or_new_is_incomparable() {
    let dir = tempfile::tempdir().unwrap();
    let base = side(&run(dir.path(), "base", 1.0, |_| {}));
    let mut head = side(&run(dir.path(), "head", 1.0, |_| {}));
    let group = head.groups.remove("container").unwrap();
    head.groups.insert("containr".into(), group);
    let comparison = judged(&base, &head);
    for name in ["container", "containr"] {
        assert_eq!(verdict(&comparison, name, READY), Verdict::Incomparable);
    }
    let why = &comparison.changes.iter().find(|c| c.backend == "container").unwrap().why;
    assert!(why.contains("the head") && why.contains("container"), "{why}");
}

#[test]
fn too_few_storms_are_inconclusive_however_large_the_change() {
    let dir = tempfile::tempdir().unwrap();
    let (mut base, mut head) =
        (side(&run(dir.path(), "base", 1.0, |_| {})), side(&run(dir.path(), "head", 9.0, |_| {})));
    for side in [&mut base, &mut head] {
        side.groups.values_mut().for_each(|group| group.storms.truncate(4));
    }
    let comparison = judged(&base, &head);
    assert!(comparison.changes.iter().all(|c| c.verdict == Verdict::Inconclusive), "{comparison:#?}");
    assert!(comparison.changes[0].why.contains("storms a side"), "{}", comparison.changes[0].why);
    // And none at all.
    for side in [&mut base, &mut head] {
        side.groups.values_mut().for_each(|group| group.storms.clear());
    }
    let error = compare(&base, &head, &Rules::default(), 1).unwrap_err().to_string();
    assert!(error.contains("nothing to compare"), "{error}");
}

#[test]
fn attempts_that_stop_coming_up_are_a_regression_of_their_share() {
    let dir = tempfile::tempdir().unwrap();
    let base = side(&run(dir.path(), "base", 1.0, |_| {}));
    let mut head = base.clone();
    head.runs[0].id = "head".into();
    for storm in &mut head.groups.get_mut("process").unwrap().storms {
        // Half of each storm; the medians of what came up stay as they were or get better.
        storm.not_ready = storm.attempts / 2;
        storm.latencies_ns.values_mut().for_each(|values| values.truncate(storm.attempts / 2));
    }
    let comparison = judged(&base, &head);
    assert_eq!(verdict(&comparison, "process", Quantity::NotReadyShare), Verdict::Regressed);
    assert_ne!(verdict(&comparison, "process", READY), Verdict::Improved);
}

#[test]
fn rules_set_floors_leave_out_with_a_reason_and_must_match() {
    let dir = tempfile::tempdir().unwrap();
    let (base, head) =
        (side(&run(dir.path(), "base", 1.0, |_| {})), side(&run(dir.path(), "head", 1.3, |_| {})));
    let floor = |backend: &str| FloorRule {
        backend: Some(backend.into()),
        metric: None,
        relative: Some(0.9),
        absolute_ns: None,
        absolute_share: None,
        reason: "made of wood".into(),
    };
    let ignore = |metric: &str| IgnoreRule {
        backend: None,
        metric: Some(metric.into()),
        reason: "nobody asked".into(),
    };
    let rules = Rules { floors: vec![floor("cont*")], ignores: vec![ignore("*-share")], ..Rules::default() };
    let comparison = compare(&base, &head, &rules, 1).unwrap();
    assert_eq!(verdict(&comparison, "container", READY), Verdict::Unchanged);
    assert_eq!(verdict(&comparison, "vm:direct", READY), Verdict::Regressed);
    assert_eq!(comparison.ignored.len(), 3);
    assert!(comparison.ignored.iter().all(|one| one.reason == "nobody asked"));
    for unused in [
        Rules { floors: vec![floor("jail")], ..Rules::default() },
        Rules { ignores: vec![ignore("serving-*")], ..Rules::default() },
    ] {
        let error = compare(&base, &head, &unused, 1).unwrap_err().to_string();
        assert!(error.contains("matches nothing"), "{error}");
    }
}

#[test]
fn with_enough_runs_the_run_is_the_unit() {
    let dir = tempfile::tempdir().unwrap();
    let runs = |name: &str, n: usize| -> Vec<LoadedRun> {
        (0..n)
            .map(|i| LoadedRun::load(&run(dir.path(), &format!("{name}{i}"), 1.0, |_| {})).unwrap())
            .collect()
    };
    let (base, head) = (Side::of_runs("base", &runs("base", 6)), Side::of_runs("head", &runs("head", 6)));
    let comparison = judged(&base, &head);
    assert_eq!((comparison.unit, comparison.changes[0].base.n), (Unit::Run, 6));
    // Runs that are all the same have nothing to say of how runs differ: no change is seen.
    assert!(!comparison.has(Verdict::Regressed));
}

#[test]
fn a_baseline_gives_the_verdicts_of_its_runs_and_damage_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (base, head) =
        (side(&run(dir.path(), "base", 1.0, |_| {})), side(&run(dir.path(), "head", 1.3, |_| {})));
    let file = dir.path().join("b.json");
    base.save(&file).unwrap();
    let loaded = Side::load(&file).unwrap();
    assert_eq!(loaded, base);
    assert_eq!(judged(&loaded, &head), judged(&base, &head));
    let text = fs::read_to_string(&file).unwrap();
    for (from, to, said) in [
        ("{\"schema_version\":1", "{\"schema_version\":9", "schema_version is 9"),
        ("\"attempts\":8", "\"attempts\":2", "does not add up"),
        ("\"run\":0", "\"run\":3", "does not add up"),
        ("\"label\"", "\"lebal\"", "no baseline"),
        ("\"storm\":", "\"storm\":-", "no baseline"),
    ] {
        fs::write(&file, text.replacen(from, to, 1)).unwrap();
        let error = Side::load(&file).unwrap_err().to_string();
        assert!(error.contains(said) && error.contains("b.json"), "{from}: {error}");
    }
    fs::write(&file, &text[..text.len() / 2]).unwrap();
    assert!(Side::load(&file).is_err());
}

#[test]
fn a_cut_table_is_told_and_its_cut_storm_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let base = side(&run(dir.path(), "base", 1.0, |_| {}));
    let path = run(dir.path(), "head", 1.0, |run| run.complete = false);
    let file = path.join("attempts.csv");
    let text = fs::read(&file).unwrap();
    fs::write(&file, &text[..text.len() - 9]).unwrap();
    write_all(&path).unwrap();
    let comparison = judged(&base, &side(&path));
    assert!(
        comparison.notes.iter().any(|note| note.contains("attempts.csv is cut")),
        "{:?}",
        comparison.notes
    );
    let vm = comparison.changes.iter().find(|c| c.backend == "vm:direct").unwrap();
    assert_eq!((vm.base.n, vm.head.n), (9, 8));
}

#[test]
fn a_head_that_is_older_than_its_base_is_noted() {
    let dir = tempfile::tempdir().unwrap();
    let base = side(&run(dir.path(), "base", 1.0, |run| run.began_at = "2026-02-01T00:00:00Z".into()));
    let head = side(&run(dir.path(), "head", 1.0, |_| {}));
    assert!(judged(&base, &head).notes.iter().any(|note| note.contains("mixed up")));
    assert!(!judged(&head, &base).notes.iter().any(|note| note.contains("mixed up")));
}
