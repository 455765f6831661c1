//! A whole sweep: storms at all points, in random blocks.

use std::collections::BTreeMap;
use std::sync::Arc;

use results::record::Storm as StormRow;
use runtime::{Backend, Prepared};

use super::images::{Copies, drop_caches};
use super::plan::{Images, Plan, Point};
use crate::blocks::{Interleave, Turn, blocks};
use crate::storm::Order;
use crate::trial::{self, Trial};
use crate::{Completion, Error, Progress, Stage};

/// Carries out `plan`.
///
/// # Errors
/// Where no backend works or a row cannot be written. What goes wrong with a single attempt is no
/// error but its row.
pub fn run(plan: &Plan, stage: Stage<'_>) -> Result<Completion, Error> {
    let context = stage.context;
    let copies = match plan.images.contains(&Images::Own) {
        true => {
            let most = plan.sizes.iter().max().copied().unwrap_or(1);
            Some(Copies::make(stage.image, most, context)?)
        }
        false => None,
    };
    // Prepared before the clock runs; a backend that cannot be is left out by the trial itself.
    let own: BTreeMap<String, Vec<Arc<dyn Prepared>>> = match &copies {
        Some(copies) => {
            let prepare =
                |backend: &dyn Backend| Some((backend.id(), copies.prepare(backend, context).ok()?));
            stage.backends.iter().filter_map(|backend| prepare(backend.as_ref())).collect()
        }
        None => BTreeMap::new(),
    };
    trial::carry_out(&plan.launch, stage, async |trial| storms(plan, trial, &own).await)
}

async fn storms(
    plan: &Plan,
    trial: &mut Trial<'_>,
    own: &BTreeMap<String, Vec<Arc<dyn Prepared>>>,
) -> Result<(), Error> {
    let points = plan.points(trial.contenders.len());
    let turns = blocks(points.len(), plan.warmup, plan.storms, plan.launch.seed, Interleave::Random);
    trial.run.warmup_storms = turns.iter().filter(|turn| turn.warmup).map(|turn| turn.storm).collect();
    for turn in &turns {
        let point = &points[turn.backend];
        if trial.is_over() {
            break;
        }
        if point.images == Images::Own {
            drop_caches().map_err(Error::system("drop the host's caches (needs root)"))?;
        }
        trial.settle(turn.storm).await;
        if trial.is_over() {
            break;
        }
        let backend = trial.contenders[point.backend].name.clone();
        (trial.field.progress)(Progress::StormBegan {
            storm: turn.storm,
            of: turns.len() as u32,
            backend: backend.clone(),
            warmup: turn.warmup,
            instances: point.instances,
        });
        let order = order_of(plan, turn, point, trial, own)?;
        let row = StormRow {
            storm: turn.storm,
            backend,
            warmup: turn.warmup,
            instances: point.instances,
            arrival: point.arrival.to_string(),
            cores: point.cores,
            images: point.images.name().into(),
            began_ns: 0,
            ended_ns: 0,
        };
        trial.field.crew.pin(point.cores);
        let made = trial.storm(order, row).await;
        trial.field.crew.pin(crate::cores());
        made?;
    }
    Ok(())
}

fn order_of(
    plan: &Plan,
    turn: &Turn,
    point: &Point,
    trial: &Trial<'_>,
    own: &BTreeMap<String, Vec<Arc<dyn Prepared>>>,
) -> Result<Order, Error> {
    let contender = &trial.contenders[point.backend];
    let prepared = match point.images {
        Images::Shared => vec![Arc::clone(&contender.prepared)],
        Images::Own => own.get(&contender.name).cloned().unwrap_or_default(),
    };
    if prepared.is_empty() {
        return Err(Error::NothingToRun(format!("{} cannot be prepared for copied images", contender.name)));
    }
    Ok(Order {
        storm: turn.storm,
        backend: contender.name.clone(),
        config: contender.config.clone(),
        prepared,
        plan: plan.launch.guest_plan(trial.image)?,
        limits: plan.launch.limits(),
        // The points of a block see the same arrivals.
        offsets_ns: point
            .arrival
            .offsets_ns(point.instances, plan.launch.seed.wrapping_add(u64::from(turn.block))),
        instances: point.instances,
        first: 0,
        deadlines: plan.launch.deadlines(),
        stall_ns: 0,
        guard: None,
        served: None,
        rehearsal: false,
    })
}
