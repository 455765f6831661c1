//! `ab`, `aa`, `compare`, `history`, `baseline`, `claims`, `explain` and exports, on the fake backend.

use std::path::Path;

use serde_json::Value;

use crate::{bench, said, say};

/// Short sessions; settling takes what time there is.
const SHORT: &str = "--instances 4 --warmup 0 --workload ready --timeout 5s --seed 3";

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn comparison(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path.join("comparison.json")).unwrap()).unwrap()
}

#[test]
fn a_slower_configuration_regressed_is_confirmed_exported_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let ab = said(
        bench(home)
            .args(words("ab fake:ready=10ms fake:ready=10ms,delay=200ms --storms 6 --confirm 6 --out ab"))
            .args(words(SHORT))
            .args(["--export", "junit=junit.xml", "--export", "github-annotations"]),
    );
    assert_eq!(ab.code, Some(10), "{ab:?}");
    assert!(ab.out.contains("fresh storms") && ab.out.contains("regressed"), "{ab:?}");
    assert!(ab.out.lines().any(|line| line.starts_with("::error title=bench boot-storm::")), "{ab:?}");
    assert!(std::fs::read_to_string(home.join("junit.xml")).unwrap().contains("<failure"));
    for session in ["ab", "ab.confirm"] {
        let run: Value =
            serde_json::from_slice(&std::fs::read(home.join(session).join("run.json")).unwrap()).unwrap();
        assert_eq!(run["plan"]["interleave"], "abba", "{session}");
        let order: Vec<&str> =
            run["self_test"]["storm_order"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        for block in order.chunks(4) {
            assert!(block == ["A", "B", "B", "A"] || block == ["B", "A", "A", "B"], "{order:?}");
        }
        let found = comparison(&home.join(session));
        let change = &found["changes"][0];
        assert_eq!(
            (&change["verdict"], &change["metric"]),
            (&"regressed".into(), &"ready-from-scheduled".into())
        );
        let bound = |end: &str| change["difference"][end].as_f64().unwrap() / 1e6;
        // Launches that wait for each other make it more on a busy host, never less.
        assert!(bound("high") > 30.0 && bound("low") > 25.0, "{change}");
    }
    assert_ne!(comparison(&home.join("ab"))["seed"], comparison(&home.join("ab.confirm"))["seed"]);

    // The same runs on both sides, and as baselines.
    let same = said(bench(home).args(["compare", "ab", "ab"]));
    assert_eq!(same.code, Some(2), "{same:?}");
    assert!(same.err.contains("both sides"), "{same:?}");
    let saved = said(bench(home).args(["baseline", "save", "v1", "ab"]));
    assert_eq!(saved.code, Some(0), "{saved:?}");
    let again = said(bench(home).args(["baseline", "save", "v1", "ab"]));
    assert_eq!(again.code, Some(2), "{again:?}");
    let none = said(bench(home).args(["compare", "baseline", "ab.confirm"]));
    assert!(none.code == Some(1) && none.err.contains("bench baseline list"), "{none:?}");
    assert_eq!(said(bench(home).args(["baseline", "promote", "v1"])).code, Some(0));
    let list = said(bench(home).args(["baseline", "list"]));
    assert!(list.out.contains("current") && list.out.contains("v1"), "{list:?}");
    for base in ["baseline", "baseline:v1", "bench-baselines/v1.json"] {
        let compared = said(bench(home).args(["compare", base, "ab.confirm", "--export", "json=c.json"]));
        assert!(!compared.out.contains("incomparable"), "{base}: {compared:?}");
        let file: Value = serde_json::from_slice(&std::fs::read(home.join("c.json")).unwrap()).unwrap();
        assert_eq!(file["changes"].as_array().unwrap().len(), 4, "{base}: {file}");
    }

    // Rules: a floor lets it pass, one that matches nothing is an error.
    let rule = |text: &str| std::fs::write(home.join("bench.toml"), text).unwrap();
    rule("[[compare.ignore]]\nmetric = \"serving-*\"\nreason = \"gone\"\n");
    let unused = said(bench(home).args(["compare", "baseline", "ab.confirm"]));
    assert!(unused.code == Some(2) && unused.err.contains("matches nothing"), "{unused:?}");
    rule("[[compare.flor]]\nrelative = 1.0\nreason = \"x\"\n");
    let unknown = said(bench(home).args(["compare", "baseline", "ab.confirm"]));
    assert!(unknown.code == Some(2) && unknown.err.contains("\"floor\""), "{unknown:?}");
    rule("[[compare.ignore]]\nreason = \"all of it\"\n");
    let ignored = said(bench(home).args(["compare", "baseline", "ab.confirm", "--strict"]));
    assert!(ignored.code == Some(0) && ignored.out.contains("ignored: all of it"), "{ignored:?}");
    std::fs::remove_file(home.join("bench.toml")).unwrap();

    // Another host: nothing is judged, and it fails only where it must not be.
    let path = home.join("ab.confirm/run.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut run: Value = serde_json::from_str(&text).unwrap();
    run["host"]["cpu_model"] = "another".into();
    std::fs::write(&path, run.to_string()).unwrap();
    let other = said(bench(home).args(["compare", "baseline", "ab.confirm"]));
    assert!(other.code == Some(0) && other.out.contains("cpu_model is"), "{other:?}");
    assert_eq!(said(bench(home).args(["compare", "baseline", "ab.confirm", "--strict"])).code, Some(13));
    run["schema_version"] = 99.into();
    std::fs::write(&path, run.to_string()).unwrap();
    let newer = said(bench(home).args(["compare", "baseline", "ab.confirm"]));
    assert!(newer.code == Some(1) && newer.err.contains("schema_version is 99"), "{newer:?}");
}

#[test]
fn the_same_twice_raises_no_alarm_and_proposes_floors_that_can_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let aa = said(
        bench(home)
            .args(words("aa fake:ready=20ms+jitter=2ms --pairs 2 --storms 5 --out aa"))
            .args(words(SHORT)),
    );
    assert_eq!(aa.code, Some(0), "{aa:?}");
    assert!(aa.out.contains("2 pairs of 5 storms a side"), "{aa:?}");
    let noise: Value = serde_json::from_slice(&std::fs::read(home.join("aa/noise.json")).unwrap()).unwrap();
    assert_eq!((noise["pairs"].as_u64(), noise["comparisons"].as_u64()), (Some(2), Some(4)));
    // What is proposed can be put into bench.toml as it is.
    let from = aa.out.find("    [[compare.floor]]").unwrap();
    let rules: String = aa.out[from..].lines().take(5).map(|line| format!("{}\n", line.trim())).collect();
    std::fs::write(home.join("bench.toml"), &rules).unwrap();
    let history = said(bench(home).args(["history", "."]));
    assert_eq!(history.code, Some(0), "{rules}{history:?}");
    assert!(history.out.contains("fewer than four comparable runs"), "{history:?}");
    assert_eq!(said(bench(home).args(["history", ".", "--strict"])).code, Some(12));
    let json =
        said(bench(home).args(["history", ".", "--json", "--backend", "A", "--export", "otava=o.csv"]));
    let series: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(series[0]["points"].as_array().unwrap().len(), 1, "{json:?}");
    assert!(std::fs::read_to_string(home.join("o.csv")).unwrap().contains("A.ready-from-scheduled"));
    let claims = said(bench(home).args(["claims", "."]));
    assert_eq!(
        claims.out.lines().filter(|line| line.starts_with("  “")).count(),
        results::claims::CLAIMS.len(),
        "{claims:?}"
    );
    let report = said(bench(home).args(["report", "aa", "--export", "openmetrics"]));
    assert!(report.out.ends_with("# EOF\n"), "{report:?}");
}

/// The claims' runs themselves need minutes; here it is what is around them.
#[test]
fn the_claims_runs_are_planned_and_their_dossier_is_reported() {
    let planned = say("run claims --quick --dry-run");
    assert_eq!(planned.code, Some(0), "{planned:?}");
    for part in ["serial", "burst", "clones", "density", "drill"] {
        assert!(planned.out.lines().any(|line| line.starts_with(part)), "{part}: {planned:?}");
    }
    let some = say("run claims --on process --dry-run");
    assert!(some.out.contains("left out: none of its backends (vm:full)"), "{some:?}");
    let sized = say("run claims --instances 3");
    assert!(sized.code == Some(2) && sized.err.contains("--instances does not go"), "{sized:?}");

    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let run = said(
        bench(home)
            .args(words("run boot-storm --on fake:ready=2ms --storms 5 --out bench-results/d/01-burst"))
            .args(words(SHORT)),
    );
    assert_eq!(run.code, Some(0), "{run:?}");
    let part = |name: &str, reason: &str| serde_json::json!({"name": name, "scenario": "boot-storm", "question": "?", "reason": reason});
    let dossier = serde_json::json!({"schema_version": 1, "id": "d", "began_at": "2026", "argv": ["bench"],
        "parts": [part("01-burst", ""), part("02-clones", "no mmdebstrap")], "complete": true});
    std::fs::write(home.join("bench-results/d/dossier.json"), dossier.to_string()).unwrap();
    let report = said(bench(home).args(["report", "bench-results/d"]));
    assert_eq!(report.code, Some(0), "{report:?}");
    assert!(report.out.contains("left out: 02-clones (no mmdebstrap)"), "{report:?}");
    assert!(
        report.out.contains(&format!("0 mixed, {} undetermined", results::claims::CLAIMS.len())),
        "{report:?}"
    );
    assert!(home.join("bench-results/d/claims.json").exists());
    let claims = said(bench(home).arg("claims"));
    assert!(claims.code == Some(0) && claims.out.contains("from bench-results/d"), "{claims:?}");
}

#[test]
fn wrong_usage_is_answered_with_the_nearest() {
    for (arguments, nearest) in [
        ("ab fake fake --on process", "--on"),
        ("ab fake fake,acel=kvm", "\"accel\""),
        ("ab fake proces", "\"process\""),
        ("aa fake --pairs 0", "--pairs"),
        ("compare a b --export junti", "\"junit\""),
        ("compare a b --export junit=", "no file"),
        ("history . --metric ready-from-strated", "\"ready-from-started\""),
        ("explain no-bot-time", "\"no-boot-time\""),
        ("baseline save ../x y", "no name"),
    ] {
        let said = say(arguments);
        assert_eq!(said.code, Some(2), "{arguments}: {said:?}");
        assert!(said.err.contains(nearest), "{arguments}: {said:?}");
    }
    let no_qemu = say("ab vm vm,qemu=/nowhere/qemu");
    assert!(no_qemu.code == Some(77) && no_qemu.err.contains("/nowhere/qemu"), "{no_qemu:?}");
    for (arguments, named) in [("compare nowhere nowhere", "nowhere"), ("history .", "holds no run")] {
        let said = say(arguments);
        assert_eq!(said.code, Some(1), "{arguments}: {said:?}");
        assert!(said.err.contains(named), "{arguments}: {said:?}");
    }
}

#[test]
fn everything_is_explained_and_shells_and_man_are_served() {
    let names = say("explain");
    assert!(names.out.lines().any(|line| line == "storm-stress"), "{names:?}");
    let claim = say("explain vm-density");
    assert!(claim.out.contains("hypothesis") && claim.out.contains("bench run density"), "{claim:?}");
    for shell in ["bash", "zsh", "fish"] {
        let said = say(&format!("completions {shell}"));
        assert!(said.code == Some(0) && said.out.contains("compare"), "{shell}: {said:?}");
    }
    let man = say("man");
    assert!(man.out.contains(".TH bench 1") && man.out.contains("BENCH AB"), "{man:?}");
    let claims = say("claims");
    assert!(claims.out.contains("needs bench run isolation"), "{claims:?}");
}
