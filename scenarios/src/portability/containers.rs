//! One image on every runtime and engine, on this host and inside virtual machines.
//!
//! Each starts the same image with the workload `report`. What the report says of the image must be the
//! same bytes as under our own runtime on this host; what it says of the surroundings is named where it
//! differs and does not count, for that is what whoever starts a container decides.

use std::sync::Arc;
use std::time::Duration;

use guest::report::{HOST_NAME, Report};
use guest::{Plan as GuestPlan, Workload};
use results::record::{Cell, CellOutcome};
use runtime::clock::now_ns;
use runtime::image::Image;
use runtime::{Backend, Event, EventSink, InstanceName, LaunchSpec, Limits, Prepared, Stamped};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use super::inside;
use super::plan::Plan;
use super::run::{Book, cell};
use super::userland;
use crate::stage::warn;
use crate::{Error, Progress, Stage, Stop};

/// Kind of these rows.
pub(super) const CONTAINER: &str = "container";
/// How often it is looked whether the user wants to stop.
const LOOK: Duration = Duration::from_millis(100);

/// What a report's instance is told.
pub fn report_plan() -> GuestPlan {
    let mut plan = GuestPlan::new(Workload::Report);
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    plan.environment = vec![format!("{HOST_NAME}={}", name.trim())];
    plan
}

/// An image that is carried.
pub(super) struct Carried {
    /// What it is called in rows.
    pub(super) name: &'static str,
    pub(super) image: Image,
    /// What it says of itself under the first that could start it.
    pub(super) reference: Option<Report>,
}

/// Starts every image everywhere.
///
/// # Errors
/// A row that cannot be written.
pub(super) fn carry(
    plan: &Plan,
    rootfs: Option<&std::path::Path>,
    stage: &mut Stage<'_>,
    book: &mut Book,
) -> Result<(), Error> {
    let folder = stage.context.state_dir.join("userland");
    let _removed = Removed(folder.clone());
    let mut images = vec![Carried { name: "static-program", image: Image::builtin(), reference: None }];
    let debian = rootfs.ok_or_else(|| "there is no complete system to take one from".to_owned());
    match debian.and_then(|rootfs| userland::image(rootfs, &folder, &stage.context.cache_dir)) {
        Ok(image) => images.push(Carried { name: "debian-userland", image, reference: None }),
        Err(error) => {
            let text = format!("no Debian userland was carried anywhere: {error}");
            warn(stage.run, stage.progress, text);
        }
    }
    if stage.image.rootfs.is_some() {
        images.push(Carried { name: "image", image: stage.image.clone(), reference: None });
    }
    let digests = images.iter().map(|one| (one.name, one.image.digest.clone()));
    let digests: serde_json::Map<String, serde_json::Value> =
        digests.map(|(name, digest)| (name.to_owned(), digest.into())).collect();
    stage.run.configs.insert("portability_images".into(), digests.into());
    let place = format!("host {}, cgroups {}", kernel(), cgroups());
    let backends = std::mem::take(&mut stage.backends);
    for carried in &mut images {
        for backend in &backends {
            if stage.stop.requested() {
                return Ok(());
            }
            (stage.progress)(Progress::Preparing { backend: backend.id() });
            let row = on_host(plan, carried, backend.as_ref(), &place, stage);
            book.enter(row, stage)?;
        }
    }
    let missing: Vec<(String, String)> =
        stage.run.unavailable.iter().map(|(name, why)| (name.clone(), why.clone())).collect();
    for (name, reason) in missing {
        let row = cell(CONTAINER, images[0].name, format!("{place}, {name}"));
        book.enter(Cell { reason, ..row }, stage)?;
    }
    inside::carry(plan, &mut images, rootfs, stage, book)
}

fn on_host(
    plan: &Plan,
    carried: &mut Carried,
    backend: &dyn Backend,
    place: &str,
    stage: &Stage<'_>,
) -> Cell {
    let row = cell(CONTAINER, carried.name, format!("{place}, {}", backend.id()));
    let began_ns = now_ns();
    let lines = backend
        .prepare(stage.context, &carried.image)
        .map_err(|error| error.to_string())
        .and_then(|prepared| listen(&prepared, plan.launch.timeout_s, stage.stop));
    let row = Cell { duration_ns: Some(now_ns() - began_ns), ..row };
    match lines {
        Ok(lines) => judge(row, carried, &Report::read(lines.iter().map(String::as_str))),
        Err(reason) => Cell { outcome: CellOutcome::Fails, reason, ..row },
    }
}

/// The cell of a report, compared with the image's first.
pub(super) fn judge(row: Cell, carried: &mut Carried, report: &Report) -> Cell {
    if report.is_empty() {
        return Cell { outcome: CellOutcome::Fails, reason: "it ended without a report".into(), ..row };
    }
    let reference = carried.reference.get_or_insert_with(|| report.clone());
    let around = report.differing_around(reference);
    let around = match around.is_empty() {
        true => String::new(),
        false => format!("the same bytes; of its surroundings differ: {}", around.join(", ")),
    };
    let image = report.differing_image(reference);
    match image.is_empty() {
        true => Cell { outcome: CellOutcome::Works, reason: around, ..row },
        false => {
            let reason = format!("of the image differ: {}", image.join(", "));
            Cell { outcome: CellOutcome::Differs, reason, ..row }
        }
    }
}

/// Starts one instance and takes down what it says until its end.
fn listen(prepared: &Arc<dyn Prepared>, timeout_s: f64, stop: &Stop) -> Result<Vec<String>, String> {
    let plan = report_plan();
    prepared.get_ready(&plan, &Limits::default()).map_err(|error| error.to_string())?;
    let name = InstanceName { storm: 0, index: 0 };
    let (sender, mut events) = unbounded_channel();
    let spec = LaunchSpec { name: name.clone(), plan, limits: Limits::default() };
    let mut instance =
        prepared.launch(&spec, EventSink::new(name, sender)).map_err(|error| error.to_string())?;
    let executor = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let executor = executor.map_err(|error| format!("cannot start the event loop: {error}"))?;
    let deadline_ns = now_ns() + (timeout_s * 1e9) as u64;
    let told = executor.block_on(take_down(&mut events, deadline_ns, stop));
    let ended = instance.stop().map_err(|error| format!("it could not be ended: {error}"));
    told.and_then(|lines| ended.map(|_| lines))
}

async fn take_down(
    events: &mut UnboundedReceiver<Stamped>,
    deadline_ns: u64,
    stop: &Stop,
) -> Result<Vec<String>, String> {
    let mut lines: Vec<String> = Vec::new();
    let last = |lines: &[String]| lines.last().map_or(String::new(), |line| format!("; last words: {line}"));
    loop {
        if stop.requested() {
            return Err("the user did not want to wait".into());
        }
        if now_ns() > deadline_ns {
            return Err(format!("it did not report in time{}", last(&lines)));
        }
        let Ok(received) = timeout(LOOK, events.recv()).await else { continue };
        match received.map(|stamped| stamped.event) {
            Some(Event::Log(line)) => lines.push(line),
            Some(Event::CommandExited(0)) => return Ok(lines),
            Some(Event::CommandExited(code)) => {
                return Err(format!("its report ended with status {code}{}", last(&lines)));
            }
            Some(Event::Failed(error)) => return Err(error),
            Some(Event::Exited(exit)) => return Err(format!("it ended: {exit}{}", last(&lines))),
            Some(_) => {}
            None => return Err("nobody tells of it any more".into()),
        }
    }
}

/// Release of this host's kernel.
fn kernel() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

/// Where this host has its controllers.
fn cgroups() -> &'static str {
    let has = |path: &str| std::path::Path::new(path).exists();
    match (has("/sys/fs/cgroup/cgroup.controllers"), has("/sys/fs/cgroup/unified")) {
        (true, _) => "v2",
        (false, true) => "v1 (hybrid)",
        (false, false) => "v1",
    }
}

/// A folder that goes away.
pub(super) struct Removed(pub(super) std::path::PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_report_is_the_measure_of_all_others() {
        let mut carried = Carried { name: "x", image: Image::builtin(), reference: None };
        let report = |lines: &[&str]| Report::read(lines.iter().copied());
        let row = || cell(CONTAINER, "x", "somewhere");
        let first = judge(row(), &mut carried, &report(&["image sum 1", "around uid 0"]));
        assert_eq!((first.outcome, first.reason.as_str()), (CellOutcome::Works, ""));
        let around = judge(row(), &mut carried, &report(&["image sum 1", "around uid 7"]));
        assert!(around.outcome == CellOutcome::Works && around.reason.contains("uid"), "{around:?}");
        let other = judge(row(), &mut carried, &report(&["image sum 2", "around uid 0"]));
        assert!(other.outcome == CellOutcome::Differs && other.reason.contains("sum"), "{other:?}");
        assert_eq!(judge(row(), &mut carried, &report(&["hello"])).outcome, CellOutcome::Fails);
    }
}
