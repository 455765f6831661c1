//! All drills, in random blocks.

use std::sync::Arc;
use std::time::Duration;

use results::record::{Drill, Outcome, Storm as StormRow};
use runtime::clock::now_ns;

use super::load::{Load, Registry};
use super::plan::{Mode, Plan};
use crate::blocks::{Interleave, Turn, blocks};
use crate::storm::{Order, Storm};
use crate::trial::{self, Trial};
use crate::{Completion, Error, Progress, Stage};

/// Carries out `plan`.
///
/// # Errors
/// Where no backend works or a row cannot be written. An instance that does not come up is a row.
pub fn run(plan: &Plan, stage: Stage<'_>) -> Result<Completion, Error> {
    trial::carry_out(&plan.launch, stage, async |trial| drills(plan, trial).await)
}

async fn drills(plan: &Plan, trial: &mut Trial<'_>) -> Result<(), Error> {
    let kinds = trial.contenders.len() * plan.modes.len();
    for turn in blocks(kinds, 0, plan.storms, plan.launch.seed, Interleave::Random) {
        if trial.is_over() {
            break;
        }
        let drill = OneDrill {
            plan,
            backend: turn.backend / plan.modes.len(),
            mode: plan.modes[turn.backend % plan.modes.len()],
            // Before and after the failure are storms of their own.
            before: turn.storm * 2,
            after: turn.storm * 2 + 1,
            registry: Registry::new(plan.instances),
        };
        drill.carry_out(trial, &turn, kinds as u32 * plan.storms).await?;
    }
    Ok(())
}

struct OneDrill<'a> {
    plan: &'a Plan,
    backend: usize,
    mode: Mode,
    before: u32,
    after: u32,
    registry: Registry,
}

impl OneDrill<'_> {
    async fn carry_out(&self, trial: &mut Trial<'_>, turn: &Turn, of: u32) -> Result<(), Error> {
        let name = trial.contenders[self.backend].name.clone();
        trial.settle(self.before).await;
        if trial.is_over() {
            return Ok(());
        }
        (trial.field.progress)(Progress::StormBegan {
            storm: turn.storm,
            of,
            backend: format!("{name} ({})", self.mode.name()),
            warmup: false,
            instances: self.plan.instances,
        });
        let began_ns = now_ns();
        let first = Storm::begin(self.order(trial, self.before, 0, self.plan.instances)?, &trial.field)
            .map_err(Error::system("start the scheduler"))?;
        let mut serving = vec![first];
        trial.sampler.begin(self.before, &name);
        serving[0].assemble(&mut trial.field, &mut trial.ledger).await;
        trial.sampler.end();
        self.book_storm(trial, self.before, &name, began_ns);
        let alive = serving[0].outcomes().filter(|outcome| *outcome == Outcome::Ready).count();
        if trial.is_over() || alive < self.plan.instances as usize {
            if !trial.is_over() {
                trial.warn(format!(
                    "{name}: only {alive} of {} instances served, so drill {} was not held",
                    self.plan.instances, turn.storm
                ));
            }
            return self.dismiss(trial, serving, &name).await;
        }
        let load = Load::start(&self.registry, self.plan.instances, self.plan.protocol()?, self.plan.rate);
        self.wait(trial).await;
        trial.sampler.begin(self.after, &name);
        let failed_at_ns = now_ns();
        let gone_at_ns = match self.mode {
            Mode::All => self.all_at_once(trial, &mut serving, &name).await?,
            Mode::Rolling => self.one_by_one(trial, &mut serving, &name).await?,
        };
        trial.sampler.end();
        self.book_storm(trial, self.after, &name, failed_at_ns);
        if !trial.is_over() {
            self.wait(trial).await;
        }
        // Off the collector's thread: the last answers may take as long as the client's patience.
        let finished = tokio::task::spawn_blocking(move || load.finish()).await;
        let requests = finished.map_err(|_| Error::NothingToRun("the client of the drill failed".into()))?;
        let after_failure = requests.iter().filter(|request| request.due_ns >= failed_at_ns);
        let lost = requests.iter().filter(|request| request.answered_ns.is_none()).count();
        let late = after_failure
            .clone()
            .filter_map(|request| request.answered_ns.map(|at_ns| at_ns - request.due_ns))
            .max();
        let drill = Drill {
            storm: self.after,
            before: self.before,
            backend: name.clone(),
            mode: self.mode.name().into(),
            instances: self.plan.instances,
            failed_at_ns: trial.ledger.since_epoch_ns(failed_at_ns),
            gone_at_ns: trial.ledger.since_epoch_ns(gone_at_ns),
            requests: requests.len() as u64,
            lost: lost as u64,
            last_lost_ns: requests
                .iter()
                .filter(|request| request.answered_ns.is_none())
                .map(|request| trial.ledger.since_epoch_ns(request.due_ns))
                .max(),
            slowest_answer_ns: late,
        };
        if !trial.is_over() {
            trial.ledger.drill(&drill);
        }
        (trial.field.progress)(Progress::StormEnded {
            storm: turn.storm,
            backend: name.clone(),
            ready: serving.iter().map(|storm| storm.instances().count() as u32).sum(),
            other: 0,
            lasted_ns: now_ns() - failed_at_ns,
        });
        self.dismiss(trial, serving, &name).await
    }

    /// Everything dies; when it is gone, everything is started again at once.
    async fn all_at_once(
        &self,
        trial: &mut Trial<'_>,
        serving: &mut Vec<Storm>,
        name: &str,
    ) -> Result<u64, Error> {
        (0..self.plan.instances).for_each(|place| self.registry.set(place, None));
        for storm in serving.drain(..) {
            let mut aftermath = storm.dismiss(&mut trial.field, &mut trial.ledger).await;
            trial.book(&mut aftermath, name, false);
        }
        let gone_at_ns = now_ns();
        let order = self.order(trial, self.after, 0, self.plan.instances)?;
        let mut again = Storm::begin(order, &trial.field).map_err(Error::system("start the scheduler"))?;
        again.assemble(&mut trial.field, &mut trial.ledger).await;
        serving.push(again);
        Ok(gone_at_ns)
    }

    /// One dies and is started again; the next when it serves.
    async fn one_by_one(
        &self,
        trial: &mut Trial<'_>,
        serving: &mut Vec<Storm>,
        name: &str,
    ) -> Result<u64, Error> {
        let mut old = serving.remove(0);
        for place in 0..self.plan.instances {
            if trial.is_over() {
                break;
            }
            self.registry.set(place, None);
            old.dismiss_one(place, &mut trial.field, &mut trial.ledger).await;
            let order = self.order(trial, self.after, place, 1)?;
            let mut again =
                Storm::begin(order, &trial.field).map_err(Error::system("start the scheduler"))?;
            again.assemble(&mut trial.field, &mut trial.ledger).await;
            serving.push(again);
        }
        let gone_at_ns = now_ns();
        let mut aftermath = old.dismiss(&mut trial.field, &mut trial.ledger).await;
        trial.book(&mut aftermath, name, false);
        Ok(gone_at_ns)
    }

    fn order(&self, trial: &Trial<'_>, storm: u32, first: u32, instances: u32) -> Result<Order, Error> {
        let contender = &trial.contenders[self.backend];
        let registry = self.registry.clone();
        Ok(Order {
            storm,
            backend: contender.name.clone(),
            config: contender.config.clone(),
            prepared: vec![Arc::clone(&contender.prepared)],
            plan: self.plan.launch.guest_plan(trial.image)?,
            limits: self.plan.launch.limits(),
            offsets_ns: Some(vec![0; instances as usize]),
            instances,
            first,
            deadlines: self.plan.launch.deadlines(),
            stall_ns: 0,
            guard: None,
            served: Some(Box::new(move |number, address| registry.set(number, Some(address)))),
            rehearsal: false,
        })
    }

    fn book_storm(&self, trial: &mut Trial<'_>, storm: u32, name: &str, began_ns: u64) {
        let row = StormRow {
            storm,
            backend: name.to_owned(),
            warmup: false,
            instances: self.plan.instances,
            arrival: if storm == self.after && self.mode == Mode::Rolling { "serial" } else { "burst" }
                .into(),
            cores: crate::cores(),
            images: "shared".into(),
            began_ns: trial.ledger.since_epoch_ns(began_ns),
            ended_ns: trial.ledger.since_epoch_ns(now_ns()),
        };
        trial.ledger.storm(&row);
    }

    async fn wait(&self, trial: &mut Trial<'_>) {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs_f64(self.plan.calm_s)) => {}
            () = trial.field.stop.asked(1) => {}
        }
        trial.ledger.drain();
    }

    async fn dismiss(&self, trial: &mut Trial<'_>, serving: Vec<Storm>, name: &str) -> Result<(), Error> {
        for storm in serving {
            let mut aftermath = storm.dismiss(&mut trial.field, &mut trial.ledger).await;
            trial.book(&mut aftermath, name, false);
        }
        trial.ledger.update(trial.run);
        Ok(())
    }
}
