//! Bytes a second to a block device, written past the page cache.

use guest::Task;
use runtime::cgroup::IoLimit;
use runtime::{Limits, Workload, scratch};

use super::{Answered, PATIENCE_NS};
use crate::prioritize::question::{Answers, Question, Refusal, WORK, ask};
use crate::prioritize::scene::{Scene, Window};

pub(crate) const ALLOWED_BYTES_PER_S: u64 = 8 << 20;
pub(crate) const WRITTEN_BYTES: u64 = 16 << 20;
/// The control has no limit and is quicker.
const CONTROL_BYTES: u64 = 64 << 20;

pub(super) async fn measure(scene: &mut Scene<'_, '_>) -> Answered {
    let allowed = ALLOWED_BYTES_PER_S as f64;
    let control = written(scene, CONTROL_BYTES, None).await;
    let answer = match &control {
        // Where the device is no faster than the limit, the limit holds without doing anything.
        Ok(rate) if rate[0] < 2.0 * allowed => Err(Refusal::NotHere(format!(
            "the device itself writes only {:.1} MiB/s, too little to see a limit of 8",
            rate[0] / f64::from(1 << 20)
        ))),
        Ok(_) => written(scene, WRITTEN_BYTES, Some(ALLOWED_BYTES_PER_S)).await,
        Err(refusal) => Err(refusal.clone()),
    };
    vec![
        (vec![held()], answer),
        (vec![ask("no limit", WORK, "bytes/s", None).at_least(2.0 * allowed).control()], control),
    ]
}

/// What is asked of the limit.
pub(crate) fn held() -> Question {
    ask("8 MiB/s to the device", WORK, "bytes/s", Some(ALLOWED_BYTES_PER_S as f64)).off_by(0.1)
}

async fn written(scene: &mut Scene<'_, '_>, bytes: u64, limit: Option<u64>) -> Answers {
    let device = device(scene)?;
    let io = limit.map(|most| IoLimit { device, write_bytes_per_s: Some(most), ..IoLimit::default() });
    let limits = Limits { io: io.into_iter().collect(), ..Limits::default() };
    let began_ns = runtime::clock::now_ns();
    let actor = scene.start(Workload::Task(Task::Write { bytes }), limits).await?;
    scene.done(actor, PATIENCE_NS).await?;
    let window = Window { began_ns, ended_ns: runtime::clock::now_ns() };
    let rate = scene.rate(actor, "written_bytes", window).await?;
    scene.end(actor).await;
    Ok(vec![rate])
}

/// The device that instances of this backend write to.
pub(super) fn device(scene: &Scene<'_, '_>) -> Result<(u32, u32), Refusal> {
    match scene.backend() {
        "container" | "container:rootless" | "process" => {
            scratch::device(scene.cache_dir()).map_err(|error| Refusal::NotHere(error.to_string()))
        }
        "vm" | "vm:direct" | "vm:restore" | "vm:floor" => {
            Err(Refusal::NotHere("these machines have no disk".into()))
        }
        other => Err(Refusal::NotHere(format!("what {other} writes to is not known here"))),
    }
}
