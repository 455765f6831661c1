//! Saved as a whole, ended, and gone on with in another instance.

use runtime::Limits;

use super::{Answered, burn};
use crate::prioritize::question::{Answers, HOST, Refusal, WORK, ask};
use crate::prioritize::scene::Scene;

const WARM_UP_NS: u64 = 300_000_000;

pub(super) async fn measure(scene: &mut Scene<'_, '_>) -> Answered {
    let questions = vec![
        // From the last it told before to the first it told after: it tells something every 20 ms.
        ask("downtime", HOST, "ns", None),
        ask("saved", HOST, "bytes", None),
        ask("goes on with its count", WORK, "times", Some(1.0)).exactly(),
    ];
    vec![(questions, moved(scene).await)]
}

async fn moved(scene: &mut Scene<'_, '_>) -> Answers {
    let old = scene.start(burn(1), Limits::default()).await?;
    scene.rest(WARM_UP_NS).await;
    let saved = scene.instance_mut(old)?.save()?;
    let bytes = saved.bytes as f64;
    // Whatever it told up to its end is heard while it is ended.
    scene.end(old).await;
    let new = scene.go_on(burn(1), Limits::default(), saved).await?;
    scene.next(new, "burn_rounds").await?;
    let [_, (last_ns, before)] = scene.ends(old, "burn_rounds")?;
    let [(first_ns, after), _] = scene.ends(new, "burn_rounds")?;
    scene.end(new).await;
    let Some(down_ns) = first_ns.checked_sub(last_ns) else {
        return Err(Refusal::Failed("the old one told something after the new one".into()));
    };
    // One that had begun anew would have less.
    Ok(vec![down_ns as f64, bytes, f64::from(after > before)])
}
