//! A run folder from its first row to the report.

mod fixture;

use std::fs::{self, OpenOptions};
use std::io::Write;

use results::claims::Verdict;
use results::record::{Attempt, Outcome};
use results::summary::Metric;
use results::{LoadedRun, RunFolder, default_path, point_latest, table, write_all};

#[test]
fn a_whole_run_is_summed_up_and_adds_up() {
    let dir = tempfile::tempdir().unwrap();
    // BENCH_FIXTURE keeps the run, to look at its report.
    let path = match std::env::var_os("BENCH_FIXTURE") {
        Some(kept) => kept.into(),
        None => dir.path().join("run"),
    };
    fixture::write(&path, &fixture::run()).unwrap();
    let summary = write_all(&path).unwrap();
    let rows = LoadedRun::load(&path).unwrap().attempts.len();
    assert_eq!(rows, 3 * (fixture::STORMS * fixture::INSTANCES) as usize);
    let total =
        |b: &results::summary::BackendSummary| b.counted.total() + b.warmup.total() + b.interrupted.total();
    assert_eq!(summary.backends.iter().map(total).sum::<usize>(), rows);
    for backend in &summary.backends {
        assert_eq!((backend.storms, backend.warmup_storms), (5, 1), "{}", backend.backend);
    }
    let vm = &summary.backends[2];
    assert_eq!((vm.counted.failed, vm.counted.timeout), (1, 1));
    let metric = &vm.metrics[&Metric::ReadyFromStarted];
    assert_eq!((metric.n_attempts, metric.n_censored), (40, 2));
    assert!(metric.percentiles["p90"].value.is_some() && metric.percentiles["p90"].high.is_none());
    assert!(metric.percentiles["p95"].reason.contains("72"));
    assert_eq!(
        vm.phases.iter().map(|p| p.phase.as_str()).collect::<Vec<_>>(),
        ["vmm", "firmware", "kernel", "init"]
    );
    let verdict = |id| &summary.claims.iter().find(|claim| claim.id == id).unwrap().verdict;
    assert_eq!(*verdict("no-boot-time"), Verdict::Refuted);
    assert!(matches!(verdict("boot-every-vm"), Verdict::Undetermined(why) if why.contains("vm:restore")));
    assert!(matches!(verdict("storm-stress"), Verdict::Undetermined(why) if why.contains("accelerator")));
    assert_eq!(table(&summary).len(), 4);
    for file in [
        "summary.json",
        "trace.json",
        "report.html",
        "charts/ecdf.svg",
        "charts/timeline.svg",
        "charts/phases.svg",
        "charts/stress.svg",
    ] {
        assert!(path.join(file).metadata().unwrap().len() > 500, "{file}");
    }
    let page = fs::read_to_string(path.join("report.html")).unwrap();
    // One script, ours: what a run says stays text.
    assert!(page.matches("<script").count() == 1 && page.contains("&lt;script&gt;"));
    assert!(!page.contains("Incomplete"));
}

#[test]
fn under_kvm_the_same_stress_is_admissible() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = fixture::run();
    run.host.insert("accelerator".into(), "kvm".into());
    fixture::write(&dir.path().join("run"), &run).unwrap();
    let summary = write_all(&dir.path().join("run")).unwrap();
    let stress = summary.claims.iter().find(|claim| claim.id == "storm-stress").unwrap();
    assert_eq!(stress.verdict, Verdict::Supported);
}

#[test]
fn a_killed_run_reads_without_its_cut_row_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let mut run = fixture::run();
    run.complete = false;
    fixture::write(&path, &run).unwrap();
    let file = path.join("attempts.csv");
    let text = fs::read(&file).unwrap();
    fs::write(&file, &text[..text.len() - 9]).unwrap();
    let summary = write_all(&path).unwrap();
    assert_eq!(summary.attempts, 143);
    assert!(summary.warnings.iter().any(|w| w.contains("attempts.csv is cut")));
    // The cut storm's other attempts are the quick ones: they count nowhere, and are not lost.
    assert_eq!((summary.backends[2].storms, summary.backends[2].interrupted.total()), (4, 7));
    assert!(fs::read_to_string(path.join("report.html")).unwrap().contains("Incomplete"));
}

#[test]
fn what_had_an_outcome_when_a_run_was_killed_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let mut run = fixture::run();
    run.complete = false;
    let folder = RunFolder::create(&path, &run).unwrap();
    let decided = Attempt {
        storm: 3,
        backend: "container".into(),
        instance: 0,
        config: "c".into(),
        scheduled_ns: 10,
        started_ns: Some(11),
        ready_ns: Some(15),
        serving_ns: None,
        stopped_ns: None,
        outcome: Outcome::Ready,
        error: String::new(),
    };
    let stopped = Attempt { stopped_ns: Some(30), ..decided.clone() };
    let second = Attempt { instance: 1, ..decided.clone() };
    folder.decided(&decided).unwrap();
    folder.decided(&second).unwrap();
    folder.attempt(&stopped).unwrap();
    let loaded = LoadedRun::load(&path).unwrap();
    assert_eq!(loaded.attempts, [stopped.clone(), second.clone()]);
    assert!(loaded.warnings.iter().any(|text| text.starts_with("1 attempts had their outcome")));

    // A run that came to its end has final rows only.
    folder.attempt(&Attempt { stopped_ns: Some(31), ..second }).unwrap();
    run.complete = true;
    folder.update(&run).unwrap();
    assert!(!path.join("attempts-decided.csv").exists());
    let loaded = LoadedRun::load(&path).unwrap();
    assert_eq!((loaded.attempts.len(), loaded.warnings.len()), (2, 0));
}

#[test]
fn every_possible_cut_of_the_rows_still_reads() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    fixture::write(&path, &fixture::run()).unwrap();
    let file = path.join("attempts.csv");
    let text = fs::read(&file).unwrap();
    for length in (0..text.len()).step_by(37) {
        fs::write(&file, &text[..length]).unwrap();
        LoadedRun::load(&path).unwrap_or_else(|error| panic!("cut at {length}: {error}"));
    }
}

#[test]
fn what_is_no_row_is_refused_with_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    let append = |file: &str, line: &str| {
        let path = dir.path().join(file.replace('.', "-")).join(line.len().to_string());
        fixture::write(&path, &fixture::run()).unwrap();
        let mut table = OpenOptions::new().append(true).open(path.join(file)).unwrap();
        table.write_all(line.as_bytes()).unwrap();
        LoadedRun::load(&path).unwrap_err().to_string()
    };
    let garbage = append("attempts.csv", "what is this\n");
    assert!(garbage.contains("attempts.csv, line 146") && garbage.contains("expected 11"), "{garbage}");
    let nan = append("host.csv", "1,,,NaN,,,,,,,,,,,,0\n");
    assert!(nan.contains("host.csv, line 38") && nan.contains("cpu_used_ratio"), "{nan}");
    let early = append("attempts.csv", "90,process,0,c,5,5,4,,,ready,\n");
    assert!(early.contains("before started_ns"), "{early}");
    let twice = append("attempts.csv", "0,process,0,c,5,5,6,,,ready,\n");
    assert!(twice.contains("twice"), "{twice}");
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("run.json"), r#"{"schema_version": 99, "what": "ever"}"#).unwrap();
    let error = LoadedRun::load(dir.path()).unwrap_err().to_string();
    assert!(error.contains("schema_version is 99"), "{error}");
}

#[test]
fn a_folder_in_use_is_left_alone_and_latest_points_at_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    let path = default_path(dir.path(), "2026-01-02T03:04:05.678Z", "boot-storm", "abc123456789");
    assert!(path.ends_with("20260102T030405Z-boot-storm-abc12345"), "{}", path.display());
    let folder = RunFolder::create(&path, &fixture::run()).unwrap();
    assert!(RunFolder::create(&path, &fixture::run()).unwrap_err().to_string().contains("not empty"));
    point_latest(&path).unwrap();
    point_latest(&path).unwrap();
    assert_eq!(fs::canonicalize(dir.path().join("latest")).unwrap(), fs::canonicalize(&path).unwrap());
    let mut run = fixture::run();
    run.complete = false;
    folder.update(&run).unwrap();
    assert!(!LoadedRun::load(folder.path()).unwrap().run.complete);
}

#[test]
fn hostile_names_stay_text_in_the_charts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    fixture::write(&path, &fixture::run()).unwrap();
    for file in ["attempts.csv", "phases.csv", "host.csv", "run.json"] {
        let text = fs::read_to_string(path.join(file)).unwrap();
        let hostile = text.replace("container", "<script>x&").replace("rootfs", "</svg><b>");
        fs::write(path.join(file), hostile).unwrap();
    }
    write_all(&path).unwrap();
    for file in
        ["report.html", "charts/ecdf.svg", "charts/timeline.svg", "charts/phases.svg", "charts/stress.svg"]
    {
        let text = fs::read_to_string(path.join(file)).unwrap();
        assert!(text.contains("&lt;script&gt;x&amp;"), "{file}");
        let ours = usize::from(file == "report.html");
        assert!(text.matches("<script").count() == ours && !text.contains("</svg><b>"), "{file}");
    }
}
