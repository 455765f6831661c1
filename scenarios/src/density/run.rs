//! A whole run: repetitions in random blocks, each grown in steps.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use results::record::{MemoryState, Outcome, Storm as StormRow};
use runtime::clock::now_ns;
use runtime::{Limits, Workload};

use super::account::{Host, Sums};
use super::plan::{Ksm, Plan};
use super::until::Until;
use super::{NAME, ksm, namespace};
use crate::blocks::{Interleave, Turn, blocks};
use crate::storm::{Order, Storm};
use crate::trial::{self, Trial};
use crate::{Completion, Error, Progress, Stage, client};

/// What an instance is taken to cost before any has been looked at.
const FIRST_GUESS_BYTES: u64 = 32 << 20;

/// Carries out `plan`.
///
/// # Errors
/// Where no backend works or a row cannot be written. An instance that does not come up is a row.
pub fn run(plan: &Plan, stage: Stage<'_>) -> Result<Completion, Error> {
    let state_dir = stage.context.state_dir.clone();
    trial::carry_out(&plan.launch, stage, async |trial| grow_all(plan, trial, &state_dir).await)
}

async fn grow_all(plan: &Plan, trial: &mut Trial<'_>, state_dir: &Path) -> Result<(), Error> {
    let turns = blocks(trial.contenders.len(), 1, plan.storms, plan.launch.seed, Interleave::Random);
    trial.run.warmup_storms = turns.iter().filter(|turn| turn.warmup).map(|turn| turn.storm).collect();
    if let Some(price) = namespace::price() {
        trial.run.self_test.insert("network_namespace".into(), price);
    }
    let merging = match plan.ksm {
        Ksm::Leave => None,
        Ksm::Compare => Some(ksm::Merging::off(state_dir).map_err(Error::system("switch KSM off"))?),
    };
    for turn in &turns {
        if trial.is_over() {
            break;
        }
        let mut repetition = Repetition { plan, turn, storms: Vec::new(), launched: 0, slope_bytes: None };
        let grown = repetition.grow(trial, turns.len(), merging.as_ref()).await;
        let failed = repetition.dismiss(trial).await;
        grown.and(failed)?;
    }
    Ok(())
}

/// One backend grown once.
struct Repetition<'a> {
    plan: &'a Plan,
    turn: &'a Turn,
    /// The steps so far; their instances live.
    storms: Vec<Storm>,
    launched: u32,
    /// What an instance has cost so far, by MemAvailable.
    slope_bytes: Option<u64>,
}

impl Repetition<'_> {
    async fn grow(
        &mut self,
        trial: &mut Trial<'_>,
        of: usize,
        merging: Option<&ksm::Merging>,
    ) -> Result<(), Error> {
        let backend = trial.contenders[self.turn.backend].name.clone();
        let began_ns = now_ns();
        (trial.field.progress)(Progress::StormBegan {
            storm: self.turn.storm,
            of: of as u32,
            backend: backend.clone(),
            warmup: self.turn.warmup,
            instances: match self.plan.until_on(&backend) {
                Until::Count(count) if !self.turn.warmup => count,
                _ => self.plan.goal(1, &backend).unwrap_or(1),
            },
        });
        trial.settle(self.turn.storm).await;
        let empty = Host::read(Path::new("/"));
        self.write_row(trial, MemoryState::Idle, &empty);
        let mut why = String::from("all steps done");
        for step in 1.. {
            let Some(goal) = self.plan.goal(step, &backend) else { break };
            if trial.is_over() || (self.turn.warmup && step > 1) {
                break;
            }
            let more = goal - self.launched;
            if let Some(reason) = self.would_not_fit(more) {
                why = reason;
                break;
            }
            let missing = self.step(trial, more).await?;
            trial.settle(self.turn.storm).await;
            let now = Host::read(Path::new("/"));
            self.write_row(trial, MemoryState::Idle, &now);
            self.learn(&empty, &now);
            if missing > 0 && self.plan.until_on(&backend) != Until::Count(goal) {
                why = format!("{missing} of {more} instances did not come up at {goal}");
                break;
            }
            if let (Until::Free(share), Some(free)) = (self.plan.until, now.free_ratio())
                && free <= share
            {
                why = format!("{:.1} % of the host's memory is free", free * 100.0);
                break;
            }
        }
        let alive = self.count();
        if !self.turn.warmup && !trial.is_over() {
            trial.run.self_test.entry(format!("{NAME}_end")).or_insert_with(|| serde_json::json!({}))
                [format!("{backend} storm {}", self.turn.storm)] =
                serde_json::json!({"alive": alive, "why": why});
            self.after_growth(trial, merging, &backend).await?;
        }
        trial.ledger.storm(&StormRow {
            storm: self.turn.storm,
            backend: backend.clone(),
            warmup: self.turn.warmup,
            instances: self.launched,
            arrival: "burst".into(),
            cores: crate::cores(),
            images: "shared".into(),
            began_ns: trial.ledger.since_epoch_ns(began_ns),
            ended_ns: trial.ledger.since_epoch_ns(now_ns()),
        });
        (trial.field.progress)(Progress::StormEnded {
            storm: self.turn.storm,
            backend,
            ready: alive,
            other: self.launched - alive,
            lasted_ns: now_ns() - began_ns,
        });
        Ok(())
    }

    /// Looks once more after work, and once more after merging.
    async fn after_growth(
        &mut self,
        trial: &mut Trial<'_>,
        merging: Option<&ksm::Merging>,
        backend: &str,
    ) -> Result<(), Error> {
        let protocol = self.plan.launch.parsed_workload()?.protocol();
        if let Some(protocol) = protocol.filter(|_| self.plan.requests > 0) {
            let addresses: Vec<_> = self.storms.iter().flat_map(Storm::addresses).collect();
            let failed = client::ask_each(&addresses, protocol, self.plan.requests);
            if failed > 0 {
                trial.warn(format!(
                    "{backend}: {failed} of {} requests were not answered",
                    addresses.len() * self.plan.requests as usize
                ));
            }
            trial.settle(self.turn.storm).await;
            self.write_row(trial, MemoryState::Worked, &Host::read(Path::new("/")));
        }
        if let Some(bytes) = self.plan.balloon_bytes {
            self.shrink(trial, bytes, backend).await;
        }
        if let Some(merging) = merging {
            let stop = trial.stop().clone();
            let samples = merging.until_done(|| stop.requested()).map_err(Error::system("let KSM merge"))?;
            for sample in samples {
                trial.ledger.ksm(&sample.row(self.turn.storm, backend, &trial.ledger));
            }
            self.write_row(trial, MemoryState::Merged, &Host::read(Path::new("/")));
            merging.off_again().map_err(Error::system("switch KSM off again"))?;
        }
        Ok(())
    }

    /// Has each machine that can give back what it has beyond `bytes`, and looks once more.
    async fn shrink(&mut self, trial: &mut Trial<'_>, bytes: u64, backend: &str) {
        let patience = Duration::from_nanos(self.plan.launch.deadlines().whole_ns);
        let instances = self.storms.iter_mut().flat_map(Storm::instances_mut);
        let refused: Vec<String> = instances
            .filter_map(|instance| instance.set_memory(bytes, patience).err())
            .map(|error| error.to_string())
            .collect();
        if let Some(first) = refused.first() {
            let alive = self.count();
            trial.warn(format!("{backend}: {} of {alive} did not give memory back: {first}", refused.len()));
        }
        if refused.len() < self.count() as usize {
            trial.settle(self.turn.storm).await;
            self.write_row(trial, MemoryState::Ballooned, &Host::read(Path::new("/")));
        }
    }

    /// Starts `more` instances and waits for them; how many did not come up.
    async fn step(&mut self, trial: &mut Trial<'_>, more: u32) -> Result<u32, Error> {
        let contender = &trial.contenders[self.turn.backend];
        let floor = self.plan.reserve / 2.0;
        let order = Order {
            storm: self.turn.storm,
            backend: contender.name.clone(),
            config: contender.config.clone(),
            prepared: vec![Arc::clone(&contender.prepared)],
            plan: self.plan.launch.guest_plan(trial.image)?,
            limits: Limits { account_memory: true, ..self.plan.launch.limits() },
            offsets_ns: Some(vec![0; more as usize]),
            instances: more,
            first: self.launched,
            deadlines: self.plan.launch.deadlines(),
            stall_ns: 0,
            guard: Some(Box::new(move || {
                let free = Host::read(Path::new("/")).free_ratio()?;
                (free < floor)
                    .then(|| format!("called off: only {:.1} % of the host's memory was left", free * 100.0))
            })),
            served: None,
            rehearsal: false,
        };
        trial.sampler.begin(self.turn.storm, &order.backend);
        self.launched += more;
        let begun = Storm::begin(order, &trial.field).map_err(Error::system("start the scheduler"));
        let mut storm = match begun {
            Ok(storm) => storm,
            Err(error) => {
                trial.sampler.end();
                return Err(error);
            }
        };
        storm.assemble(&mut trial.field, &mut trial.ledger).await;
        trial.sampler.end();
        let missing = storm.outcomes().filter(|outcome| *outcome != Outcome::Ready).count();
        self.storms.push(storm);
        Ok(missing as u32)
    }

    fn count(&self) -> u32 {
        self.storms.iter().map(|storm| storm.instances().count() as u32).sum()
    }

    fn write_row(&self, trial: &mut Trial<'_>, state: MemoryState, host: &Host) {
        let mut sums = Sums::default();
        for storm in &self.storms {
            storm.instances().for_each(|instance| sums.add(instance));
        }
        let backend = &trial.contenders[self.turn.backend].name;
        let at_ns = trial.ledger.since_epoch_ns(now_ns());
        let row = sums.row(self.turn.storm, backend, at_ns, state, host);
        trial.ledger.memory(&row);
    }

    fn learn(&mut self, empty: &Host, now: &Host) {
        if let (Some(before), Some(now), live @ 1..) =
            (empty.available_bytes, now.available_bytes, self.count())
        {
            self.slope_bytes = Some(before.saturating_sub(now) / u64::from(live));
        }
    }

    /// Why `more` instances may not be started: by what one has cost so far they would take the
    /// host's reserve.
    fn would_not_fit(&self, more: u32) -> Option<String> {
        let host = Host::read(Path::new("/"));
        let (available, total) = (host.available_bytes?, host.total_bytes?);
        let asked = match self.plan.launch.parsed_workload() {
            Ok(Workload::Memory { bytes }) => bytes,
            _ => 0,
        };
        let each = self.slope_bytes.unwrap_or(FIRST_GUESS_BYTES).max(asked);
        let reserve = (total as f64 * self.plan.reserve) as u64;
        let wanted = each.saturating_mul(u64::from(more)).saturating_add(reserve);
        (wanted > available).then(|| {
            format!(
                "{more} more of about {} MiB would take the host's reserve: {} MiB are available, {} MiB are kept free",
                each >> 20,
                available >> 20,
                reserve >> 20
            )
        })
    }

    /// Ends everything, the last started first.
    async fn dismiss(mut self, trial: &mut Trial<'_>) -> Result<(), Error> {
        let backend = trial.contenders[self.turn.backend].name.clone();
        while let Some(storm) = self.storms.pop() {
            let mut aftermath = storm.dismiss(&mut trial.field, &mut trial.ledger).await;
            trial.book(&mut aftermath, &backend, self.turn.warmup);
        }
        trial.ledger.update(trial.run);
        Ok(())
    }
}
