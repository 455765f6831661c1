//! Checks by backends: where backends differ comes first.

use crate::record::{Check, CheckVerdict};

/// The matrix.
#[derive(Clone, Debug, Default)]
pub struct Matrix<'a> {
    /// Backends in the order of the rows.
    pub backends: Vec<&'a str>,
    /// Lines: those on which backends differ, then the others.
    pub lines: Vec<Line<'a>>,
}

/// One check.
#[derive(Clone, Debug)]
pub struct Line<'a> {
    /// Its name.
    pub check: &'a str,
    /// Its claim.
    pub claim: &'a str,
    /// By backend.
    pub cells: Vec<Option<&'a Check>>,
    /// Whether backends other than the bare process differ.
    pub differs: bool,
}

/// From the rows of `checks.csv`.
pub fn matrix(rows: &[Check]) -> Matrix<'_> {
    let mut backends: Vec<&str> = Vec::new();
    let mut lines: Vec<Line<'_>> = Vec::new();
    for row in rows {
        if !backends.contains(&row.backend.as_str()) {
            backends.push(&row.backend);
        }
        if !lines.iter().any(|line| line.check == row.check) {
            lines.push(Line { check: &row.check, claim: &row.claim, cells: Vec::new(), differs: false });
        }
    }
    for line in &mut lines {
        line.cells = backends
            .iter()
            .map(|backend| rows.iter().find(|row| row.check == line.check && row.backend == **backend))
            .collect();
        let mut told: Vec<CheckVerdict> = line
            .cells
            .iter()
            .flatten()
            .filter(|row| row.backend != "process")
            .map(|row| row.verdict)
            .collect();
        told.dedup();
        line.differs = told.len() > 1;
    }
    // Stable: by topic within each half.
    lines.sort_by_key(|line| !line.differs);
    Matrix { backends, lines }
}
