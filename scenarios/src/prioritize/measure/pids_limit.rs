//! Processes: as many as allowed, and not one more.

use guest::Task;
use runtime::{Limits, Workload};

use super::{Answered, PATIENCE_NS};
use crate::prioritize::question::{Answers, HOST, Question, Refusal, WORK, ask};
use crate::prioritize::scene::Scene;

pub(crate) const ALLOWED: u64 = 32;
pub(crate) const WANTED: u32 = 200;

pub(super) async fn measure(scene: &mut Scene<'_, '_>) -> Answered {
    let questions =
        vec![held(WORK), held(HOST), ask("refused with EAGAIN", WORK, "times", Some(1.0)).exactly()];
    let control = ask("200 wanted, no limit", WORK, "processes", Some(f64::from(WANTED)));
    let control = vec![control.exactly().control()];
    vec![(questions, limited(scene).await), (control, unlimited(scene).await)]
}

/// What is asked of the limit, by either count.
pub(crate) fn held(by: &'static str) -> Question {
    ask("32 allowed, 200 wanted", by, "processes", Some(ALLOWED as f64)).exactly()
}

async fn limited(scene: &mut Scene<'_, '_>) -> Answers {
    let limits = Limits { pids: Some(ALLOWED), ..Limits::default() };
    let actor = scene.start(Workload::Task(Task::Fork { most: WANTED }), limits).await?;
    scene.done(actor, PATIENCE_NS).await?;
    let forked = scene.last(actor, "forked")?;
    let refused = f64::from(scene.last(actor, "fork_errno")? as i32 == nix::libc::EAGAIN);
    let counted = scene.statistics(actor)?.pids.map(|pids| pids.current as f64);
    let counted = counted.ok_or_else(|| Refusal::NotHere("the host counts no processes of it".into()))?;
    scene.end(actor).await;
    // Who made them is one too.
    Ok(vec![forked + 1.0, counted, refused])
}

async fn unlimited(scene: &mut Scene<'_, '_>) -> Answers {
    let actor = scene.start(Workload::Task(Task::Fork { most: WANTED }), Limits::default()).await?;
    scene.done(actor, PATIENCE_NS).await?;
    let forked = scene.last(actor, "forked")?;
    scene.end(actor).await;
    Ok(vec![forked])
}
