//! All repetitions, in random blocks.

use results::record::Storm as StormRow;
use runtime::clock::now_ns;

use runtime::RunContext;

use super::plan::Plan;
use super::question::{HOST, Refusal, ask, rows};
use super::scene::Scene;
use super::{Mechanism, Version, inside, measure};
use crate::blocks::{Interleave, blocks};
use crate::trial::{self, Trial};
use crate::{Completion, Error, Progress, Stage};

/// Carries out `plan`.
///
/// # Errors
/// Where no backend works or a row cannot be written. What cannot be measured is a row.
pub fn run(plan: &Plan, stage: Stage<'_>) -> Result<Completion, Error> {
    let context = stage.context;
    let cache_dir = context.cache_dir.clone();
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
        let mut storm = turns.len() as u32;
        for version in &plan.inside {
            if trial.is_over() {
                break;
            }
            nested(plan, trial, *version, storm, context);
            storm += plan.mechanisms.len() as u32 * plan.storms;
        }
        Ok(())
    })
}

/// The whole plan in a container of a virtual machine.
fn nested(plan: &Plan, trial: &mut Trial<'_>, version: Version, first_storm: u32, context: &RunContext) {
    (trial.field.progress)(Progress::Preparing { backend: version.backend() });
    let told = inside::ask(plan, version, first_storm, context, trial.stop());
    if trial.is_over() {
        return;
    }
    let readings = told.unwrap_or_else(|error| {
        let failed = |mechanism: &Mechanism| {
            let refusal = Refusal::Failed(error.clone());
            let question = [ask("all", HOST, "", None)];
            rows(&question, Err(refusal), first_storm, &version.backend(), mechanism.name())
        };
        plan.mechanisms.iter().flat_map(failed).collect()
    });
    for row in readings {
        trial.ledger.reading(&row);
    }
    trial.ledger.update(trial.run);
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
