//! The folder of one run: written row by row while the run goes on, read afterwards.
//!
//! One line of a file is one row, so that a file cut anywhere loses at most its last row.

mod append;
mod load;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub use load::LoadedRun;

use crate::Error;
use crate::record::{
    Attempt, Cell, Check, Drill, HostSample, KsmSample, Measure, MemoryStep, Phase, Reading, Run, Storm,
};
use append::AppendFile;

/// Name of the run's description.
pub const RUN_JSON: &str = "run.json";
/// Name of the table of attempts.
pub const ATTEMPTS_CSV: &str = "attempts.csv";
/// Name of the table of attempts whose outcome is known and which are not stopped yet. It has the
/// columns of [`ATTEMPTS_CSV`], is read only for attempts that are not there, and goes away when the
/// run is complete: what a killed run keeps of the storm under way.
pub const DECIDED_CSV: &str = "attempts-decided.csv";
/// Name of the table of phases.
pub const PHASES_CSV: &str = "phases.csv";
/// Name of the host's time series.
pub const HOST_CSV: &str = "host.csv";

/// Columns of `attempts.csv`.
pub const ATTEMPT_COLUMNS: &[&str] = &[
    "storm",
    "backend",
    "instance",
    "config",
    "scheduled_ns",
    "started_ns",
    "ready_ns",
    "serving_ns",
    "stopped_ns",
    "outcome",
    "error",
];
/// Columns of `phases.csv`.
pub const PHASE_COLUMNS: &[&str] = &["storm", "backend", "instance", "phase", "begin_ns", "end_ns"];
/// Columns of `host.csv`.
pub const HOST_COLUMNS: &[&str] = &[
    "at_ns",
    "storm",
    "backend",
    "cpu_used_ratio",
    "cpu_steal_ratio",
    "mem_available_bytes",
    "disk_read_bytes",
    "disk_written_bytes",
    "psi_cpu_some_ratio",
    "psi_io_some_ratio",
    "psi_memory_some_ratio",
    "forks_per_s",
    "canary_p50_ns",
    "canary_max_ns",
    "canary_tasks",
    "live_instances",
];

/// Name of the table of storms.
pub const STORMS_CSV: &str = "storms.csv";
/// Name of the table of memory.
pub const MEMORY_CSV: &str = "memory.csv";
/// Columns of `storms.csv`.
pub const STORM_COLUMNS: &[&str] =
    &["storm", "backend", "warmup", "instances", "arrival", "cores", "images", "began_ns", "ended_ns"];
/// Columns of `memory.csv`.
pub const MEMORY_COLUMNS: &[&str] = &[
    "storm",
    "backend",
    "live",
    "at_ns",
    "state",
    "mem_available_bytes",
    "slab_bytes",
    "page_tables_bytes",
    "kernel_stack_bytes",
    "percpu_bytes",
    "page_cache_bytes",
    "counted",
    "rss_bytes",
    "pss_bytes",
    "private_bytes",
    "virtual_bytes",
    "cgroup_bytes",
];

/// Name of the table of merging.
pub const KSM_CSV: &str = "ksm.csv";
/// Columns of `ksm.csv`.
pub const KSM_COLUMNS: &[&str] = &[
    "storm",
    "backend",
    "at_ns",
    "pages_shared",
    "pages_sharing",
    "full_scans",
    "ksmd_cpu_ns",
    "mem_available_bytes",
];

/// Name of the table of isolation checks.
pub const CHECKS_CSV: &str = "checks.csv";
/// Columns of `checks.csv`.
pub const CHECK_COLUMNS: &[&str] = &[
    "check",
    "claim",
    "backend",
    "expectation",
    "observation",
    "witness",
    "controls",
    "verdict",
    "evidence",
];

/// Name of the table of drills.
pub const DRILLS_CSV: &str = "drills.csv";
/// Columns of `drills.csv`.
pub const DRILL_COLUMNS: &[&str] = &[
    "storm",
    "before",
    "backend",
    "mode",
    "instances",
    "failed_at_ns",
    "gone_at_ns",
    "requests",
    "lost",
    "last_lost_ns",
    "slowest_answer_ns",
];

/// Name of the table of what was carried where.
pub const MATRIX_CSV: &str = "matrix.csv";
/// Columns of `matrix.csv`.
pub const MATRIX_COLUMNS: &[&str] =
    &["kind", "artifact", "platform", "outcome", "reason", "changes", "bytes", "duration_ns"];

/// Name of the table of what was measured about attempts beside their times.
pub const MEASURES_CSV: &str = "measures.csv";
/// Columns of `measures.csv`.
pub const MEASURE_COLUMNS: &[&str] = &["storm", "backend", "instance", "measure", "value"];

/// Name of the table of what was asked and measured.
pub const READINGS_CSV: &str = "readings.csv";
/// Columns of `readings.csv`.
pub const READING_COLUMNS: &[&str] = &[
    "storm",
    "backend",
    "mechanism",
    "case",
    "control",
    "by",
    "unit",
    "asked",
    "least",
    "most",
    "measured",
    "outcome",
    "reason",
];

/// A run being written. Every call is one append that is with the kernel when it returns; it may
/// be shared between threads.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    attempts: AppendFile,
    decided: AppendFile,
    phases: AppendFile,
    host: AppendFile,
    storms: AppendFile,
    memory: AppendFile,
    ksm: AppendFile,
    drills: AppendFile,
    checks: AppendFile,
    matrix: AppendFile,
    measures: AppendFile,
    readings: AppendFile,
}

impl RunFolder {
    /// Makes the folder with `run.json` and the tables' headers.
    ///
    /// # Errors
    /// Where the folder holds something already or the system refuses.
    pub fn create(path: &Path, run: &Run) -> Result<RunFolder, Error> {
        fs::create_dir_all(path).map_err(Error::system("make the folder", path))?;
        let mut entries = fs::read_dir(path).map_err(Error::system("read the folder", path))?;
        if entries.next().is_some() {
            return Err(Error::Occupied { path: path.to_owned() });
        }
        replace(&path.join(RUN_JSON), &json(run, path)?)?;
        Ok(RunFolder {
            path: path.to_owned(),
            attempts: AppendFile::create(path.join(ATTEMPTS_CSV), ATTEMPT_COLUMNS)?,
            decided: AppendFile::create(path.join(DECIDED_CSV), ATTEMPT_COLUMNS)?,
            phases: AppendFile::create(path.join(PHASES_CSV), PHASE_COLUMNS)?,
            host: AppendFile::create(path.join(HOST_CSV), HOST_COLUMNS)?,
            storms: AppendFile::at_first_row(path.join(STORMS_CSV), STORM_COLUMNS),
            memory: AppendFile::at_first_row(path.join(MEMORY_CSV), MEMORY_COLUMNS),
            ksm: AppendFile::at_first_row(path.join(KSM_CSV), KSM_COLUMNS),
            checks: AppendFile::at_first_row(path.join(CHECKS_CSV), CHECK_COLUMNS),
            drills: AppendFile::at_first_row(path.join(DRILLS_CSV), DRILL_COLUMNS),
            matrix: AppendFile::at_first_row(path.join(MATRIX_CSV), MATRIX_COLUMNS),
            measures: AppendFile::at_first_row(path.join(MEASURES_CSV), MEASURE_COLUMNS),
            readings: AppendFile::at_first_row(path.join(READINGS_CSV), READING_COLUMNS),
        })
    }

    /// Where the run is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends an attempt. Line breaks within its texts become spaces.
    ///
    /// # Errors
    /// What the system said; the rows before stay as they were.
    pub fn attempt(&self, attempt: &Attempt) -> Result<(), Error> {
        self.attempts.rows(&[on_one_line(attempt)])
    }

    /// Keeps what is known of an attempt that is not stopped yet, in case nothing more can be said
    /// of it ([`DECIDED_CSV`]).
    ///
    /// # Errors
    /// What the system said; the rows before stay as they were.
    pub fn decided(&self, attempt: &Attempt) -> Result<(), Error> {
        self.decided.rows(&[on_one_line(attempt)])
    }

    /// Appends the phases of an attempt, all or none.
    ///
    /// # Errors
    /// What the system said; the rows before stay as they were.
    pub fn phases(&self, phases: &[Phase]) -> Result<(), Error> {
        self.phases.rows(phases)
    }

    /// Appends what was measured about an attempt, all or nothing.
    ///
    /// # Errors
    /// What the system said; the rows before stay as they were.
    pub fn measures(&self, measures: &[Measure]) -> Result<(), Error> {
        self.measures.rows(measures)
    }

    /// Appends a sample of the host.
    ///
    /// # Errors
    /// What the system said; the rows before stay as they were.
    pub fn host(&self, sample: &HostSample) -> Result<(), Error> {
        self.host.rows(std::slice::from_ref(sample))
    }

    /// Appends a storm that is over.
    ///
    /// # Errors
    /// What the system said; the rows before stay as they were.
    pub fn storm(&self, storm: &Storm) -> Result<(), Error> {
        self.storms.rows(std::slice::from_ref(storm))
    }

    /// Appends what a step of growth occupies.
    ///
    /// # Errors
    /// What the system said; the rows before stay as they were.
    pub fn memory(&self, step: &MemoryStep) -> Result<(), Error> {
        self.memory.rows(std::slice::from_ref(step))
    }

    /// Appends a look at merging.
    ///
    /// # Errors
    /// What the system said; the rows before stay as they were.
    pub fn ksm(&self, sample: &KsmSample) -> Result<(), Error> {
        self.ksm.rows(std::slice::from_ref(sample))
    }

    /// Appends a drill.
    ///
    /// # Errors
    /// What the system said; the rows before stay as they were.
    pub fn drill(&self, drill: &Drill) -> Result<(), Error> {
        self.drills.rows(std::slice::from_ref(drill))
    }

    /// Appends a check. Line breaks within its texts become spaces.
    ///
    /// # Errors
    /// What the system said; the rows before stay as they were.
    pub fn check(&self, check: &Check) -> Result<(), Error> {
        let mut row = check.clone();
        for text in [&mut row.observation, &mut row.witness, &mut row.controls, &mut row.evidence] {
            *text = text.replace(['\n', '\r'], " ");
        }
        self.checks.rows(&[row])
    }

    /// Appends what became of a thing in a place. Line breaks within its texts become spaces.
    ///
    /// # Errors
    /// What the system said; the rows before stay as they were.
    pub fn cell(&self, cell: &Cell) -> Result<(), Error> {
        let one_line = |text: &str| text.replace("\r\n", " ").replace(['\n', '\r'], " ");
        let (reason, changes) = (one_line(&cell.reason), one_line(&cell.changes));
        self.matrix.rows(&[Cell { reason, changes, ..cell.clone() }])
    }

    /// Appends what was asked and measured. Line breaks within its texts become spaces.
    ///
    /// # Errors
    /// What the system said; the rows before stay as they were.
    pub fn reading(&self, reading: &Reading) -> Result<(), Error> {
        let row = Reading { reason: one_line(&reading.reason), ..reading.clone() };
        self.readings.rows(&[row])
    }

    /// Replaces `run.json` as a whole: a reader sees the old one or the new one. Once the run is
    /// complete every attempt has its final row, and [`DECIDED_CSV`] goes.
    ///
    /// # Errors
    /// What the system said; the old `run.json` stays.
    pub fn update(&self, run: &Run) -> Result<(), Error> {
        replace(&self.path.join(RUN_JSON), &json(run, &self.path)?)?;
        if !run.complete {
            return Ok(());
        }
        let decided = self.path.join(DECIDED_CSV);
        match fs::remove_file(&decided) {
            Err(refused) if refused.kind() != io::ErrorKind::NotFound => {
                Err(Error::system("remove", &decided)(refused))
            }
            _ => Ok(()),
        }
    }
}

/// Where a run goes unless `--out` says otherwise: `<base>/<UTC time>-<scenario>-<short id>`.
/// `utc` is RFC 3339; what a file name should not hold is left out of it.
pub fn default_path(base: &Path, utc: &str, scenario: &str, id: &str) -> PathBuf {
    let short: String = id.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    let time: String = utc
        .split('.')
        .next()
        .unwrap_or(utc)
        .chars()
        .filter(|c| c.is_ascii_alphanumeric())
        .filter(|c| *c != 'Z')
        .collect();
    let scenario: String =
        scenario.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }).collect();
    base.join(format!("{time}Z-{scenario}-{short}"))
}

/// Points `latest` beside the run folder `path` at it. Something of that name which is not a
/// symbolic link is left alone.
///
/// # Errors
/// What the system said, or that `latest` is no link.
pub fn point_latest(path: &Path) -> Result<(), Error> {
    let (Some(base), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::Invalid { path: path.to_owned(), what: "is no folder with a name".into() });
    };
    let latest = base.join("latest");
    match fs::symlink_metadata(&latest) {
        Ok(found) if !found.file_type().is_symlink() => {
            return Err(Error::Invalid {
                path: latest,
                what: "is not a symbolic link, left as it is (move it away)".into(),
            });
        }
        _ => {}
    }
    let temporary = base.join(format!(".latest-{}", std::process::id()));
    let _ = fs::remove_file(&temporary);
    std::os::unix::fs::symlink(name, &temporary).map_err(Error::system("make the link", &temporary))?;
    fs::rename(&temporary, &latest).map_err(Error::system("replace the link", latest))
}

/// Writes `content` beside `path` and renames it over it.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), Error> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    if let Err(source) = written.and_then(|()| fs::rename(&temporary, path)) {
        let _ = fs::remove_file(&temporary);
        return Err(Error::System { action: "write", path: path.to_owned(), source });
    }
    Ok(())
}

fn json(run: &Run, path: &Path) -> Result<Vec<u8>, Error> {
    let mut text = serde_json::to_vec_pretty(run).map_err(|refused| Error::System {
        action: "serialise run.json of",
        path: path.to_owned(),
        source: io::Error::other(refused),
    })?;
    text.push(b'\n');
    Ok(text)
}

fn on_one_line(attempt: &Attempt) -> Attempt {
    Attempt { error: one_line(&attempt.error), ..attempt.clone() }
}

fn one_line(text: &str) -> String {
    text.replace("\r\n", " ").replace(['\n', '\r'], " ")
}
