//! Where the rows of a run go.

use results::record::{
    Attempt, Cell, Check, Drill, HostSample, KsmSample, Measure, MemoryStep, Phase, Reading, Run, Storm,
};

use crate::Error;

/// Takes rows as they happen and has written each when it returns.
pub trait Rows {
    /// Appends to `attempts.csv`.
    ///
    /// # Errors
    /// What the system said, as for a full disk.
    fn attempt(&mut self, row: &Attempt) -> Result<(), Error>;

    /// Keeps an attempt whose outcome is known and which is not stopped yet, until its final row
    /// comes or the run is killed.
    ///
    /// # Errors
    /// As [`Rows::attempt`].
    fn decided(&mut self, row: &Attempt) -> Result<(), Error>;

    /// Appends to `phases.csv`.
    ///
    /// # Errors
    /// As [`Rows::attempt`].
    fn phases(&mut self, rows: &[Phase]) -> Result<(), Error>;

    /// Appends to `measures.csv`.
    ///
    /// # Errors
    /// As [`Rows::attempt`].
    fn measures(&mut self, rows: &[Measure]) -> Result<(), Error>;

    /// Appends to `host.csv`.
    ///
    /// # Errors
    /// As [`Rows::attempt`].
    fn host(&mut self, row: &HostSample) -> Result<(), Error>;

    /// Appends to `storms.csv`.
    ///
    /// # Errors
    /// As [`Rows::attempt`].
    fn storm(&mut self, row: &Storm) -> Result<(), Error>;

    /// Appends to `memory.csv`.
    ///
    /// # Errors
    /// As [`Rows::attempt`].
    fn memory(&mut self, row: &MemoryStep) -> Result<(), Error>;

    /// Appends to `ksm.csv`.
    ///
    /// # Errors
    /// As [`Rows::attempt`].
    fn ksm(&mut self, row: &KsmSample) -> Result<(), Error>;

    /// Appends to `drills.csv`.
    ///
    /// # Errors
    /// As [`Rows::attempt`].
    fn drill(&mut self, row: &Drill) -> Result<(), Error>;

    /// Appends to `checks.csv`.
    ///
    /// # Errors
    /// As [`Rows::attempt`].
    fn check(&mut self, row: &Check) -> Result<(), Error>;

    /// Appends to `matrix.csv`.
    ///
    /// # Errors
    /// As [`Rows::attempt`].
    fn cell(&mut self, row: &Cell) -> Result<(), Error>;

    /// Appends to `readings.csv`.
    ///
    /// # Errors
    /// As [`Rows::attempt`].
    fn reading(&mut self, row: &Reading) -> Result<(), Error>;

    /// Rewrites `run.json`.
    ///
    /// # Errors
    /// As [`Rows::attempt`].
    fn update(&mut self, run: &Run) -> Result<(), Error>;
}
