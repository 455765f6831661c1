//! A run folder as the place where a scenario's rows go.

use results::RunFolder;
use results::record::{
    Attempt, Cell, Check, Drill, HostSample, KsmSample, Measure, MemoryStep, Phase, Reading, Run, Storm,
};
use scenarios::{Error, Rows};

/// Writes to a [`RunFolder`].
pub struct FolderRows<'a> {
    folder: &'a RunFolder,
}

impl<'a> FolderRows<'a> {
    /// Writes to `folder`.
    pub fn new(folder: &'a RunFolder) -> FolderRows<'a> {
        FolderRows { folder }
    }
}

impl Rows for FolderRows<'_> {
    fn attempt(&mut self, row: &Attempt) -> Result<(), Error> {
        self.folder.attempt(row).map_err(refused("a row of attempts.csv"))
    }

    fn decided(&mut self, row: &Attempt) -> Result<(), Error> {
        self.folder.decided(row).map_err(refused("a row of attempts-decided.csv"))
    }

    fn phases(&mut self, rows: &[Phase]) -> Result<(), Error> {
        self.folder.phases(rows).map_err(refused("rows of phases.csv"))
    }

    fn measures(&mut self, rows: &[Measure]) -> Result<(), Error> {
        self.folder.measures(rows).map_err(refused("rows of measures.csv"))
    }

    fn host(&mut self, row: &HostSample) -> Result<(), Error> {
        self.folder.host(row).map_err(refused("a row of host.csv"))
    }

    fn storm(&mut self, row: &Storm) -> Result<(), Error> {
        self.folder.storm(row).map_err(refused("a row of storms.csv"))
    }

    fn memory(&mut self, row: &MemoryStep) -> Result<(), Error> {
        self.folder.memory(row).map_err(refused("a row of memory.csv"))
    }

    fn ksm(&mut self, row: &KsmSample) -> Result<(), Error> {
        self.folder.ksm(row).map_err(refused("a row of ksm.csv"))
    }

    fn drill(&mut self, row: &Drill) -> Result<(), Error> {
        self.folder.drill(row).map_err(refused("a row of drills.csv"))
    }

    fn check(&mut self, row: &Check) -> Result<(), Error> {
        self.folder.check(row).map_err(refused("a row of checks.csv"))
    }

    fn cell(&mut self, row: &Cell) -> Result<(), Error> {
        self.folder.cell(row).map_err(refused("a row of matrix.csv"))
    }

    fn reading(&mut self, row: &Reading) -> Result<(), Error> {
        self.folder.reading(row).map_err(refused("a row of readings.csv"))
    }

    fn update(&mut self, run: &Run) -> Result<(), Error> {
        self.folder.update(run).map_err(refused("run.json"))
    }
}

fn refused(what: &'static str) -> impl FnOnce(results::Error) -> Error {
    move |source| Error::Record { what, source: Box::new(source) }
}
