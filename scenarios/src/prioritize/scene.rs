//! One repetition of one mechanism on one backend: instances are started one by one, each with a
//! workload and limits of its own, looked at, paused, and ended together.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use results::record::Outcome;
use runtime::cgroup::Statistics;
use runtime::clock::now_ns;
use runtime::{EventSink, Exit, Footprint, Instance, LaunchSpec, Limits, Prepared, Saved, Workload};

use super::question::Refusal;
use crate::storm::{Order, Storm};
use crate::trial::Trial;
use crate::{Error, Launch};

/// What was told last may still be on its way.
const LAST_WORDS_NS: u64 = 150_000_000;

/// An instance of a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Actor(usize);

/// One repetition.
pub(crate) struct Scene<'a, 't> {
    trial: &'a mut Trial<'t>,
    launch: &'a Launch,
    contender: usize,
    storm: u32,
    cache_dir: &'a Path,
    /// One for each instance: they share the number and have different limits.
    storms: Vec<Storm>,
}

impl<'a, 't> Scene<'a, 't> {
    /// On the contender of this number, as storm `storm`.
    pub(crate) fn new(
        trial: &'a mut Trial<'t>,
        launch: &'a Launch,
        contender: usize,
        storm: u32,
        cache_dir: &'a Path,
    ) -> Scene<'a, 't> {
        Scene { trial, launch, contender, storm, cache_dir, storms: Vec::new() }
    }

    /// The backend's name.
    pub(crate) fn backend(&self) -> &str {
        &self.trial.contenders[self.contender].name
    }

    /// The backend's family: `container`, `vm`, …
    pub(crate) fn family(&self) -> &str {
        self.backend().split(':').next().unwrap_or_default()
    }

    /// Whether instances are virtual machines.
    pub(crate) fn is_vm(&self) -> bool {
        self.family() == "vm"
    }

    fn prepared(&self) -> Arc<dyn Prepared> {
        Arc::clone(&self.trial.contenders[self.contender].prepared)
    }

    /// Where files of instances lie that have no disk of their own.
    pub(crate) fn cache_dir(&self) -> &Path {
        self.cache_dir
    }

    /// Instances started so far.
    pub(crate) fn started(&self) -> u32 {
        self.storms.len() as u32
    }

    /// Whether the user wants to stop.
    pub(crate) fn is_over(&self) -> bool {
        self.trial.is_over()
    }

    /// Starts an instance and waits until its workload runs.
    pub(crate) async fn start(&mut self, workload: Workload, limits: Limits) -> Result<Actor, Refusal> {
        if self.is_over() {
            return Err(Refusal::Failed("the run was interrupted".into()));
        }
        self.start_from(self.prepared(), workload, limits).await
    }

    /// Starts an instance that goes on from what another was saved as.
    pub(crate) async fn go_on(
        &mut self,
        workload: Workload,
        limits: Limits,
        saved: Saved,
    ) -> Result<Actor, Refusal> {
        let prepared = Arc::new(GoingOn { prepared: self.prepared(), saved });
        self.start_from(prepared, workload, limits).await
    }

    async fn start_from(
        &mut self,
        prepared: Arc<dyn Prepared>,
        workload: Workload,
        limits: Limits,
    ) -> Result<Actor, Refusal> {
        if let Some(why) = prepared.cannot_hold(&limits) {
            return Err(Refusal::NotHere(why));
        }
        // What is made once for all such launches is no part of one of them.
        prepared.get_ready(&guest::Plan::new(workload.clone()), &limits)?;
        let config = self.trial.config_of(self.contender, &workload, &limits);
        let order = Order {
            storm: self.storm,
            backend: self.backend().to_owned(),
            config,
            prepared: vec![prepared],
            plan: guest::Plan::new(workload),
            limits,
            offsets_ns: Some(vec![0]),
            instances: 1,
            first: self.started(),
            deadlines: self.launch.deadlines(),
            stall_ns: 0,
            guard: None,
            served: None,
            rehearsal: false,
        };
        let begun = Storm::begin(order, &self.trial.field).map_err(Error::system("start the scheduler"));
        let mut storm = begun.map_err(|error| Refusal::Failed(error.to_string()))?;
        storm.assemble(&mut self.trial.field, &mut self.trial.ledger).await;
        let became = storm.attempts().next().and_then(|attempt| attempt.outcome());
        let became = became.map(|(outcome, error)| (outcome, error.to_owned()));
        self.storms.push(storm);
        match became {
            Some((Outcome::Ready, _)) => Ok(Actor(self.storms.len() - 1)),
            Some((outcome, error)) => {
                Err(Refusal::Failed(format!("an instance did not come up ({outcome:?}): {error}")))
            }
            None => Err(Refusal::Failed("an instance has no outcome".into())),
        }
    }

    /// Lets everybody go on for `ns`; the host's clock before and after.
    pub(crate) async fn rest(&mut self, ns: u64) -> Window {
        let began_ns = now_ns();
        tokio::select! {
            () = tokio::time::sleep(Duration::from_nanos(ns)) => {}
            () = self.trial.field.stop.asked(1) => {}
        }
        let ended_ns = now_ns();
        self.trial.ledger.drain();
        Window { began_ns, ended_ns }
    }

    /// Waits until `actor` has done its task, at most `patience_ns`.
    pub(crate) async fn done(&mut self, actor: Actor, patience_ns: u64) -> Result<(), Refusal> {
        self.attend(actor, now_ns() + patience_ns, |attempt| attempt.done_ns().is_none()).await?;
        let attempt = self.attempt(actor)?;
        match (attempt.done_ns(), attempt.exit()) {
            (Some(_), _) => Ok(()),
            (None, Some(exit)) => {
                Err(Refusal::Failed(format!("it ended with {exit} before its task was done")))
            }
            (None, None) if self.is_over() => Err(Refusal::Failed("the run was interrupted".into())),
            (None, None) => {
                Err(Refusal::Failed(format!("its task was not done after {} s", patience_ns as f64 / 1e9)))
            }
        }
    }

    /// Waits until `actor` tells `measure` anew and returns it.
    pub(crate) async fn next(&mut self, actor: Actor, measure: &str) -> Result<f64, Refusal> {
        // What was told meanwhile and not yet heard is not new.
        self.attend(actor, now_ns() + 1_000_000, |_| true).await?;
        let before = self.attempt(actor)?.told(measure).len();
        self.attend(actor, now_ns() + 10_000_000_000, |attempt| attempt.told(measure).len() <= before)
            .await?;
        let told = self.attempt(actor)?.told(measure);
        match told.last().filter(|_| told.len() > before) {
            Some((_, value)) => Ok(*value as f64),
            None => Err(Refusal::Failed(format!("it told no {measure} any more"))),
        }
    }

    /// The last that `actor` told of `measure`.
    pub(crate) fn last(&self, actor: Actor, measure: &str) -> Result<f64, Refusal> {
        let told = self.attempt(actor)?.told(measure).last();
        told.map(|(_, value)| *value as f64).ok_or_else(|| Refusal::Failed(format!("it told no {measure}")))
    }

    /// When `actor` told `measure` the first and the last time, by the host's clock, and what.
    pub(crate) fn ends(&self, actor: Actor, measure: &str) -> Result<[(u64, u64); 2], Refusal> {
        let told = self.attempt(actor)?.told(measure);
        let ends = told.first().zip(told.last()).map(|(first, last)| [*first, *last]);
        ends.ok_or_else(|| Refusal::Failed(format!("it told no {measure}")))
    }

    /// How fast `measure` grew within `window`, in its unit a second, by the host's stamps.
    pub(crate) async fn rate(&mut self, actor: Actor, measure: &str, window: Window) -> Result<f64, Refusal> {
        self.attend(actor, now_ns() + LAST_WORDS_NS, |attempt| {
            attempt.told(measure).last().is_none_or(|(at_ns, _)| *at_ns < window.ended_ns)
        })
        .await?;
        let told = self.attempt(actor)?.told(measure);
        rate(told, window)
            .ok_or_else(|| Refusal::Failed(format!("it told too little of {measure} to have a rate")))
    }

    /// What the host has counted of it.
    pub(crate) fn statistics(&self, actor: Actor) -> Result<Statistics, Refusal> {
        Ok(self.instance(actor)?.statistics()?)
    }

    /// Processor time it has used by the host's count, in nanoseconds.
    pub(crate) fn used_ns(&self, actor: Actor) -> Result<f64, Refusal> {
        let used = self.statistics(actor)?.cpu.and_then(|cpu| cpu.usage_ns);
        used.map(|ns| ns as f64)
            .ok_or_else(|| Refusal::NotHere("the host counts no processor time of it".into()))
    }

    /// What it occupies.
    pub(crate) fn memory(&self, actor: Actor) -> Result<Footprint, Refusal> {
        Ok(self.instance(actor)?.memory()?)
    }

    /// Whether it lives.
    pub(crate) fn lives(&self, actor: Actor) -> bool {
        self.exit(actor).is_none() && self.memory(actor).is_ok()
    }

    /// How it ended by itself.
    pub(crate) fn exit(&self, actor: Actor) -> Option<Exit> {
        self.attempt(actor).ok().and_then(|attempt| attempt.exit())
    }

    /// The instance, to be paused and resumed.
    pub(crate) fn instance_mut(&mut self, actor: Actor) -> Result<&mut Box<dyn Instance>, Refusal> {
        let storm = self.storms.get_mut(actor.0);
        storm.and_then(|storm| storm.instances_mut().next()).ok_or_else(gone)
    }

    /// Ends one before the others.
    pub(crate) async fn end(&mut self, actor: Actor) {
        if let Some(storm) = self.storms.get_mut(actor.0) {
            storm.dismiss_one(actor.0 as u32, &mut self.trial.field, &mut self.trial.ledger).await;
        }
    }

    /// Ends all and books them.
    pub(crate) async fn finish(mut self) -> u32 {
        let backend = self.backend().to_owned();
        let started = self.started();
        for storm in std::mem::take(&mut self.storms) {
            let mut aftermath = storm.dismiss(&mut self.trial.field, &mut self.trial.ledger).await;
            self.trial.book(&mut aftermath, &backend, false);
        }
        started
    }

    fn instance(&self, actor: Actor) -> Result<&dyn Instance, Refusal> {
        let storm = self.storms.get(actor.0);
        storm.and_then(|storm| storm.instances().next()).ok_or_else(gone)
    }

    fn attempt(&self, actor: Actor) -> Result<&crate::storm::Progressing, Refusal> {
        self.storms.get(actor.0).and_then(|storm| storm.attempts().next()).ok_or_else(gone)
    }

    async fn attend(
        &mut self,
        actor: Actor,
        until_ns: u64,
        is_awaited: impl Fn(&crate::storm::Progressing) -> bool,
    ) -> Result<(), Refusal> {
        let Some(storm) = self.storms.get_mut(actor.0) else { return Err(gone()) };
        storm.attend(until_ns, is_awaited, &mut self.trial.field, &mut self.trial.ledger).await;
        Ok(())
    }
}

/// A backend whose next instance goes on from what another was saved as.
struct GoingOn {
    prepared: Arc<dyn Prepared>,
    saved: Saved,
}

impl Prepared for GoingOn {
    fn config(&self) -> serde_json::Value {
        self.prepared.config()
    }

    fn launch(&self, spec: &LaunchSpec, events: EventSink) -> Result<Box<dyn Instance>, runtime::Error> {
        self.prepared.go_on(spec, &self.saved, events)
    }
}

fn gone() -> Refusal {
    Refusal::Failed("the instance is gone".into())
}

/// A piece of the host's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) began_ns: u64,
    pub(crate) ended_ns: u64,
}

impl Window {
    /// Its length in nanoseconds.
    pub(crate) fn lasted_ns(self) -> f64 {
        self.ended_ns.saturating_sub(self.began_ns) as f64
    }
}

/// Who tells now and then has, at each end of the window, what was told last before. Who began
/// within it, or was done within it, is looked at from or until then.
fn rate(told: &[(u64, u64)], window: Window) -> Option<f64> {
    let before = told.iter().rev().find(|(at_ns, _)| *at_ns <= window.began_ns);
    let first = match before {
        Some((_, value)) => (window.began_ns, *value),
        None => *told.first()?,
    };
    let last = told.iter().rev().find(|(at_ns, _)| *at_ns <= window.ended_ns)?;
    let goes_on = told.last().is_some_and(|(at_ns, _)| *at_ns > window.ended_ns);
    let ended_ns = if goes_on { window.ended_ns } else { last.0 };
    let seconds = ended_ns.checked_sub(first.0).filter(|ns| *ns > 0)? as f64 / 1e9;
    Some(last.1.checked_sub(first.1)? as f64 / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_what_was_told_within_the_window_only() {
        let window = Window { began_ns: 1_000_000_000, ended_ns: 3_000_000_000 };
        // Throttled: it tells in the first fifth of each second only.
        let told = [
            (100_000_000, 10),
            (200_000_000, 20),
            (1_100_000_000, 30),
            (1_200_000_000, 40),
            (2_200_000_000, 60),
            (3_100_000_000, 70),
        ];
        assert_eq!(rate(&told, window), Some(20.0));
        // One that is done is not held to have done nothing since.
        let told = [(1_500_000_000, 100), (2_000_000_000, 600)];
        assert_eq!(rate(&told, window), Some(1000.0));
        assert_eq!(rate(&told[..1], window), None);
        assert_eq!(rate(&[], window), None);
    }
}
