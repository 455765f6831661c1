//! From what a user names to the sides of a comparison.

use std::path::{Path, PathBuf};

use results::LoadedRun;
use results::compare::Side;
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
    let unreadable = |error: std::io::Error| {
        Failure::Cannot(format!("cannot read the folder {}: {error}", path.display()))
    };
    let mut folders: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        // `latest` is a link to one that is there under its own name.
        let linked = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        if !linked && entry.path().join(RUN_JSON).exists() {
            folders.push(entry.path());
        }
    }
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
