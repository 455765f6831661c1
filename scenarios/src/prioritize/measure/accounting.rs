//! What the host charges an instance with, against the truth.

use guest::Task;
use runtime::cgroup::{IoLimit, UNLIMITED};
use runtime::{Limits, Workload};

use super::{Answered, PATIENCE_NS, burn, io_limit};
use crate::prioritize::plan::Plan;
use crate::prioritize::question::{Answers, HOST, Refusal, ask};
use crate::prioritize::scene::{Actor, Scene};

const TOUCHED_BYTES: u64 = 64 << 20;
const WRITTEN_BYTES: u64 = 32 << 20;
const WARM_UP_NS: u64 = 300_000_000;

pub(super) async fn measure(scene: &mut Scene<'_, '_>, plan: &Plan) -> Answered {
    let processor = processor(scene, plan).await;
    let memory = memory(scene).await;
    let written = written(scene).await;
    let question = |case, unit, truth| ask(case, HOST, unit, truth);
    let (touched, all) = (TOUCHED_BYTES as f64, WRITTEN_BYTES as f64);
    // How much was burnt is known only afterwards; held against it as a ratio.
    let mut of_processor = question("processor time charged of that burnt", "times", Some(1.0)).off_by(0.02);
    let mut of_memory = question("memory charged for 64 MiB touched", "bytes", Some(touched))
        .at_least(0.99 * touched)
        .at_most(1.05 * touched);
    if scene.is_vm() {
        // Told: what a machine takes for itself meanwhile is charged with it, and where its processor
        // waited for another one it was not busy.
        of_processor = question("processor time charged of that a busy one has", "times", None);
        of_memory = question("memory charged for 64 MiB touched", "bytes", None);
    }
    let of_written = question("bytes charged for 32 MiB written", "bytes", Some(all)).off_by(0.01);
    vec![(vec![of_processor], processor), (vec![of_memory], memory), (vec![of_written], written)]
}

/// The host's count relative to the program's own. A machine's program counts on another clock:
/// there the truth is that one virtual processor is busy all the time.
async fn processor(scene: &mut Scene<'_, '_>, plan: &Plan) -> Answers {
    let actor = scene.start(burn(1), Limits { account_memory: true, ..Limits::default() }).await?;
    scene.rest(WARM_UP_NS).await;
    let before = counts(scene, actor).await?;
    let window = scene.rest(plan.window_ns()).await;
    let after = counts(scene, actor).await?;
    scene.end(actor).await;
    let burnt_ns = if scene.is_vm() { (after.2 - before.2) as f64 } else { after.0 - before.0 };
    if burnt_ns <= window.lasted_ns() / 100.0 {
        return Err(Refusal::Failed("hardly anything was burnt".into()));
    }
    Ok(vec![(after.1 - before.1) / burnt_ns])
}

/// The program's own count, the host's, and when.
async fn counts(scene: &mut Scene<'_, '_>, actor: Actor) -> Result<(f64, f64, u64), Refusal> {
    let own_ns = scene.next(actor, "burn_cpu_ns").await?;
    Ok((own_ns, scene.used_ns(actor)?, runtime::clock::now_ns()))
}

/// Charged to one that holds so much more than another that holds nothing.
async fn memory(scene: &mut Scene<'_, '_>) -> Answers {
    let limits = Limits { account_memory: true, ..Limits::default() };
    let empty = scene.start(Workload::Ready, limits.clone()).await?;
    let full = scene.start(Workload::Memory { bytes: TOUCHED_BYTES }, limits).await?;
    scene.done(full, PATIENCE_NS).await?;
    let charged = |scene: &Scene<'_, '_>, actor| {
        let memory = scene.statistics(actor)?.memory;
        memory
            .map(|memory| memory.usage_bytes as f64)
            .ok_or_else(|| Refusal::NotHere("the host counts no memory of it".into()))
    };
    let answers = vec![charged(scene, full)? - charged(scene, empty)?];
    scene.end(full).await;
    scene.end(empty).await;
    Ok(answers)
}

async fn written(scene: &mut Scene<'_, '_>) -> Answers {
    let device = io_limit::device(scene)?;
    // A limit that is none: what makes the kernel count.
    let io = vec![IoLimit { device, write_bytes_per_s: Some(UNLIMITED), ..IoLimit::default() }];
    let limits = Limits { io, ..Limits::default() };
    let actor = scene.start(Workload::Task(Task::Write { bytes: WRITTEN_BYTES }), limits).await?;
    scene.done(actor, PATIENCE_NS).await?;
    let counted = scene.statistics(actor)?.io;
    let counted = counted.iter().find(|one| one.device == device).map(|one| one.written_bytes as f64);
    scene.end(actor).await;
    Ok(vec![counted.unwrap_or(0.0)])
}
