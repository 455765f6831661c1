//! Shares of one busy processor: in proportion to the weights where there is competition, and of no
//! effect where there is none.

use runtime::Limits;
use runtime::cgroup::CpuWeight;

use super::{Answered, burn, one_processor};
use crate::prioritize::plan::Plan;
use crate::prioritize::question::{Answers, HOST, Question, Refusal, WORK, ask};
use crate::prioritize::scene::{Actor, Scene};

const UNEVEN: [u64; 3] = [100, 200, 400];
/// The control: the same weights, the same shares.
const EVEN: [u64; 3] = [100, 100, 100];
/// What little it has is enough where nobody else wants it.
const LITTLE: u64 = 10;
const WARM_UP_NS: u64 = 500_000_000;

pub(super) async fn measure(scene: &mut Scene<'_, '_>, plan: &Plan) -> Answered {
    let mut answered = Vec::new();
    for weights in [UNEVEN, EVEN] {
        let sum: u64 = weights.iter().sum();
        let together = weights.map(|weight| (weight / 100).to_string()).join(":");
        let case = |at: usize| format!("weight {} of {together}, place {}", weights[at] / 100, at + 1);
        let asked = |at: usize| Some(weights[at] as f64 / sum as f64);
        // What interpreted machines get done in the same time differs by far more than their time: there
        // the work is told and not held against what was asked.
        let is_held = |by| by == HOST || !scene.is_vm();
        let question = |at, by| {
            let question = ask(case(at), by, "share", asked(at));
            Question { control: weights == EVEN, ..if is_held(by) { question.off_by(0.1) } else { question } }
        };
        let questions = [HOST, WORK]
            .into_iter()
            .flat_map(|by| (0..weights.len()).map(move |at| (at, by)))
            .map(|(at, by)| question(at, by))
            .collect();
        answered.push((questions, shares(scene, plan, &weights).await));
    }
    let case = "a tenth of the usual weight, nobody else";
    answered
        .push((vec![ask(case, HOST, "cores", Some(1.0)).off_by(0.1).control()], alone(scene, plan).await));
    answered
}

fn limits(weight: u64) -> Limits {
    Limits {
        cpu_weight: Some(CpuWeight::Weight(weight)),
        cpuset_cpus: Some(one_processor()),
        ..Limits::default()
    }
}

/// Everybody's share by the host's count, then by the work done.
async fn shares(scene: &mut Scene<'_, '_>, plan: &Plan, weights: &[u64]) -> Answers {
    let mut actors = Vec::new();
    for weight in weights {
        actors.push(scene.start(burn(1), limits(*weight)).await?);
    }
    scene.rest(WARM_UP_NS).await;
    let before = used(scene, &actors)?;
    // Three who share one processor need three times as long to be told apart as well.
    let window = scene.rest(plan.window_ns() * 2).await;
    let after = used(scene, &actors)?;
    let used: Vec<f64> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
    let mut rounds = Vec::new();
    for actor in &actors {
        rounds.push(scene.rate(*actor, "burn_rounds", window).await?);
    }
    for actor in actors {
        scene.end(actor).await;
    }
    Ok([used, rounds].iter().flat_map(|all| parts(all)).collect())
}

fn used(scene: &Scene<'_, '_>, actors: &[Actor]) -> Result<Vec<f64>, Refusal> {
    actors.iter().map(|actor| scene.used_ns(*actor)).collect()
}

fn parts(all: &[f64]) -> Vec<f64> {
    let sum: f64 = all.iter().sum();
    all.iter().map(|one| one / sum).collect()
}

async fn alone(scene: &mut Scene<'_, '_>, plan: &Plan) -> Answers {
    let actor = scene.start(burn(1), limits(LITTLE)).await?;
    scene.rest(WARM_UP_NS).await;
    let before_ns = scene.used_ns(actor)?;
    let window = scene.rest(plan.window_ns()).await;
    let used_ns = scene.used_ns(actor)? - before_ns;
    scene.end(actor).await;
    Ok(vec![used_ns / window.lasted_ns()])
}
