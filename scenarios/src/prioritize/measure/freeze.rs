//! Standing still and going on: how long each takes, and what is used meanwhile.

use runtime::Limits;
use runtime::clock::now_ns;

use super::{Answered, burn};
use crate::prioritize::question::{Answers, HOST, Refusal, ask};
use crate::prioritize::scene::{Actor, Scene};

/// Times it is stopped and let go.
const TIMES: u32 = 20;
/// How long it stands still, and how long it runs, each time.
const PART_NS: u64 = 30_000_000;

pub(super) async fn measure(scene: &mut Scene<'_, '_>) -> Answered {
    let questions = vec![
        ask("to stop", HOST, "ns", None),
        ask("to go on", HOST, "ns", None),
        ask("used while stopped", HOST, "cores", Some(0.0)).at_most(0.01),
        // The control: it would have used what it did not.
        ask("used while running", HOST, "cores", Some(1.0)).at_least(0.9).control(),
    ];
    vec![(questions, cycles(scene).await)]
}

async fn cycles(scene: &mut Scene<'_, '_>) -> Answers {
    let actor = scene.start(burn(1), Limits::default()).await?;
    scene.rest(10 * PART_NS).await;
    let (mut stops_ns, mut goes_ns) = (Vec::new(), Vec::new());
    let (mut still, mut running) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        running.push(used(scene, actor).await?);
        let began_ns = now_ns();
        scene.instance_mut(actor)?.pause()?;
        stops_ns.push((now_ns() - began_ns) as f64);
        let used = used(scene, actor).await;
        let began_ns = now_ns();
        scene.instance_mut(actor)?.resume()?;
        goes_ns.push((now_ns() - began_ns) as f64);
        still.push(used?);
    }
    scene.end(actor).await;
    Ok([stops_ns, goes_ns, still, running].map(median).to_vec())
}

/// Processors used for a while.
async fn used(scene: &mut Scene<'_, '_>, actor: Actor) -> Result<f64, Refusal> {
    let before_ns = scene.used_ns(actor)?;
    let window = scene.rest(PART_NS).await;
    Ok((scene.used_ns(actor)? - before_ns) / window.lasted_ns())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
