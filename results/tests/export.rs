//! Exports: what their consumers read. Their own parsers are asked where they are installed
//! (`scripts/test` does that), their written rules always.

mod fixture;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use results::compare::{Rules, Side, compare};
use results::export::{Document, all, by_name, schema};
use results::{LoadedRun, summarize};

fn loaded(dir: &Path, name: &str, factor: f64) -> LoadedRun {
    let mut run = fixture::run();
    run.id = name.into();
    let path = dir.join(name);
    fixture::write_scaled(&path, &run, factor, 10).unwrap();
    LoadedRun::load(&path).unwrap()
}

fn of_run(dir: &Path) -> Document {
    let run = loaded(dir, "run", 1.0);
    Document::of_run(&run.run, &summarize(&run))
}

fn of_comparison(dir: &Path) -> Document {
    let side = |name: &str, factor| Side::of_runs(name, &[loaded(dir, name, factor)]);
    let comparison = compare(&side("base", 1.0), &side("head", 1.3), &Rules::default(), 1).unwrap();
    Document::of_comparison(&comparison)
}

fn text(format: &str, documents: &[Document]) -> String {
    let mut out = Vec::new();
    by_name(format).unwrap().write(documents, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The schemas beside the code are those of the types. `UPDATE_SCHEMAS=1 cargo test` writes them.
#[test]
fn the_published_schemas_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    for (name, text) in schema::all() {
        let path = folder.join(format!("{name}.schema.json"));
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let published = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            published == text,
            "{} is not current: UPDATE_SCHEMAS=1 cargo test -p results",
            path.display()
        );
    }
}

#[test]
fn every_format_writes_runs_and_comparisons() {
    let dir = tempfile::tempdir().unwrap();
    let documents = [of_run(dir.path()), of_comparison(dir.path())];
    for format in all() {
        for document in &documents {
            let text = text(format.name(), std::slice::from_ref(document));
            assert!(text.contains("container"), "{}: {text}", format.name());
            assert!(!text.contains('\u{1b}'), "{}: a control character", format.name());
            let mut words = text.split(|c: char| !c.is_alphanumeric());
            assert!(!words.any(|word| matches!(word, "NaN" | "inf" | "nan")), "{}: {text}", format.name());
        }
        text(format.name(), &documents);
        text(format.name(), &[]);
    }
}

#[test]
fn an_annotation_is_one_line_a_scenario_and_an_error_where_it_regressed() {
    let dir = tempfile::tempdir().unwrap();
    let lines = text("github-annotations", &[of_run(dir.path()), of_comparison(dir.path())]);
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("::notice title=bench boot-storm::"), "{}", lines[0]);
    assert!(lines[1].starts_with("::error title=bench boot-storm::"), "{}", lines[1]);
    assert!(lines[1].contains("regressed") && lines[1].contains("%0A") && lines[1].contains("%25"));
}

#[test]
fn hostile_text_stays_text_in_markdown() {
    let dir = tempfile::tempdir().unwrap();
    let mut document = of_run(dir.path());
    document.notes = vec![fixture::HOSTILE.into(), "a|b @everyone".into()];
    let text = text("markdown", &[document]);
    assert!(!text.contains("<script") && text.contains("&lt;script&gt;"));
    assert!(text.contains("a\\|b &#64;everyone"));
}

#[test]
fn numbers_keep_their_meaning_across_units() {
    let dir = tempfile::tempdir().unwrap();
    let document = of_run(dir.path());
    let figure = document
        .figures
        .iter()
        .find(|figure| figure.backend == "container" && figure.metric.name() == "ready-from-started")
        .unwrap()
        .clone();
    let ns = figure.estimate.value.unwrap();
    let bencher: serde_json::Value =
        serde_json::from_str(&text("bencher", std::slice::from_ref(&document))).unwrap();
    let metric = &bencher["boot-storm/container"]["ready-from-started"];
    assert_eq!(metric["value"].as_f64(), Some(ns));
    assert!(metric["lower_value"].as_f64().unwrap() <= ns && ns <= metric["upper_value"].as_f64().unwrap());
    let custom: serde_json::Value =
        serde_json::from_str(&text("github-action-benchmark", std::slice::from_ref(&document))).unwrap();
    let entry =
        custom.as_array().unwrap().iter().find(|e| e["name"] == "boot-storm/container/ready-from-started");
    assert_eq!(entry.unwrap()["value"].as_f64(), Some(ns * 1e-6));
    let metrics = text("openmetrics", &[document]);
    let line = metrics
        .lines()
        .find(|line| {
            line.starts_with("bench_ready_from_started_seconds{")
                && line.contains("backend=\"container\"")
                && line.contains("\"median\"")
        })
        .unwrap();
    let seconds: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
    assert!((seconds - ns * 1e-9).abs() < 1e-12);
}

/// The consumers' own parsers: `results/tests/consumers.py`.
#[test]
fn the_consumers_read_them() {
    let python = consumers();
    if !python.exists() {
        println!("skipped: {} is not there (scripts/test makes it)", python.display());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    fs::create_dir(&out).unwrap();
    for (kind, documents) in [
        ("run", vec![of_run(dir.path())]),
        ("comparison", vec![of_comparison(dir.path())]),
        ("history", (0..12).map(|day| aged(dir.path(), day)).collect()),
    ] {
        for format in all() {
            fs::write(out.join(format!("{kind}.{}", format.name())), text(format.name(), &documents))
                .unwrap();
        }
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let told = Command::new(&python)
        .arg(here.join("tests/consumers.py"))
        .args([&out, &here.join("schema")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&told.stdout).into_owned() + &String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success(), "{said}");
    println!("{said}");
}

fn aged(dir: &Path, day: u32) -> Document {
    let mut document = Document::of_run(
        &loaded(dir, "one", 1.0).run,
        &summarize(&LoadedRun::load(&dir.join("one")).unwrap()),
    );
    fs::remove_dir_all(dir.join("one")).unwrap();
    document.began_at = format!("2026-01-{:02}T00:00:00Z", day + 1);
    let factor = if day >= 6 { 1.5 } else { 1.0 };
    for figure in &mut document.figures {
        let estimate = &mut figure.estimate;
        for value in [&mut estimate.value, &mut estimate.low, &mut estimate.high].into_iter().flatten() {
            *value *= factor * (1.0 + 0.001 * f64::from(day % 3));
        }
    }
    document
}

/// Where `scripts/setup.sh` puts them: beside what cargo builds.
fn consumers() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("consumers").join("bin/python")
}
