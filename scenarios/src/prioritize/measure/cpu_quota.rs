//! A part of a processor: what a busy instance takes of what it is allowed.

use runtime::Limits;

use super::{Answered, burn};
use crate::prioritize::plan::Plan;
use crate::prioritize::question::{Answers, HOST, Question, Refusal, WORK, ask};
use crate::prioritize::scene::{Scene, Window};

/// Processors asked, with one busy thread inside.
const ASKED: [f64; 2] = [0.2, 0.5];
/// With two busy threads, which fill their quota on two processors at once.
const ASKED_OF_TWO: f64 = 0.5;
/// After this long every quota is at work.
const WARM_UP_NS: u64 = 500_000_000;

pub(super) async fn measure(scene: &mut Scene<'_, '_>, plan: &Plan) -> Answered {
    // The control: without a quota one busy thread takes a whole processor. What it does there is
    // what the others' work is measured by.
    let free = used(scene, plan, 1, None).await;
    let whole = free.clone();
    let control = vec![ask("1 thread, no quota", HOST, "cores", Some(1.0)).off_by(0.1).control()];
    let mut answered = vec![(control, free.map(|(cores, _)| vec![cores]))];
    for cpus in ASKED {
        let used = used(scene, plan, 1, Some(cpus)).await;
        answered.push((held(&format!("1 thread, {cpus} cores"), cpus).to_vec(), shares(used, &whole)));
    }
    if crate::cores() >= 2 && !scene.is_vm() {
        let used = used(scene, plan, 2, Some(ASKED_OF_TWO)).await;
        answered.push((
            held(&format!("2 threads, {ASKED_OF_TWO} cores"), ASKED_OF_TWO).to_vec(),
            shares(used, &whole),
        ));
    }
    answered
}

/// What is asked of a quota: of the host's count, and of the work done.
pub(crate) fn held(case: &str, asked: f64) -> [Question; 2] {
    [ask(case, HOST, "cores", Some(asked)).off_by(0.05), ask(case, WORK, "cores", Some(asked)).off_by(0.1)]
}

/// Processor time by the host's count in processors, and rounds a second.
async fn used(
    scene: &mut Scene<'_, '_>,
    plan: &Plan,
    threads: u32,
    cpus: Option<f64>,
) -> Result<(f64, f64), Refusal> {
    let actor = scene.start(burn(threads), Limits { cpus, ..Limits::default() }).await?;
    scene.rest(WARM_UP_NS).await;
    let before_ns = scene.used_ns(actor)?;
    let window = scene.rest(plan.window_ns()).await;
    let used_ns = scene.used_ns(actor)? - before_ns;
    let rounds = scene.rate(actor, "burn_rounds", window).await?;
    scene.end(actor).await;
    Ok((cores(used_ns, window), rounds))
}

fn cores(used_ns: f64, window: Window) -> f64 {
    used_ns / window.lasted_ns()
}

/// Rounds as processors: relative to one that is had as a whole.
fn shares(held: Result<(f64, f64), Refusal>, whole: &Result<(f64, f64), Refusal>) -> Answers {
    let (cores, rounds) = held?;
    let (_, whole) = whole.clone()?;
    Ok(vec![cores, rounds / whole])
}
