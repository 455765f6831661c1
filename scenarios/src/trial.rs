//! What is around every measured scenario: prepared backends, launchers, sampler, the harness's
//! test of itself, and the books of all this.

use std::time::Duration;

use results::record::{Run, Storm as StormRow};
use runtime::clock::now_ns;
use runtime::image::Image;
use runtime::{Limits, RunContext, Workload};
use serde_json::json;
use tokio::sync::mpsc::unbounded_channel;

use crate::contender::{Contender, prepare};
use crate::stage::warn;
use crate::storm::{self, Aftermath, Crew, Field, Ledger, Order};
use crate::stress::Sampler;
use crate::{Completion, Error, Launch, Progress, Stage, Stop};

/// How long the host is sampled before anything is started.
const BASELINE: Duration = Duration::from_secs(1);

/// CPU use before the first storm above which the host counts as busy with something else.
const BUSY_RATIO: f64 = 0.2;

/// A scenario under way.
pub(crate) struct Trial<'a> {
    pub(crate) contenders: Vec<Contender>,
    pub(crate) image: &'a Image,
    pub(crate) sampler: Sampler,
    pub(crate) field: Field<'a>,
    pub(crate) ledger: Ledger<'a>,
    pub(crate) run: &'a mut Run,
    /// CPU use of the host before anything was started.
    baseline_ratio: f64,
    settle_ns: u64,
    settled_ns: Vec<u64>,
    unsettled: Vec<u32>,
    delays_ns: Vec<u64>,
    floor_ns: Vec<u64>,
}

/// Prepares the backends of `stage`, lets `body` do its work on them and closes the books.
///
/// # Errors
/// Where no backend works, a row cannot be written, or what `body` says.
pub(crate) fn carry_out(
    launch: &Launch,
    stage: Stage<'_>,
    body: impl AsyncFnOnce(&mut Trial<'_>) -> Result<(), Error>,
) -> Result<Completion, Error> {
    let Stage { backends, context, image, rows, run, stop, progress } = stage;
    let contenders = prepare(launch, &backends, context, image, run, progress)?;
    run.self_test.insert("timer_resolution".into(), storm::timer_resolution());
    if let Err(reason) = context.watch.realtime() {
        warn(run, progress, format!("events are stamped without real-time priority: {reason}"));
    }
    let (samples, sampled) = unbounded_channel();
    let sampler = Sampler::start(run.epoch_ns, samples).map_err(Error::system("start the sampler"))?;
    let crew = Crew::for_host(sampler.live()).map_err(Error::system("start the launchers"))?;
    let executor = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(Error::system("start the collector"))?;
    let ledger = Ledger::new(rows, sampled, run.epoch_ns);
    let mut trial = Trial {
        contenders,
        image,
        sampler,
        field: Field { crew: &crew, watch: &context.watch, stop, progress },
        ledger,
        run,
        baseline_ratio: 0.0,
        settle_ns: launch.settle_ns(),
        settled_ns: Vec::new(),
        unsettled: Vec::new(),
        delays_ns: Vec::new(),
        floor_ns: Vec::new(),
    };
    let done: Result<(), Error> = executor.block_on(async {
        trial.begin(context).await?;
        body(&mut trial).await?;
        trial.sum_up(launch);
        Ok(())
    });
    let Trial { mut ledger, run, sampler, .. } = trial;
    run.self_test.extend(sampler.finish());
    ledger.drain();
    run.complete = done.is_ok() && !stop.requested() && !ledger.is_broken();
    ledger.update(run);
    if ledger.is_broken() {
        run.complete = false;
    }
    ledger.close()?;
    done?;
    Ok(if stop.requested() { Completion::Interrupted } else { Completion::Complete })
}

impl Trial<'_> {
    /// Looks at the quiet host and recovers an injected delay.
    async fn begin(&mut self, context: &RunContext) -> Result<(), Error> {
        self.baseline_ratio = storm::look(BASELINE, &mut self.ledger, self.field.stop).await.unwrap_or(0.0);
        self.run.self_test.insert("baseline_cpu_used_ratio".into(), json!(self.baseline_ratio));
        if self.baseline_ratio > BUSY_RATIO {
            let used = self.baseline_ratio * 100.0;
            self.warn(format!("{used:.0} % of the host's CPU was in use before the first storm"));
        }
        let injected = storm::injected_delay(context, &mut self.field, &mut self.ledger).await?;
        self.run.self_test.insert("injected_delay".into(), injected);
        self.ledger.update(self.run);
        Ok(())
    }

    /// See [`Contender::config_with`].
    pub(crate) fn config_of(&mut self, contender: usize, workload: &Workload, limits: &Limits) -> String {
        self.contenders[contender].config_with(self.run, workload, limits)
    }

    /// Whether to go no further: the user has asked, or nothing can be written any more.
    pub(crate) fn is_over(&self) -> bool {
        self.field.stop.requested() || self.ledger.is_broken()
    }

    /// The user's wish to stop.
    pub(crate) fn stop(&self) -> &Stop {
        self.field.stop
    }

    /// Waits until the host is quiet again before `storm`.
    pub(crate) async fn settle(&mut self, storm: u32) {
        let settled =
            storm::settle(self.baseline_ratio, self.settle_ns, &mut self.ledger, self.field.stop).await;
        self.settled_ns.push(settled.waited_ns);
        if !settled.quiet {
            self.unsettled.push(storm);
        }
    }

    /// Makes a storm and books it. `row` says what was asked; its times are filled in here.
    ///
    /// # Errors
    /// Where the scheduler's thread cannot be started.
    pub(crate) async fn storm(&mut self, order: Order, mut row: StormRow) -> Result<Aftermath, Error> {
        row.began_ns = self.ledger.since_epoch_ns(now_ns());
        self.sampler.begin(row.storm, &row.backend);
        let made = storm::make(order, &mut self.field, &mut self.ledger).await;
        self.sampler.end();
        let mut aftermath = made.map_err(Error::system("start the scheduler"))?;
        row.ended_ns = self.ledger.since_epoch_ns(now_ns());
        self.ledger.storm(&row);
        self.book(&mut aftermath, &row.backend, row.warmup);
        (self.field.progress)(Progress::StormEnded {
            storm: row.storm,
            backend: row.backend,
            ready: aftermath.ready,
            other: aftermath.other,
            lasted_ns: aftermath.lasted_ns,
        });
        self.ledger.update(self.run);
        Ok(aftermath)
    }

    /// Keeps what a storm tells of the harness itself.
    pub(crate) fn book(&mut self, aftermath: &mut Aftermath, backend: &str, warmup: bool) {
        for warning in aftermath.warnings.drain(..) {
            self.warn(warning);
        }
        self.delays_ns.append(&mut aftermath.stamping_delays_ns);
        if backend == "process" && !warmup {
            self.floor_ns.extend(&aftermath.latencies_ns);
        }
    }

    /// Tells the user and the reader of the run.
    pub(crate) fn warn(&mut self, text: String) {
        warn(self.run, self.field.progress, text);
    }

    fn sum_up(&mut self, launch: &Launch) {
        if !self.unsettled.is_empty() {
            let text = format!(
                "the host had not become quiet within {} s before storms {:?}: they may have paid for what came before",
                launch.settle_s, self.unsettled
            );
            self.warn(text);
        }
        let mut settling = storm::spread(&mut self.settled_ns);
        settling["unsettled_storms"] = json!(self.unsettled);
        self.run.self_test.insert("settling".into(), settling);
        self.run.self_test.insert("stamping_delay".into(), storm::spread(&mut self.delays_ns));
        if !self.floor_ns.is_empty() {
            // Start → what the storm waited for.
            self.run.self_test.insert("process_floor".into(), storm::spread(&mut self.floor_ns));
        }
        let left = self.field.crew.live();
        if left > 0 {
            self.warn(format!("{left} instances were not known to be gone when the run ended"));
        }
    }
}
