//! One storm: its attempts are launched when they are due, watched, judged, stopped and written down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use guest::{Protocol, Workload};
use results::record::Outcome;
use runtime::clock::now_ns;
use runtime::watch::Question;
use runtime::{Event, EventSink, Instance, LaunchSpec, Stamped};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::attempt::{Progressing, Target};
use super::crew::{Job, Note};
use super::ledger::Ledger;
use super::order::{Aftermath, Field, Order};
use super::slot::{Slot, Stage};
use crate::Progress;

/// After an instance's end, its last words may still be on their way.
const LAST_WORDS_NS: u64 = 100_000_000;

/// A stop or a launch that has not returned so long after it should have is given up.
const GIVE_UP_NS: u64 = 30_000_000_000;

/// Time between two looks of a storm's guard.
const GUARD_NS: u64 = 50_000_000;

/// Time for the scheduler's thread to start before the first attempt is due.
const LEAD_NS: u64 = 5_000_000;

/// A storm under way. Its instances live until it is dismissed, or dropped.
pub(crate) struct Storm {
    pub(super) order: Order,
    target: Target,
    pub(super) slots: Vec<Slot>,
    events: UnboundedSender<Stamped>,
    stamped: UnboundedReceiver<Stamped>,
    notes: UnboundedSender<Note>,
    noted: UnboundedReceiver<Note>,
    began_ns: u64,
    /// Those that got there stay although everybody has an outcome.
    held: bool,
    interrupted: bool,
    /// When who follows it wants to look, whatever happens.
    pub(super) look_ns: u64,
    aftermath: Aftermath,
}

/// Makes the storm. Rows go to `ledger`, or nowhere where it is a rehearsal.
pub(crate) async fn make(
    order: Order,
    field: &mut Field<'_>,
    ledger: &mut Ledger<'_>,
) -> std::io::Result<Aftermath> {
    let mut storm = Storm::begin(order, field)?;
    // Held by nobody: its instances are stopped as soon as everybody has an outcome.
    storm.held = false;
    Ok(storm.dismiss(field, ledger).await)
}

impl Storm {
    /// Hands its attempts to the crew, to be launched when they are due.
    ///
    /// # Errors
    /// Where the scheduler's thread cannot be started.
    pub(crate) fn begin(order: Order, field: &Field<'_>) -> std::io::Result<Storm> {
        let (events, stamped) = unbounded_channel();
        let (notes, noted) = unbounded_channel();
        let began_ns = now_ns() + LEAD_NS;
        let due_ns = |index: u32| match &order.offsets_ns {
            Some(offsets) => began_ns + offsets.get(index as usize).copied().unwrap_or(0),
            None => began_ns,
        };
        let slots = (0..order.instances)
            .map(|index| Slot {
                attempt: Progressing::due(due_ns(index)),
                stage: Stage::Idle,
                instance: None,
                port: None,
                requested: false,
                deadline_ns: if order.offsets_ns.is_some() {
                    due_ns(index) + order.deadlines.whole_ns
                } else {
                    u64::MAX
                },
                announced: order.rehearsal,
                decided: false,
                leaves: false,
                called_off: Arc::new(AtomicBool::new(false)),
            })
            .collect();
        let mut storm = Storm {
            target: Target::of(&order.plan.workload),
            order,
            slots,
            events,
            stamped,
            notes,
            noted,
            began_ns,
            held: true,
            interrupted: false,
            look_ns: u64::MAX,
            aftermath: Aftermath::default(),
        };
        storm.launch_all(field)?;
        Ok(storm)
    }

    /// Waits until every attempt has an outcome. Those that got there live on.
    pub(crate) async fn assemble(&mut self, field: &mut Field<'_>, ledger: &mut Ledger<'_>) {
        let is_under_way = |slot: &Slot| {
            slot.attempt.outcome().is_none() || !matches!(slot.stage, Stage::Running | Stage::Closed)
        };
        self.follow(is_under_way, field, ledger).await;
    }

    /// Waits until every attempt has an outcome, ends what lives, and writes the last rows.
    pub(crate) async fn dismiss(mut self, field: &mut Field<'_>, ledger: &mut Ledger<'_>) -> Aftermath {
        self.held = false;
        self.follow(|slot| slot.stage != Stage::Closed, field, ledger).await;
        self.aftermath.lasted_ns = now_ns().saturating_sub(self.began_ns);
        std::mem::take(&mut self.aftermath)
    }

    fn launch_all(&mut self, field: &Field<'_>) -> std::io::Result<()> {
        if self.order.offsets_ns.is_none() {
            self.launch_next(field);
            return Ok(());
        }
        let jobs = (0..self.order.instances)
            .map(|index| (self.slots[index as usize].attempt.due_ns, self.job(index)))
            .collect();
        for slot in &mut self.slots {
            slot.stage = Stage::Waiting;
        }
        field.crew.schedule(jobs, self.order.stall_ns)
    }

    /// Serial arrival: the first attempt that waits is due now.
    fn launch_next(&mut self, field: &Field<'_>) {
        let Some(index) = self.slots.iter().position(|slot| slot.stage == Stage::Idle) else { return };
        let now = now_ns();
        self.slots[index].attempt.due_ns = now;
        self.slots[index].stage = Stage::Waiting;
        self.slots[index].deadline_ns = now + self.order.deadlines.whole_ns;
        field.crew.launch(self.job(index as u32));
    }

    fn job(&self, index: u32) -> Job {
        let name = self.order.name(index);
        Job {
            prepared: Arc::clone(&self.order.prepared[index as usize % self.order.prepared.len()]),
            spec: LaunchSpec {
                name: name.clone(),
                plan: self.order.plan.clone(),
                limits: self.order.limits.clone(),
            },
            events: EventSink::new(name, self.events.clone()),
            called_off: Arc::clone(&self.slots[index as usize].called_off),
            notes: self.notes.clone(),
        }
    }

    /// Takes in what happens until no attempt is `is_under_way`.
    pub(super) async fn follow(
        &mut self,
        is_under_way: impl Fn(&Slot) -> bool,
        field: &mut Field<'_>,
        ledger: &mut Ledger<'_>,
    ) {
        let stop = field.stop.clone();
        let mut asked = 1;
        loop {
            self.judge(field);
            self.write(field, ledger);
            if !self.slots.iter().any(&is_under_way) {
                return;
            }
            let next_ns = self
                .slots
                .iter()
                .filter(|slot| slot.stage != Stage::Closed)
                .map(|slot| slot.deadline_ns)
                .min()
                .unwrap_or(u64::MAX)
                .min(self.look_ns);
            let longest_ns = if self.order.guard.is_some() { GUARD_NS } else { 3_600_000_000_000 };
            let rest = Duration::from_nanos(next_ns.saturating_sub(now_ns()).min(longest_ns));
            tokio::select! {
                Some(event) = self.stamped.recv() => self.on_event(event),
                Some(note) = self.noted.recv() => self.on_note(note),
                Some(sample) = ledger.samples.recv() => ledger.host(&sample),
                () = tokio::time::sleep(rest) => {}
                () = stop.asked(asked) => {
                    asked += 1;
                }
            }
            // Whatever else waits is taken in before anything is judged by the clock.
            while let Ok(event) = self.stamped.try_recv() {
                self.on_event(event);
            }
            while let Ok(note) = self.noted.try_recv() {
                self.on_note(note);
            }
            // What an instance told while it was stopped was told before it was stopped.
            while let Ok(event) = self.stamped.try_recv() {
                self.on_event(event);
            }
            if ledger.is_broken() || stop.requested() {
                self.interrupt("the run was interrupted");
            } else if let Some(reason) = self.order.guard.as_ref().and_then(|guard| guard()) {
                self.interrupt(&reason);
            }
            if stop.hurry() {
                self.abandon();
            }
        }
    }

    fn on_event(&mut self, stamped: Stamped) {
        let Some(slot) = self.order.slot(stamped.name.index).and_then(|slot| self.slots.get_mut(slot)) else {
            return;
        };
        self.aftermath.stamping_delays_ns.extend(stamped.stamping_delay_ns);
        if let Event::Listening(port) = stamped.event {
            slot.port = Some(port);
        }
        let is_mark = matches!(stamped.event, Event::Mark(_));
        slot.attempt.take(stamped, self.target);
        if is_mark && slot.attempt.outcome().is_none() {
            slot.deadline_ns = slot.attempt.deadline_ns(&self.order.deadlines);
        }
        if slot.attempt.exited() && slot.attempt.outcome().is_none() {
            slot.deadline_ns = slot.deadline_ns.min(now_ns() + LAST_WORDS_NS);
        }
    }

    fn on_note(&mut self, note: Note) {
        let index = match &note {
            Note::Begun { index, .. }
            | Note::Launched { index, .. }
            | Note::CalledOff { index }
            | Note::Stopped { index, .. } => *index,
        };
        let Some(slot) = self.order.slot(index).and_then(|slot| self.slots.get_mut(slot)) else { return };
        if slot.stage == Stage::Closed {
            // Given up before; an instance that arrives now ends by being dropped.
            return;
        }
        match note {
            Note::Begun { at_ns, .. } => {
                slot.attempt.started_ns = Some(at_ns);
                slot.stage = Stage::Launching;
                if !slot.decided {
                    slot.deadline_ns = slot.attempt.deadline_ns(&self.order.deadlines);
                }
            }
            Note::Launched { result: Ok(instance), .. } => {
                slot.instance = Some(instance);
                slot.stage = Stage::Running;
                if slot.attempt.outcome().is_some_and(|(outcome, _)| outcome == Outcome::Ready) {
                    slot.deadline_ns = u64::MAX;
                }
            }
            Note::Launched { result: Err(error), at_ns, .. } => {
                slot.attempt.decide(Outcome::Failed, error.to_string());
                slot.attempt.stopped_ns = Some(at_ns);
                slot.stage = Stage::Stopping;
            }
            Note::CalledOff { .. } => slot.stage = Stage::Never,
            Note::Stopped { at_ns, result, .. } => {
                slot.attempt.stopped_ns = Some(at_ns);
                if let Err(error) = result {
                    self.aftermath.warnings.push(format!(
                        "storm {}, {}, instance {index}: not all of it could be removed: {error}",
                        self.order.storm, self.order.backend
                    ));
                }
            }
        }
    }

    /// Launch nothing more; what has not got there by now will not.
    fn interrupt(&mut self, reason: &str) {
        if self.interrupted {
            return;
        }
        self.interrupted = true;
        let now = now_ns();
        for slot in &mut self.slots {
            if slot.stage == Stage::Idle {
                slot.attempt.due_ns = now;
            }
            slot.attempt.decide(Outcome::Killed, reason.into());
        }
    }

    /// Decides what the clock and the instances' ends decide, requests services, stops what is done with.
    fn judge(&mut self, field: &Field<'_>) {
        let now = now_ns();
        let mut undecided = 0;
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot.attempt.outcome().is_none() && now >= slot.deadline_ns {
                slot.attempt.decide_exited(self.target);
                let what = match (slot.attempt.started_ns, slot.stage) {
                    (None, _) => "no launcher was free within",
                    (_, Stage::Launching) => "its launch had not returned after",
                    _ => "not there after",
                };
                let error = slot.attempt.lateness(what, self.target, &self.order.deadlines, now);
                slot.attempt.decide(Outcome::Timeout, error);
            }
            if self.target == Target::Serving
                && !slot.requested
                && slot.attempt.outcome().is_none()
                && let (Some(instance), Some(port)) = (&slot.instance, slot.port)
            {
                slot.requested = true;
                let sink = EventSink::new(self.order.name(index as u32), self.events.clone());
                let asked = question(instance.as_ref(), port, &self.order.plan.workload)
                    .and_then(|question| field.watch.ask(&question, sink).map_err(|error| error.to_string()));
                if let Err(error) = asked.map_err(|error| format!("cannot ask its port {port}: {error}")) {
                    slot.attempt.decide(Outcome::Failed, error);
                }
            }
            undecided += u32::from(slot.attempt.outcome().is_none());
            if slot.attempt.outcome().is_some() && !slot.decided {
                slot.decided = true;
                slot.called_off.store(true, Ordering::Relaxed);
                slot.deadline_ns = if slot.stage == Stage::Running { u64::MAX } else { now + GIVE_UP_NS };
            }
        }
        let serial = self.order.offsets_ns.is_none();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let Some((outcome, _)) = slot.attempt.outcome() else { continue };
            // Those that got there stay until everybody has an outcome: a storm is many at once.
            let stays = !slot.leaves && (self.held || (undecided > 0 && !serial));
            if stays && outcome == Outcome::Ready {
                continue;
            }
            if let Some(instance) = slot.instance.take() {
                slot.stage = Stage::Stopping;
                slot.deadline_ns = now + GIVE_UP_NS;
                field.crew.stop(self.order.name(index as u32).index, instance, self.notes.clone());
            }
        }
    }

    /// In a hurry: rows now, without waiting for what is being stopped.
    fn abandon(&mut self) {
        for slot in &mut self.slots {
            slot.deadline_ns = 0;
        }
    }

    fn write(&mut self, field: &mut Field<'_>, ledger: &mut Ledger<'_>) {
        let now = now_ns();
        let mut closed = 0;
        for index in 0..self.slots.len() {
            self.announce(index, field, ledger);
            let slot = &mut self.slots[index];
            let Some((outcome, _)) = slot.attempt.outcome() else { continue };
            let gone = match slot.stage {
                Stage::Closed => continue,
                Stage::Idle | Stage::Never => true,
                Stage::Waiting | Stage::Launching | Stage::Running => false,
                Stage::Stopping => slot.attempt.stopped_ns.is_some(),
            };
            if !gone && now < slot.deadline_ns {
                continue;
            }
            if !gone && !field.stop.hurry() {
                self.aftermath.warnings.push(format!(
                    "storm {}, {}, instance {}: launching or stopping it did not return; given up",
                    self.order.storm,
                    self.order.backend,
                    self.order.name(index as u32).index
                ));
            }
            if !self.order.rehearsal {
                ledger.attempt(&slot.attempt, &self.order.place(index));
            }
            slot.stage = Stage::Closed;
            closed += 1;
            if outcome == Outcome::Ready {
                self.aftermath.ready += 1;
                self.aftermath.latencies_ns.extend(slot.attempt.latency_ns(self.target));
            } else {
                self.aftermath.other += 1;
            }
        }
        if closed > 0 && self.order.offsets_ns.is_none() && !self.interrupted {
            self.launch_next(field);
        }
    }

    fn announce(&mut self, index: usize, field: &mut Field<'_>, ledger: &mut Ledger<'_>) {
        let slot = &mut self.slots[index];
        if slot.announced {
            return;
        }
        let Some((outcome, error)) = slot.attempt.outcome() else { return };
        ledger.decided(&slot.attempt, &self.order.place(index));
        if let (Some(served), Some(instance), Some(port), Outcome::Ready) =
            (&self.order.served, &slot.instance, slot.port, outcome)
            && let Some(address) = instance.service(port)
        {
            served(self.order.name(index as u32).index, address);
        }
        (field.progress)(Progress::AttemptEnded {
            storm: self.order.storm,
            backend: self.order.backend.clone(),
            instance: self.order.name(index as u32).index,
            outcome,
            latency_ns: slot.attempt.latency_ns(self.target),
            error: error.into(),
        });
        slot.announced = true;
    }
}

/// How the service behind `port` of an instance is asked.
fn question(instance: &dyn Instance, port: u16, workload: &Workload) -> Result<Question, String> {
    let address = instance.service(port).ok_or("it cannot be reached from this host")?;
    let namespace = instance.network_namespace().map_err(|error| error.to_string())?;
    // What says that it listens without being a service answers as the smallest one does.
    let protocol = workload.protocol().unwrap_or(Protocol::Http);
    Ok(Question { address, protocol, namespace })
}
