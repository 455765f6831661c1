//! A victim beside a hog: what it feels of it, with limits on the hog and without.

use guest::Task;
use runtime::cgroup::CpuWeight;
use runtime::{Limits, Workload};

use super::{Answered, PATIENCE_NS, burn};
use crate::prioritize::plan::Plan;
use crate::prioritize::question::{Answers, ask};
use crate::prioritize::scene::Scene;

/// What the hog may have where it is held by a quota.
const QUOTA_CPUS: f64 = 0.5;
/// What it weighs where it is held by its weight, and what the victim weighs then.
const WEIGHTS: (u64, u64) = (10, 1000);
/// How long the hog is there before the victim comes.
const WARM_UP_NS: u64 = 500_000_000;

/// The quantities told of the victim.
const TOLD: [(&str, &str); 3] = [("p50", "pulse_p50_ns"), ("p99", "pulse_p99_ns"), ("worst", "pulse_max_ns")];

pub(super) async fn measure(scene: &mut Scene<'_, '_>, plan: &Plan) -> Answered {
    // A machine has as many processors as it is given, and a hog wants all of them.
    let all = Limits { cpus: scene.is_vm().then(|| f64::from(crate::cores())), ..Limits::default() };
    let weighing =
        |weight, limits: &Limits| Limits { cpu_weight: Some(CpuWeight::Weight(weight)), ..limits.clone() };
    let plain = Limits::default();
    let cases = [
        ("alone", None, plain.clone()),
        ("beside a hog", Some(all.clone()), plain.clone()),
        (
            "beside a hog with a quota",
            Some(Limits { cpus: Some(QUOTA_CPUS), ..plain.clone() }),
            plain.clone(),
        ),
        ("beside a hog of little weight", Some(weighing(WEIGHTS.0, &all)), weighing(WEIGHTS.1, &plain)),
    ];
    let mut answered = Vec::new();
    for (case, hog, victim) in cases {
        let questions = TOLD.map(|(by, _)| ask(case, by, "ns", None)).to_vec();
        answered.push((questions, felt(scene, plan, hog, victim).await));
    }
    answered
}

async fn felt(scene: &mut Scene<'_, '_>, plan: &Plan, hog: Option<Limits>, victim: Limits) -> Answers {
    let hog = match hog {
        Some(limits) => Some(scene.start(burn(2 * crate::cores()), limits).await?),
        None => None,
    };
    scene.rest(WARM_UP_NS).await;
    let victim = scene.start(Workload::Task(Task::Pulse { count: plan.pulses }), victim).await?;
    scene.done(victim, PATIENCE_NS + u64::from(plan.pulses) * 50_000_000).await?;
    let told = TOLD.iter().map(|(_, measure)| scene.last(victim, measure)).collect::<Result<_, _>>()?;
    scene.end(victim).await;
    if let Some(hog) = hog {
        scene.end(hog).await;
    }
    Ok(told)
}
