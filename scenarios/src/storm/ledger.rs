//! Rows on their way into the folder.

use results::record::{Drill, HostSample, KsmSample, MemoryStep, Reading, Run, Storm};
use tokio::sync::mpsc::UnboundedReceiver;

use super::attempt::{Place, Progressing};
use crate::{Error, Rows};

/// Writes rows until the first that cannot be written; what comes after that is dropped and the
/// storm under way is told to end.
pub(crate) struct Ledger<'a> {
    folder: &'a mut dyn Rows,
    /// Samples of the host, from the sampler's thread.
    pub(crate) samples: UnboundedReceiver<HostSample>,
    epoch_ns: u64,
    broken: Option<Error>,
}

impl<'a> Ledger<'a> {
    pub(crate) fn new(
        folder: &'a mut dyn Rows,
        samples: UnboundedReceiver<HostSample>,
        epoch_ns: u64,
    ) -> Ledger<'a> {
        Ledger { folder, samples, epoch_ns, broken: None }
    }

    pub(super) fn attempt(&mut self, attempt: &Progressing, place: &Place) {
        let (row, phases) = (attempt.row(place, self.epoch_ns), attempt.phases(place, self.epoch_ns));
        self.write(|folder| folder.attempt(&row));
        if !phases.is_empty() {
            self.write(|folder| folder.phases(&phases));
        }
        let measures = attempt.measures(place);
        if !measures.is_empty() {
            self.write(|folder| folder.measures(&measures));
        }
    }

    /// Its outcome is known; its final row comes when it is gone.
    pub(super) fn decided(&mut self, attempt: &Progressing, place: &Place) {
        let row = attempt.row(place, self.epoch_ns);
        self.write(|folder| folder.decided(&row));
    }

    pub(crate) fn host(&mut self, sample: &HostSample) {
        self.write(|folder| folder.host(sample));
    }

    pub(crate) fn storm(&mut self, row: &Storm) {
        self.write(|folder| folder.storm(row));
    }

    pub(crate) fn memory(&mut self, row: &MemoryStep) {
        self.write(|folder| folder.memory(row));
    }

    pub(crate) fn ksm(&mut self, row: &KsmSample) {
        self.write(|folder| folder.ksm(row));
    }

    pub(crate) fn drill(&mut self, row: &Drill) {
        self.write(|folder| folder.drill(row));
    }

    pub(crate) fn reading(&mut self, row: &Reading) {
        self.write(|folder| folder.reading(row));
    }

    /// CLOCK_MONOTONIC as this run's rows have it.
    pub(crate) fn since_epoch_ns(&self, at_ns: u64) -> u64 {
        at_ns.saturating_sub(self.epoch_ns)
    }

    pub(crate) fn update(&mut self, run: &Run) {
        self.write(|folder| folder.update(run));
    }

    /// Writes the samples that wait.
    pub(crate) fn drain(&mut self) {
        while let Ok(sample) = self.samples.try_recv() {
            self.host(&sample);
        }
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// The first failure to write, if there was one.
    pub(crate) fn close(self) -> Result<(), Error> {
        self.broken.map_or(Ok(()), Err)
    }

    fn write(&mut self, row: impl FnOnce(&mut dyn Rows) -> Result<(), Error>) {
        if self.broken.is_none() {
            self.broken = row(self.folder).err();
        }
    }
}
