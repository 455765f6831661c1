//! A whole run: prepare, test the harness itself, storms in random blocks, what a reader must know.

use std::sync::Arc;
use std::time::Duration;

use results::record::Run;
use runtime::image::Image;
use runtime::{Backend, Prepared, RunContext};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::unbounded_channel;

use super::crew::Crew;
use super::ledger::Ledger;
use super::order::{Turn, blocks};
use super::storm::{self, Field, Order};
use super::{Plan, selftest, settle};
use crate::stress::Sampler;
use crate::{Error, Progress, Rows, Stop};

/// How long the host is sampled before the first storm.
const BASELINE: Duration = Duration::from_secs(1);

/// CPU use before the first storm above which the host counts as busy with something else.
const BUSY_RATIO: f64 = 0.2;

/// Warnings of the same run beyond this many are only counted.
const MOST_WARNINGS: usize = 50;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// As planned.
    Complete,
    /// By the user; what had been measured is in the run folder.
    Interrupted,
}

/// Carries out `plan` on `backends` and writes what happens to `folder`, and what a reader must
/// know about it to `run`.
///
/// # Errors
/// Where the plan makes no sense, no backend works or a row cannot be written. What goes wrong
/// with a single attempt is no error but its row.
#[allow(clippy::too_many_arguments)]
pub fn run(
    plan: &Plan,
    backends: Vec<Box<dyn Backend>>,
    context: &RunContext,
    image: &Image,
    folder: &mut dyn Rows,
    run: &mut Run,
    stop: &Stop,
    progress: &mut dyn FnMut(Progress),
) -> Result<Completion, Error> {
    plan.validate()?;
    let contenders = prepare(plan, &backends, context, image, run, progress)?;
    let turns = blocks(contenders.len(), plan.warmup, plan.storms, plan.seed);
    run.warmup_storms = turns.iter().filter(|turn| turn.warmup).map(|turn| turn.storm).collect();
    let order: Vec<&str> = turns.iter().map(|turn| contenders[turn.backend].name.as_str()).collect();
    run.self_test.insert("storm_order".into(), json!(order));
    run.self_test.insert("timer_resolution".into(), selftest::timer_resolution());
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
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let crew = Crew::start((2 * cores).clamp(4, 32), sampler.live())
        .map_err(Error::system("start the launchers"))?;
    let mut ledger = Ledger::new(folder, sampled, run.epoch_ns);
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

/// A backend that takes part.
struct Contender {
    name: String,
    config: String,
    prepared: Arc<dyn Prepared>,
}

fn prepare(
    plan: &Plan,
    backends: &[Box<dyn Backend>],
    context: &RunContext,
    image: &Image,
    run: &mut Run,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Contender>, Error> {
    let mut contenders = Vec::new();
    for backend in backends {
        let name = backend.id();
        progress(Progress::Preparing { backend: name.clone() });
        match backend.prepare(context, image) {
            Ok(prepared) => {
                let full = json!({
                    "backend": name,
                    "launch": prepared.config(),
                    "image": image.digest,
                    "workload": plan.workload,
                    "command": plan.command,
                    "memory_bytes": plan.memory_bytes,
                    "cpus": plan.cpus,
                    "pids": plan.pids,
                });
                let config = hash(&full);
                run.configs.insert(config.clone(), full);
                contenders.push(Contender { name, config, prepared });
            }
            Err(error) => {
                let reason = error.to_string();
                run.unavailable.insert(name.clone(), reason.clone());
                progress(Progress::Unavailable { backend: name, reason });
            }
        }
    }
    if contenders.is_empty() {
        let reasons: Vec<String> =
            run.unavailable.iter().map(|(name, reason)| format!("{name}: {reason}")).collect();
        return Err(Error::NothingToRun(reasons.join("; ")));
    }
    Ok(contenders)
}

/// SHA-256 over the JSON text, whose keys serde_json sorts; 16 digits tell configurations of a run apart.
fn hash(config: &Value) -> String {
    let digest = Sha256::digest(config.to_string().as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
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
    let workload = plan.parsed_workload()?;
    let settle_ns = (plan.settle_s * 1e9) as u64;
    let baseline = settle::look(BASELINE, ledger, field.stop).await.unwrap_or(0.0);
    run.self_test.insert("baseline_cpu_used_ratio".into(), json!(baseline));
    if baseline > BUSY_RATIO {
        let text = format!("{:.0} % of the host's CPU was in use before the first storm", baseline * 100.0);
        warn(run, field.progress, text);
    }
    let injected = selftest::injected_delay(context, field, ledger).await?;
    run.self_test.insert("injected_delay".into(), injected);
    ledger.update(run);
    let (mut settled_ns, mut unsettled) = (Vec::new(), Vec::new());
    let (mut delays_ns, mut floor_ns) = (Vec::new(), Vec::new());
    for turn in turns {
        if field.stop.requested() || ledger.is_broken() {
            break;
        }
        let settled = settle::settle(baseline, settle_ns, ledger, field.stop).await;
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
            limits: plan.limits(),
            // The backends of a block see the same arrivals.
            offsets_ns: plan
                .arrival
                .offsets_ns(plan.instances, plan.seed.wrapping_add(u64::from(turn.block))),
            instances: plan.instances,
            timeout_ns: (plan.timeout_s * 1e9) as u64,
            stall_ns: plan.stall_launcher_ms.saturating_mul(1_000_000),
        };
        sampler.begin(turn.storm, &contender.name);
        let aftermath = storm::make(&order, field, ledger, false).await;
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
            plan.settle_s
        );
        warn(run, field.progress, text);
    }
    let mut settling = selftest::spread(&mut settled_ns);
    settling["unsettled_storms"] = json!(unsettled);
    run.self_test.insert("settling".into(), settling);
    run.self_test.insert("stamping_delay".into(), selftest::spread(&mut delays_ns));
    if !floor_ns.is_empty() {
        // Start → what the storm waited for.
        run.self_test.insert("process_floor".into(), selftest::spread(&mut floor_ns));
    }
    let left = field.crew.live();
    if left > 0 {
        warn(run, field.progress, format!("{left} instances were not known to be gone when the run ended"));
    }
    Ok(())
}

fn warn(run: &mut Run, progress: &mut dyn FnMut(Progress), text: String) {
    if run.warnings.len() == MOST_WARNINGS {
        run.warnings.push("there were more warnings than are kept".into());
    } else if run.warnings.len() < MOST_WARNINGS {
        run.warnings.push(text.clone());
    }
    progress(Progress::Warning(text));
}
