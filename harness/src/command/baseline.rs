//! `bench baseline`: what is compared with, kept as files a repository can carry.

use std::io::Write;
use std::path::Path;

use results::compare::Side;

use crate::failure::Failure;
use crate::judging::BaselineCommand;
use crate::sides::{self, BASELINES, CURRENT, cannot};

/// Saves, promotes or lists.
///
/// # Errors
/// Names that are taken or unknown, files that cannot be read or written.
pub fn run(command: &BaselineCommand, out: &mut impl Write) -> Result<u8, Failure> {
    match command {
        BaselineCommand::Save { name, runs, replace } => save(name, runs, *replace, out),
        BaselineCommand::Promote { name } => promote(name, out),
        BaselineCommand::List => list(out),
    }
}

fn save(name: &str, runs: &[std::path::PathBuf], replace: bool, out: &mut impl Write) -> Result<u8, Failure> {
    let path = sides::baseline_path(name)?;
    if path.exists() && !replace {
        return Err(Failure::Usage(format!(
            "there is a baseline {name:?} already: choose another name, or --replace it"
        )));
    }
    let mut loaded = Vec::new();
    for folder in runs {
        loaded.extend(sides::runs(folder)?);
    }
    let side = Side::of_runs(name, &loaded);
    if side.groups.values().all(|group| group.storms.is_empty()) {
        return Err(Failure::Cannot(format!("baseline {name:?}: not one storm of these runs counts")));
    }
    std::fs::create_dir_all(BASELINES)
        .map_err(|error| Failure::Cannot(format!("cannot make the folder {BASELINES}: {error}")))?;
    side.save(&path).map_err(cannot)?;
    writeln!(out, "{} ({})", path.display(), describe(&side))?;
    Ok(0)
}

fn promote(name: &str, out: &mut impl Write) -> Result<u8, Failure> {
    // Read first, so that what is promoted can be compared with.
    let side = Side::load(&sides::baseline_path(name)?).map_err(cannot)?;
    let path = sides::baseline_path(CURRENT)?;
    side.save(&path).map_err(cannot)?;
    writeln!(out, "{} is now {name} ({})", path.display(), describe(&side))?;
    Ok(0)
}

fn list(out: &mut impl Write) -> Result<u8, Failure> {
    let mut names: Vec<String> = std::fs::read_dir(Path::new(BASELINES))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".json").map(str::to_owned))
        .collect();
    names.sort();
    if names.is_empty() {
        writeln!(out, "no baselines in {BASELINES}/ (bench baseline save NAME RUN… makes one)")?;
    }
    for name in names {
        match Side::load(&sides::baseline_path(&name)?) {
            Ok(side) => writeln!(out, "{name:<20} {}", describe(&side))?,
            Err(error) => writeln!(out, "{name:<20} cannot be read: {error}")?,
        }
    }
    Ok(0)
}

fn describe(side: &Side) -> String {
    let began = side.runs.first().map_or("", |run| run.began_at.as_str());
    let groups: Vec<String> = side
        .groups
        .iter()
        .map(|(backend, group)| format!("{backend}: {} storms", group.storms.len()))
        .collect();
    format!("{}, {began}, {} runs: {}", side.label, side.runs.len(), groups.join(", "))
}
