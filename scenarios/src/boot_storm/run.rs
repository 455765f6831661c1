//! A whole run: prepare, test the harness itself, storms in random blocks, what a reader must know.

use std::sync::Arc;
use std::time::Duration;

use results::record::Run;
use runtime::RunContext;
use serde_json::json;
use tokio::sync::mpsc::unbounded_channel;

use super::Plan;
use crate::blocks::{Turn, blocks};
use crate::contender::{Contender, prepare};
use crate::stage::warn;
use crate::storm::{self, Crew, Field, Ledger, Order};
use crate::stress::Sampler;
use crate::{Completion, Error, Progress, Stage};

/// How long the host is sampled before the first storm.
const BASELINE: Duration = Duration::from_secs(1);

/// CPU use before the first storm above which the host counts as busy with something else.
const BUSY_RATIO: f64 = 0.2;

/// Carries out `plan` and writes what happens to the stage's rows, and what a reader must know
/// about it to its run.
///
/// # Errors
/// Where no backend works or a row cannot be written. What goes wrong with a single attempt is no
/// error but its row.
pub fn run(plan: &Plan, stage: Stage<'_>) -> Result<Completion, Error> {
    let Stage { backends, context, image, rows, run, stop, progress } = stage;
    let contenders = prepare(&plan.launch, &backends, context, image, run, progress)?;
    let turns = blocks(contenders.len(), plan.warmup, plan.storms, plan.launch.seed);
    run.warmup_storms = turns.iter().filter(|turn| turn.warmup).map(|turn| turn.storm).collect();
    let order: Vec<&str> = turns.iter().map(|turn| contenders[turn.backend].name.as_str()).collect();
    run.self_test.insert("storm_order".into(), json!(order));
    run.self_test.insert("timer_resolution".into(), storm::timer_resolution());
    if let Err(reason) = context.watch.realtime() {
        warn(run, progress, format!("events are stamped without real-time priority: {reason}"));
    }
    if plan.stall_launcher_ms > 0 {
        let text =
            format!("the launcher was stalled for {} ms in each storm on purpose", plan.stall_launcher_ms);
        warn(run, progress, text);
    }

    let (samples, sampled) = unbounded_channel();
    let sampler = Sampler::start(run.epoch_ns, samples).map_err(Error::system("start the sampler"))?;
    let crew = Crew::for_host(sampler.live()).map_err(Error::system("start the launchers"))?;
    let mut ledger = Ledger::new(rows, sampled, run.epoch_ns);
    let executor = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(Error::system("start the collector"))?;
    let mut field = Field { crew: &crew, watch: &context.watch, stop, progress };
    let stormed =
        executor.block_on(storms(plan, &contenders, &turns, context, &sampler, &mut field, &mut ledger, run));
    run.self_test.extend(sampler.finish());
    ledger.drain();
    run.complete = stormed.is_ok() && !stop.requested() && !ledger.is_broken();
    ledger.update(run);
    if ledger.is_broken() {
        run.complete = false;
    }
    ledger.close()?;
    stormed?;
    Ok(if stop.requested() { Completion::Interrupted } else { Completion::Complete })
}

#[allow(clippy::too_many_arguments)]
async fn storms(
    plan: &Plan,
    contenders: &[Contender],
    turns: &[Turn],
    context: &RunContext,
    sampler: &Sampler,
    field: &mut Field<'_>,
    ledger: &mut Ledger<'_>,
    run: &mut Run,
) -> Result<(), Error> {
    let workload = plan.launch.parsed_workload()?;
    let settle_ns = plan.launch.settle_ns();
    let baseline = storm::look(BASELINE, ledger, field.stop).await.unwrap_or(0.0);
    run.self_test.insert("baseline_cpu_used_ratio".into(), json!(baseline));
    if baseline > BUSY_RATIO {
        let text = format!("{:.0} % of the host's CPU was in use before the first storm", baseline * 100.0);
        warn(run, field.progress, text);
    }
    let injected = storm::injected_delay(context, field, ledger).await?;
    run.self_test.insert("injected_delay".into(), injected);
    ledger.update(run);
    let (mut settled_ns, mut unsettled) = (Vec::new(), Vec::new());
    let (mut delays_ns, mut floor_ns) = (Vec::new(), Vec::new());
    for turn in turns {
        if field.stop.requested() || ledger.is_broken() {
            break;
        }
        let settled = storm::settle(baseline, settle_ns, ledger, field.stop).await;
        settled_ns.push(settled.waited_ns);
        if !settled.quiet {
            unsettled.push(turn.storm);
        }
        if field.stop.requested() {
            break;
        }
        let contender = &contenders[turn.backend];
        (field.progress)(Progress::StormBegan {
            storm: turn.storm,
            of: turns.len() as u32,
            backend: contender.name.clone(),
            warmup: turn.warmup,
            instances: plan.instances,
        });
        let order = Order {
            storm: turn.storm,
            backend: contender.name.clone(),
            config: contender.config.clone(),
            prepared: Arc::clone(&contender.prepared),
            workload: workload.clone(),
            limits: plan.launch.limits(),
            // The backends of a block see the same arrivals.
            offsets_ns: plan
                .arrival
                .offsets_ns(plan.instances, plan.launch.seed.wrapping_add(u64::from(turn.block))),
            instances: plan.instances,
            first: 0,
            timeout_ns: plan.launch.timeout_ns(),
            stall_ns: plan.stall_launcher_ms.saturating_mul(1_000_000),
            rehearsal: false,
        };
        sampler.begin(turn.storm, &contender.name);
        let aftermath = storm::make(order, field, ledger).await;
        sampler.end();
        let aftermath = aftermath.map_err(Error::system("start the scheduler"))?;
        for warning in aftermath.warnings {
            warn(run, field.progress, warning);
        }
        delays_ns.extend(aftermath.stamping_delays_ns);
        if contender.name == "process" && !turn.warmup {
            floor_ns.extend(aftermath.latencies_ns);
        }
        (field.progress)(Progress::StormEnded {
            storm: turn.storm,
            backend: contender.name.clone(),
            ready: aftermath.ready,
            other: aftermath.other,
            lasted_ns: aftermath.lasted_ns,
        });
        ledger.update(run);
    }
    if !unsettled.is_empty() {
        let text = format!(
            "the host had not become quiet within {} s before storms {unsettled:?}: they may have paid for what came before",
            plan.launch.settle_s
        );
        warn(run, field.progress, text);
    }
    let mut settling = storm::spread(&mut settled_ns);
    settling["unsettled_storms"] = json!(unsettled);
    run.self_test.insert("settling".into(), settling);
    run.self_test.insert("stamping_delay".into(), storm::spread(&mut delays_ns));
    if !floor_ns.is_empty() {
        // Start → what the storm waited for.
        run.self_test.insert("process_floor".into(), storm::spread(&mut floor_ns));
    }
    let left = field.crew.live();
    if left > 0 {
        warn(run, field.progress, format!("{left} instances were not known to be gone when the run ended"));
    }
    Ok(())
}
