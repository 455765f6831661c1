//! A whole run: storms in random blocks.

use std::sync::Arc;

use results::record::Storm as StormRow;
use serde_json::json;

use super::Plan;
use crate::blocks::{Turn, blocks};
use crate::storm::Order;
use crate::trial::{self, Trial};
use crate::{Completion, Error, Progress, Stage};

/// Carries out `plan` and writes what happens to the stage's rows, and what a reader must know
/// about it to its run.
///
/// # Errors
/// Where no backend works or a row cannot be written. What goes wrong with a single attempt is no
/// error but its row.
pub fn run(plan: &Plan, stage: Stage<'_>) -> Result<Completion, Error> {
    trial::carry_out(&plan.launch, stage, async |trial| storms(plan, trial).await)
}

async fn storms(plan: &Plan, trial: &mut Trial<'_>) -> Result<(), Error> {
    let turns = blocks(trial.contenders.len(), plan.warmup, plan.storms, plan.launch.seed, plan.interleave);
    trial.run.warmup_storms = turns.iter().filter(|turn| turn.warmup).map(|turn| turn.storm).collect();
    let order: Vec<&str> = turns.iter().map(|turn| trial.contenders[turn.backend].name.as_str()).collect();
    trial.run.self_test.insert("storm_order".into(), json!(order));
    if plan.stall_launcher_ms > 0 {
        trial.warn(format!(
            "the launcher was stalled for {} ms in each storm on purpose",
            plan.stall_launcher_ms
        ));
    }
    for turn in &turns {
        if trial.is_over() {
            break;
        }
        trial.settle(turn.storm).await;
        if trial.is_over() {
            break;
        }
        let backend = trial.contenders[turn.backend].name.clone();
        (trial.field.progress)(Progress::StormBegan {
            storm: turn.storm,
            of: turns.len() as u32,
            backend: backend.clone(),
            warmup: turn.warmup,
            instances: plan.instances,
        });
        let order = order_of(plan, turn, trial)?;
        let row = StormRow {
            storm: turn.storm,
            backend,
            warmup: turn.warmup,
            instances: plan.instances,
            arrival: plan.arrival.to_string(),
            cores: crate::cores(),
            images: "shared".into(),
            began_ns: 0,
            ended_ns: 0,
        };
        trial.storm(order, row).await?;
    }
    Ok(())
}

fn order_of(plan: &Plan, turn: &Turn, trial: &Trial<'_>) -> Result<Order, Error> {
    let contender = &trial.contenders[turn.backend];
    Ok(Order {
        storm: turn.storm,
        backend: contender.name.clone(),
        config: contender.config.clone(),
        prepared: vec![Arc::clone(&contender.prepared)],
        plan: plan.launch.guest_plan(trial.image)?,
        limits: plan.launch.limits(),
        // The backends of a block see the same arrivals.
        offsets_ns: plan
            .arrival
            .offsets_ns(plan.instances, plan.launch.seed.wrapping_add(u64::from(turn.block))),
        instances: plan.instances,
        first: 0,
        deadlines: plan.launch.deadlines(),
        stall_ns: plan.stall_launcher_ms.saturating_mul(1_000_000),
        guard: None,
        served: None,
        rehearsal: false,
    })
}
