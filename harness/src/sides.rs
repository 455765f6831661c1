//! From what a user names to the sides of a comparison.

use std::path::{Path, PathBuf};

use results::LoadedRun;
use results::claims::Finding;
use results::compare::Side;
use results::dossier::{LoadedDossier, is_dossier};
use results::folder::RUN_JSON;

use crate::failure::Failure;

/// Where baselines are kept: in the working directory, to be committed.
pub const BASELINES: &str = "bench-baselines";
/// The baseline `baseline` stands for.
pub const CURRENT: &str = "current";

/// The side called `word`: a run folder, a folder of them, a baseline file, or `baseline[:NAME]`.
///
/// # Errors
/// Where it is none of these, or cannot be read.
pub fn side(word: &str) -> Result<Side, Failure> {
    if let Some(name) = baseline_name(word) {
        let path = baseline_path(name)?;
        if !path.exists() {
            return Err(Failure::Cannot(format!(
                "there is no baseline {name:?} in {BASELINES}/ (bench baseline list shows those there are, \
                 bench baseline save makes one)"
            )));
        }
        return Side::load(&path).map_err(cannot);
    }
    let path = Path::new(word);
    if path.is_file() {
        return Side::load(path).map_err(cannot);
    }
    Ok(Side::of_runs(word, &runs(path)?))
}

/// The runs in `path`: itself, or those directly below it, oldest first.
///
/// # Errors
/// Where there is none, or one cannot be read.
pub fn runs(path: &Path) -> Result<Vec<LoadedRun>, Failure> {
    if path.join(RUN_JSON).exists() || !path.is_dir() {
        return Ok(vec![LoadedRun::load(path).map_err(cannot)?]);
    }
    let folders = below(path, |folder| folder.join(RUN_JSON).exists())?;
    if folders.is_empty() {
        return Err(Failure::Cannot(format!(
            "{} holds no run: neither {RUN_JSON} nor folders with one",
            path.display()
        )));
    }
    let mut runs = folders
        .iter()
        .map(|folder| LoadedRun::load(folder))
        .collect::<Result<Vec<_>, _>>()
        .map_err(cannot)?;
    runs.sort_by(|a, b| (&a.run.began_at, &a.run.id).cmp(&(&b.run.began_at, &b.run.id)));
    Ok(runs)
}

/// The folders directly below `path` that are as wanted.
fn below(path: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::Cannot(format!("cannot read the folder {}: {error}", path.display()))
    };
    let mut folders: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        // `latest` is a link to one that is there under its own name.
        let linked = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        if !linked && wanted(&entry.path()) {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

/// What a run, or a dossier as a whole, says of the claims.
pub struct Testimony {
    /// Its folder.
    pub source: String,
    /// What it says.
    pub findings: Vec<Finding>,
    began_at: String,
}

/// What the runs and dossiers in `path` say of the claims, oldest first.
///
/// # Errors
/// Where there is none, or one cannot be read.
pub fn testimonies(path: &Path) -> Result<Vec<Testimony>, Failure> {
    let of_dossier = |path: &Path| {
        let loaded = LoadedDossier::load(path).map_err(cannot)?;
        Ok(Testimony {
            source: path.display().to_string(),
            began_at: loaded.dossier.began_at,
            findings: loaded.decisions.claims.into_iter().map(|one| one.finding).collect(),
        })
    };
    if is_dossier(path) {
        return Ok(vec![of_dossier(path)?]);
    }
    let dossiers = if path.is_dir() { below(path, is_dossier)? } else { Vec::new() };
    let mut all = dossiers.iter().map(|path| of_dossier(path)).collect::<Result<Vec<_>, Failure>>()?;
    let runs = match runs(path) {
        Err(_) if !all.is_empty() => Vec::new(),
        runs => runs?,
    };
    all.extend(runs.iter().map(|run| Testimony {
        source: run.path.display().to_string(),
        began_at: run.run.began_at.clone(),
        findings: results::summarize(run).claims,
    }));
    all.sort_by(|a, b| (&a.began_at, &a.source).cmp(&(&b.began_at, &b.source)));
    Ok(all)
}

/// The file of the baseline called `name`.
///
/// # Errors
/// A name that is more than a name.
pub fn baseline_path(name: &str) -> Result<PathBuf, Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        return Err(Failure::Usage(format!(
            "{name:?} is no name of a baseline: letters, digits, '-', '_' and '.' only"
        )));
    }
    Ok(Path::new(BASELINES).join(format!("{name}.json")))
}

fn baseline_name(word: &str) -> Option<&str> {
    match word.strip_prefix("baseline")? {
        "" if !Path::new(word).exists() => Some(CURRENT),
        rest => rest.strip_prefix(':'),
    }
}

/// For `map_err`.
pub fn cannot(error: results::Error) -> Failure {
    match error {
        results::Error::UnusedRule { .. } => Failure::Usage(format!("bench.toml: {error}")),
        _ => Failure::Cannot(error.to_string()),
    }
}
