//! What can go wrong with a run folder.

use std::io;
use std::path::PathBuf;

/// What could not be done, to which file, and what the system said.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused a step.
    #[error("cannot {action} {}: {source}", path.display())]
    System {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder for a new run holds something already.
    #[error("cannot make a run in {}: it is not empty (choose another --out or remove it)", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// A file is not what it must be.
    #[error("{}: {what}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A row is not what it must be.
    #[error("{}, line {line}: {what}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Line, from 1, the header included.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// The run was written by a newer `bench`.
    #[error("{}: schema_version is {found}, this bench reads up to {supported} (use a newer bench)", path.display())]
    Newer {
        /// `run.json`.
        path: PathBuf,
        /// Its schema version.
        found: u64,
        /// The newest this program reads.
        supported: u32,
    },
    /// A chart could not be drawn.
    #[error("cannot draw the chart {chart}: {what}")]
    Chart {
        /// Its name.
        chart: &'static str,
        /// What the drawing library said.
        what: String,
    },
    /// A rule of the comparison matches nothing.
    #[error("compare.{rule} matches nothing that is compared: remove it or mend its patterns")]
    UnusedRule {
        /// The rule.
        rule: String,
    },
    /// Two sides without a single metric.
    #[error("there is nothing to compare in {base} and {head}: neither has a counted storm")]
    Nothing {
        /// Label of the base.
        base: String,
        /// Label of the head.
        head: String,
    },
}

impl Error {
    /// For `map_err`: the system refused `action` on `path`.
    pub(crate) fn system(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::System { action, path, source }
    }
}
