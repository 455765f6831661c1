//! `matrix.csv`: what was carried where.

use serde::{Deserialize, Serialize};

/// A row of `matrix.csv`: one thing carried to one place, and what became of it there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// What kind of thing: `vm`, `container`, `conversion`, `round-trip` or `live`.
    pub kind: String,
    /// The thing, as it was carried: a version of a disk with its format, an image with its userland.
    pub artifact: String,
    /// Where to.
    pub platform: String,
    /// What became of it.
    pub outcome: CellOutcome,
    /// Why, where it does not work; what an inference rests on.
    pub reason: String,
    /// What was changed about the thing for this place; empty where nothing was.
    pub changes: String,
    /// Size of the thing on the host.
    pub bytes: Option<u64>,
    /// How long it took: to serving, to the end of the report, to the end of the conversion.
    pub duration_ns: Option<u64>,
}

/// What became of a thing in a place.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum CellOutcome {
    /// It was tried and works as where it came from.
    Works,
    /// It runs, and not all it says is as where it came from.
    Differs,
    /// It was tried and does not work.
    Fails,
    /// It was tried and turned away before it could do harm.
    Refused,
    /// It was not tried; other cells say that it would work.
    Inferred,
    /// It cannot be tried here.
    Impossible,
}

impl CellOutcome {
    /// As in rows.
    pub fn word(self) -> &'static str {
        match self {
            CellOutcome::Works => "works",
            CellOutcome::Differs => "differs",
            CellOutcome::Fails => "fails",
            CellOutcome::Refused => "refused",
            CellOutcome::Inferred => "inferred",
            CellOutcome::Impossible => "impossible",
        }
    }
}
