//! What tests of whole scenarios share: rows kept in memory, and a run on fake backends.

use std::sync::atomic::{AtomicU32, Ordering};

use results::record::{
    Attempt, Cell, Check, Drill, HostSample, KsmSample, Measure, MemoryStep, Phase, Reading, Run, Storm,
};
use runtime::cgroup::Hierarchies;
use runtime::clock::now_ns;
use runtime::fake::FakeBackend;
use runtime::image::Image;
use runtime::watch::Watch;
use runtime::{Backend, RunContext};

use crate::{Completion, Error, Plan, Progress, Rows, Stage, Stop};

/// Keeps rows in memory, and fails from the given number of attempts on.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) decided: Vec<Attempt>,
    pub(crate) phases: Vec<Phase>,
    pub(crate) samples: Vec<HostSample>,
    pub(crate) updates: u32,
    pub(crate) measures: Vec<Measure>,
    pub(crate) storms: Vec<Storm>,
    pub(crate) steps: Vec<MemoryStep>,
    pub(crate) drills: Vec<Drill>,
    pub(crate) checks: Vec<Check>,
    pub(crate) cells: Vec<Cell>,
    pub(crate) readings: Vec<Reading>,
    pub(crate) full_after: Option<usize>,
}

impl Rows for Memory {
    fn attempt(&mut self, row: &Attempt) -> Result<(), Error> {
        if self.full_after.is_some_and(|full| self.attempts.len() >= full) {
            let source = std::io::Error::from_raw_os_error(nix::libc::ENOSPC).into();
            return Err(Error::Record { what: "attempts.csv", source });
        }
        self.attempts.push(row.clone());
        Ok(())
    }

    fn decided(&mut self, row: &Attempt) -> Result<(), Error> {
        self.decided.push(row.clone());
        Ok(())
    }

    fn phases(&mut self, rows: &[Phase]) -> Result<(), Error> {
        self.phases.extend_from_slice(rows);
        Ok(())
    }

    fn measures(&mut self, rows: &[Measure]) -> Result<(), Error> {
        self.measures.extend_from_slice(rows);
        Ok(())
    }

    fn host(&mut self, row: &HostSample) -> Result<(), Error> {
        self.samples.push(row.clone());
        Ok(())
    }

    fn storm(&mut self, row: &Storm) -> Result<(), Error> {
        self.storms.push(row.clone());
        Ok(())
    }

    fn memory(&mut self, row: &MemoryStep) -> Result<(), Error> {
        self.steps.push(row.clone());
        Ok(())
    }

    fn ksm(&mut self, _row: &KsmSample) -> Result<(), Error> {
        Ok(())
    }

    fn drill(&mut self, row: &Drill) -> Result<(), Error> {
        self.drills.push(row.clone());
        Ok(())
    }

    fn check(&mut self, row: &Check) -> Result<(), Error> {
        self.checks.push(row.clone());
        Ok(())
    }

    fn cell(&mut self, row: &Cell) -> Result<(), Error> {
        self.cells.push(row.clone());
        Ok(())
    }

    fn reading(&mut self, row: &Reading) -> Result<(), Error> {
        self.readings.push(row.clone());
        Ok(())
    }

    fn update(&mut self, _run: &Run) -> Result<(), Error> {
        self.updates += 1;
        Ok(())
    }
}

pub(crate) struct Trial {
    pub(crate) result: Result<Completion, Error>,
    pub(crate) memory: Memory,
    pub(crate) run: Run,
}

/// Carries out `plan` on the fake backends it names.
pub(crate) fn try_it(plan: &Plan, memory: Memory, stop: &Stop, heard: impl FnMut(Progress)) -> Trial {
    let backends: Vec<Box<dyn Backend>> = plan
        .launch()
        .on
        .iter()
        .map(|name| {
            let script = name.strip_prefix("fake:").unwrap_or_default().into();
            Box::new(FakeBackend { script }) as Box<dyn Backend>
        })
        .collect();
    try_on(plan, backends, memory, stop, heard)
}

/// How many there have been: they may be beside each other.
static RUNS: AtomicU32 = AtomicU32::new(0);

/// Carries out `plan` on `backends`.
pub(crate) fn try_on(
    plan: &Plan,
    backends: Vec<Box<dyn Backend>>,
    memory: Memory,
    stop: &Stop,
    mut heard: impl FnMut(Progress),
) -> Trial {
    let folder = tempfile::tempdir().expect("folder");
    let context = RunContext {
        run_id: format!("test-{}-{}", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed)),
        state_dir: folder.path().into(),
        cache_dir: folder.path().into(),
        watch: std::sync::Arc::new(Watch::start().expect("stamper")),
        network: std::sync::Arc::default(),
    };
    let mut run = Run {
        epoch_ns: now_ns(),
        seed: plan.launch().seed,
        backends: plan.launch().on.clone(),
        ..Run::new("test", plan.scenario())
    };
    let mut memory = memory;
    let image = Image::builtin();
    let result = plan.run(Stage {
        backends,
        context: &context,
        image: &image,
        rows: &mut memory,
        run: &mut run,
        stop,
        progress: &mut |it| heard(it),
    });
    clear(&context);
    Trial { result, memory, run }
}

/// Removes the groups of a run that has ended, which are its state's to remove where it has one.
pub(crate) fn clear(context: &RunContext) {
    for root in Hierarchies::of_host().expect("readable").roots() {
        let group = root.join("bench").join(&context.run_id);
        let removed = std::fs::remove_dir(&group);
        let is_gone = removed.is_ok() || !group.exists();
        assert!(is_gone, "{}: {removed:?}", group.display());
    }
}
