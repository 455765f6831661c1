//! Reading a run folder, also one whose run was killed.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::{
    ATTEMPT_COLUMNS, ATTEMPTS_CSV, CHECK_COLUMNS, CHECKS_CSV, DECIDED_CSV, DRILL_COLUMNS, DRILLS_CSV,
    HOST_COLUMNS, HOST_CSV, KSM_COLUMNS, KSM_CSV, MATRIX_COLUMNS, MATRIX_CSV, MEASURE_COLUMNS, MEASURES_CSV,
    MEMORY_COLUMNS, MEMORY_CSV, PHASE_COLUMNS, PHASES_CSV, READING_COLUMNS, READINGS_CSV, RUN_JSON,
    STORM_COLUMNS, STORMS_CSV,
};
use crate::Error;
use crate::record::{
    Attempt, Cell, Check, Drill, HostSample, KsmSample, Measure, MemoryStep, Outcome, Phase, Reading,
    ReadingOutcome, Run, SCHEMA_VERSION, Storm,
};

/// A run as read from its folder.
#[derive(Clone, Debug)]
pub struct LoadedRun {
    /// The folder.
    pub path: PathBuf,
    /// `run.json`.
    pub run: Run,
    /// `attempts.csv`.
    pub attempts: Vec<Attempt>,
    /// `phases.csv`.
    pub phases: Vec<Phase>,
    /// `host.csv`.
    pub host: Vec<HostSample>,
    /// `storms.csv`; empty where the scenario makes none.
    pub storms: Vec<Storm>,
    /// `memory.csv`; empty where the scenario looks at none.
    pub memory: Vec<MemoryStep>,
    /// `ksm.csv`; empty where nothing was merged.
    pub ksm: Vec<KsmSample>,
    /// `drills.csv`; empty where nothing failed on purpose.
    pub drills: Vec<Drill>,
    /// `checks.csv`; empty where the scenario asks none.
    pub checks: Vec<Check>,
    /// `matrix.csv`; empty where nothing was carried anywhere.
    pub matrix: Vec<Cell>,
    /// `measures.csv`; empty where nothing but times was measured.
    pub measures: Vec<Measure>,
    /// `readings.csv`; empty where nothing was asked of limits, shares and accounts.
    pub readings: Vec<Reading>,
    /// What is missing or was dropped in reading.
    pub warnings: Vec<String>,
}

impl LoadedRun {
    /// A run without rows, as when it has just begun.
    pub fn without_rows(run: Run) -> LoadedRun {
        LoadedRun {
            path: PathBuf::new(),
            run,
            attempts: Vec::new(),
            phases: Vec::new(),
            host: Vec::new(),
            storms: Vec::new(),
            memory: Vec::new(),
            ksm: Vec::new(),
            drills: Vec::new(),
            checks: Vec::new(),
            matrix: Vec::new(),
            measures: Vec::new(),
            readings: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Reads the run in the folder `path`. A last line without its end is dropped with a warning:
    /// that is what a killed run leaves.
    ///
    /// # Errors
    /// A file that cannot be read, a newer format, or a row that is not one, with file and line.
    pub fn load(path: &Path) -> Result<LoadedRun, Error> {
        let run = load_run(&path.join(RUN_JSON))?;
        let mut warnings = Vec::new();
        if !run.complete {
            warnings
                .push("the run did not come to its planned end: what is here is what it had measured".into());
        }
        let mut attempts =
            load_rows(&path.join(ATTEMPTS_CSV), ATTEMPT_COLUMNS, &mut warnings, check_attempt)?;
        let phases = load_rows(&path.join(PHASES_CSV), PHASE_COLUMNS, &mut warnings, check_phase)?;
        let host = load_rows(&path.join(HOST_CSV), HOST_COLUMNS, &mut warnings, check_host)?;
        let storms = load_optional(&path.join(STORMS_CSV), STORM_COLUMNS, &mut warnings, check_storm)?;
        let memory = load_optional(&path.join(MEMORY_CSV), MEMORY_COLUMNS, &mut warnings, |_| Ok(()))?;
        let ksm = load_optional(&path.join(KSM_CSV), KSM_COLUMNS, &mut warnings, |_| Ok(()))?;
        let drills = load_optional(&path.join(DRILLS_CSV), DRILL_COLUMNS, &mut warnings, |_| Ok(()))?;
        let checks = load_optional(&path.join(CHECKS_CSV), CHECK_COLUMNS, &mut warnings, |_| Ok(()))?;
        let matrix = load_optional(&path.join(MATRIX_CSV), MATRIX_COLUMNS, &mut warnings, |_| Ok(()))?;
        let measures = load_optional(&path.join(MEASURES_CSV), MEASURE_COLUMNS, &mut warnings, |_| Ok(()))?;
        let readings =
            load_optional(&path.join(READINGS_CSV), READING_COLUMNS, &mut warnings, check_reading)?;
        check_unique(path, &attempts)?;
        if !run.complete && path.join(DECIDED_CSV).exists() {
            let decided = load_rows(&path.join(DECIDED_CSV), ATTEMPT_COLUMNS, &mut warnings, check_attempt)?;
            add_decided(&mut attempts, decided, &mut warnings);
        }
        Ok(LoadedRun {
            path: path.to_owned(),
            run,
            attempts,
            phases,
            host,
            storms,
            memory,
            ksm,
            drills,
            checks,
            matrix,
            measures,
            readings,
            warnings,
        })
    }
}

fn load_run(path: &Path) -> Result<Run, Error> {
    let text = fs::read(path).map_err(Error::system("read", path))?;
    let invalid = |refused: serde_json::Error| Error::Invalid {
        path: path.to_owned(),
        what: format!("is no description of a run: {refused}"),
    };
    let value: serde_json::Value = serde_json::from_slice(&text).map_err(invalid)?;
    // The version is looked at before all else: a newer format may lack what this one needs.
    if let Some(found) = value.get("schema_version").and_then(serde_json::Value::as_u64)
        && found > u64::from(SCHEMA_VERSION)
    {
        return Err(Error::Newer { path: path.to_owned(), found, supported: SCHEMA_VERSION });
    }
    serde_json::from_value(value).map_err(invalid)
}

/// The rows of a file that not every run has.
fn load_optional<R: DeserializeOwned>(
    path: &Path,
    columns: &[&str],
    warnings: &mut Vec<String>,
    check: fn(&R) -> Result<(), String>,
) -> Result<Vec<R>, Error> {
    if path.exists() { load_rows(path, columns, warnings, check) } else { Ok(Vec::new()) }
}

fn load_rows<R: DeserializeOwned>(
    path: &Path,
    columns: &[&str],
    warnings: &mut Vec<String>,
    check: fn(&R) -> Result<(), String>,
) -> Result<Vec<R>, Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(missing) if missing.kind() == ErrorKind::NotFound => {
            warnings.push(format!("{name} is missing: the run ended before it was made"));
            return Ok(Vec::new());
        }
        Err(refused) => return Err(Error::system("read", path)(refused)),
    };
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    if whole < bytes.len() {
        warnings.push(format!("the last line of {name} is cut and was dropped"));
        bytes.truncate(whole);
    }
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let row_error = |line, what| Error::Row { path: path.to_owned(), line, what };
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let header = reader.headers().map_err(|refused| row_error(1, describe(&refused)))?.clone();
    if header.iter().ne(columns.iter().copied()) {
        return Err(row_error(
            1,
            format!("the columns are “{}”, expected “{}”", join(&header), columns.join(",")),
        ));
    }
    let mut rows = Vec::new();
    let mut record = csv::StringRecord::new();
    loop {
        let before = reader.position().line();
        match reader.read_record(&mut record) {
            Ok(false) => return Ok(rows),
            Ok(true) => {}
            Err(refused) => {
                let line = refused.position().map_or(before, csv::Position::line);
                return Err(row_error(line, describe(&refused)));
            }
        }
        let line = record.position().map_or(before, csv::Position::line);
        let row: R =
            record.deserialize(Some(&header)).map_err(|refused| row_error(line, describe(&refused)))?;
        check(&row).map_err(|what| row_error(line, what))?;
        rows.push(row);
    }
}

fn join(header: &csv::StringRecord) -> String {
    header.iter().collect::<Vec<_>>().join(",")
}

/// The reason without the place, which [`Error::Row`] has.
fn describe(refused: &csv::Error) -> String {
    match refused.kind() {
        csv::ErrorKind::Deserialize { err, .. } => {
            let field = err.field().and_then(|n| usize::try_from(n).ok());
            match field {
                Some(field) => format!("field {}: {}", field + 1, err.kind()),
                None => err.kind().to_string(),
            }
        }
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} fields, expected {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "is not UTF-8".into(),
        _ => refused.to_string(),
    }
}

fn check_attempt(row: &Attempt) -> Result<(), String> {
    if row.backend.is_empty() {
        return Err("backend is empty".into());
    }
    if row.outcome == Outcome::Ready && (row.ready_ns.is_none() || row.started_ns.is_none()) {
        return Err("outcome is ready, but started_ns or ready_ns is empty".into());
    }
    let started = row.started_ns.unwrap_or(0);
    for (name, time) in [("ready_ns", row.ready_ns), ("serving_ns", row.serving_ns)] {
        match time {
            Some(time) if time < started => {
                return Err(format!("{name} {time} is before started_ns {started}"));
            }
            Some(time) if time < row.scheduled_ns => {
                return Err(format!("{name} {time} is before scheduled_ns {}", row.scheduled_ns));
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_phase(row: &Phase) -> Result<(), String> {
    if row.end_ns < row.begin_ns {
        return Err(format!("end_ns {} is before begin_ns {}", row.end_ns, row.begin_ns));
    }
    Ok(())
}

fn check_storm(row: &Storm) -> Result<(), String> {
    if row.ended_ns < row.began_ns {
        return Err(format!("ended_ns {} is before began_ns {}", row.ended_ns, row.began_ns));
    }
    Ok(())
}

fn check_reading(row: &Reading) -> Result<(), String> {
    for (name, value) in
        [("asked", row.asked), ("least", row.least), ("most", row.most), ("measured", row.measured)]
    {
        if value.is_some_and(|value| !value.is_finite()) {
            return Err(format!("{name} is not a finite number"));
        }
    }
    if (row.outcome == ReadingOutcome::Measured) != row.measured.is_some() {
        return Err("outcome and measured do not agree".into());
    }
    Ok(())
}

fn check_host(row: &HostSample) -> Result<(), String> {
    let numbers = [
        ("cpu_used_ratio", row.cpu_used_ratio),
        ("cpu_steal_ratio", row.cpu_steal_ratio),
        ("psi_cpu_some_ratio", row.psi_cpu_some_ratio),
        ("psi_io_some_ratio", row.psi_io_some_ratio),
        ("psi_memory_some_ratio", row.psi_memory_some_ratio),
        ("forks_per_s", row.forks_per_s),
    ];
    for (name, value) in numbers {
        if value.is_some_and(|value| !value.is_finite()) {
            return Err(format!("{name} is not a finite number"));
        }
    }
    Ok(())
}

/// Adds the attempts that had an outcome and were not stopped when the run was killed.
fn add_decided(attempts: &mut Vec<Attempt>, decided: Vec<Attempt>, warnings: &mut Vec<String>) {
    let key = |row: &Attempt| (row.storm, row.backend.clone(), row.instance);
    let mut seen: HashSet<_> = attempts.iter().map(key).collect();
    let before = attempts.len();
    attempts.extend(decided.into_iter().filter(|row| seen.insert(key(row))));
    let added = attempts.len() - before;
    if added > 0 {
        warnings.push(format!(
            "{added} attempts had their outcome when the run was killed, but had not been stopped: their phases are not known"
        ));
    }
}

fn check_unique(path: &Path, attempts: &[Attempt]) -> Result<(), Error> {
    let mut seen = HashSet::new();
    for (index, row) in attempts.iter().enumerate() {
        if !seen.insert((row.storm, row.backend.as_str(), row.instance)) {
            return Err(Error::Row {
                path: path.join(ATTEMPTS_CSV),
                line: index as u64 + 2,
                what: format!("storm {} {} instance {} is there twice", row.storm, row.backend, row.instance),
            });
        }
    }
    Ok(())
}
