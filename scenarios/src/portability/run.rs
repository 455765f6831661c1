//! Carrying out: one part after the other, a row as soon as a cell is decided.

use std::path::PathBuf;

use results::record::{Cell, CellOutcome};
use runtime::clock::now_ns;

use super::plan::{Part, Plan};
use super::{bundles, containers, live, machines};
use crate::stage::warn;
use crate::{Completion, Error, Progress, Stage};

/// The system in the cache that is carried where none is given; `scripts/setup.sh` makes it.
const SYSTEM: &str = "portable-system/rootfs";

/// Carries out `plan`.
///
/// # Errors
/// A row that cannot be written.
pub fn run(plan: &Plan, mut stage: Stage<'_>) -> Result<Completion, Error> {
    let mut book = Book { done: 0, of: 0 };
    let began_ns = now_ns();
    let system = system(plan, &stage);
    if plan.parts.contains(&Part::Containers) && !stage.stop.requested() {
        containers::carry(plan, system.as_deref().ok(), &mut stage, &mut book)?;
    }
    if plan.parts.contains(&Part::Live) && !stage.stop.requested() {
        live::carry(plan, &mut stage, &mut book)?;
    }
    if plan.parts.contains(&Part::RoundTrips) && !stage.stop.requested() {
        bundles::carry(system.as_deref().ok(), &mut stage, &mut book)?;
    }
    let disks = plan.parts.iter().any(|part| matches!(part, Part::Vm | Part::RoundTrips));
    if disks && !stage.stop.requested() {
        match system {
            Ok(rootfs) => machines::carry(plan, &rootfs, &mut stage, &mut book)?,
            Err(reason) => {
                warn(stage.run, stage.progress, format!("no disk was carried anywhere: {reason}"));
                let cell = cell("vm", "a complete operating system", "every hypervisor");
                book.enter(Cell { outcome: CellOutcome::Impossible, reason, ..cell }, &mut stage)?;
            }
        }
    }
    stage.run.self_test.insert("portability_lasted_ns".into(), (now_ns() - began_ns).into());
    stage.run.complete = !stage.stop.requested();
    stage.rows.update(stage.run)?;
    Ok(if stage.stop.requested() { Completion::Interrupted } else { Completion::Complete })
}

/// The files of a complete operating system.
fn system(plan: &Plan, stage: &Stage<'_>) -> Result<PathBuf, String> {
    let image = stage.image.rootfs.clone().filter(|rootfs| rootfs.join("boot").is_dir());
    let cached = Some(stage.context.cache_dir.join(SYSTEM)).filter(|rootfs| rootfs.join("boot").is_dir());
    let shared = Some(runtime::cache_dir().join(SYSTEM)).filter(|rootfs| rootfs.join("boot").is_dir());
    plan.system.clone().or(image).or(cached).or(shared).ok_or_else(|| {
        "there is no complete operating system to carry: give --system FOLDER, an --image with a kernel and \
         systemd, or run scripts/test once, which makes one in the cache"
            .into()
    })
}

/// Counts and writes cells.
pub(super) struct Book {
    pub(super) done: u32,
    pub(super) of: u32,
}

impl Book {
    /// Writes a cell and tells of it.
    pub(super) fn enter(&mut self, cell: Cell, stage: &mut Stage<'_>) -> Result<(), Error> {
        self.done += 1;
        self.of = self.of.max(self.done);
        stage.rows.cell(&cell)?;
        if cell.outcome != CellOutcome::Inferred {
            let took = cell.duration_ns.map_or(String::new(), |ns| format!(", {:.1} s", ns as f64 / 1e9));
            let why = if cell.reason.is_empty() { String::new() } else { format!(": {}", cell.reason) };
            let word = cell.outcome.word();
            let text = format!("{} {} on {}: {word}{took}{why}", cell.kind, cell.artifact, cell.platform);
            (stage.progress)(Progress::CellEnded { done: self.done, of: self.of, text });
        }
        Ok(())
    }
}

/// A cell of which nothing is known yet but what it is.
pub(super) fn cell(kind: &str, artifact: impl Into<String>, platform: impl Into<String>) -> Cell {
    Cell {
        kind: kind.into(),
        artifact: artifact.into(),
        platform: platform.into(),
        outcome: CellOutcome::Impossible,
        reason: String::new(),
        changes: String::new(),
        bytes: None,
        duration_ns: None,
    }
}
