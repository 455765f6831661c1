//! All repetitions, in random blocks.

use results::record::Storm as StormRow;
use runtime::clock::now_ns;

use super::measure;
use super::plan::Plan;
use super::question::rows;
use super::scene::Scene;
use crate::blocks::{Interleave, blocks};
use crate::trial::{self, Trial};
use crate::{Completion, Error, Progress, Stage};

/// Carries out `plan`.
///
/// # Errors
/// Where no backend works or a row cannot be written. What cannot be measured is a row.
pub fn run(plan: &Plan, stage: Stage<'_>) -> Result<Completion, Error> {
    let cache_dir = stage.context.cache_dir.clone();
    trial::carry_out(&plan.launch, stage, async |trial| {
        let kinds = trial.contenders.len() * plan.mechanisms.len();
        let turns = blocks(kinds, 0, plan.storms, plan.launch.seed, Interleave::Random);
        for turn in &turns {
            if trial.is_over() {
                break;
            }
            let contender = turn.backend / plan.mechanisms.len();
            let mechanism = plan.mechanisms[turn.backend % plan.mechanisms.len()];
            trial.settle(turn.storm).await;
            let name = trial.contenders[contender].name.clone();
            (trial.field.progress)(Progress::StormBegan {
                storm: turn.storm,
                of: turns.len() as u32,
                backend: format!("{name} ({})", mechanism.name()),
                warmup: false,
                instances: 0,
            });
            repetition(plan, trial, contender, turn.storm, mechanism, &cache_dir).await;
        }
        Ok(())
    })
}

async fn repetition(
    plan: &Plan,
    trial: &mut Trial<'_>,
    contender: usize,
    storm: u32,
    mechanism: super::Mechanism,
    cache_dir: &std::path::Path,
) {
    let name = trial.contenders[contender].name.clone();
    let began_ns = now_ns();
    trial.sampler.begin(storm, &name);
    let mut scene = Scene::new(trial, &plan.launch, contender, storm, cache_dir);
    let answered = measure::measure(mechanism, &mut scene, plan).await;
    let was_stopped = scene.is_over();
    let instances = scene.finish().await;
    trial.sampler.end();
    for (questions, answers) in answered {
        // What the user cut short says nothing of the mechanism.
        if was_stopped && answers.is_err() {
            continue;
        }
        for row in rows(&questions, answers, storm, &name, mechanism.name()) {
            trial.ledger.reading(&row);
        }
    }
    let row = StormRow {
        storm,
        backend: name.clone(),
        warmup: false,
        instances,
        arrival: "serial".into(),
        cores: crate::cores(),
        images: "shared".into(),
        began_ns: trial.ledger.since_epoch_ns(began_ns),
        ended_ns: trial.ledger.since_epoch_ns(now_ns()),
    };
    trial.ledger.storm(&row);
    (trial.field.progress)(Progress::StormEnded {
        storm,
        backend: name,
        ready: instances,
        other: 0,
        lasted_ns: now_ns() - began_ns,
    });
    trial.ledger.update(trial.run);
}
