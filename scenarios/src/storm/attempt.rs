//! What is known of one attempt while it is under way. Pure: no clock, no instance, no folder.

use std::collections::{BTreeMap, VecDeque};

use guest::Workload;
use results::record::{Attempt, Measure, Outcome, Phase};
use runtime::{Event, Exit, Stamped};

use crate::deadlines::Deadlines;

/// Lines of an instance's output that are kept to explain its end.
const LOG_LINES: usize = 5;

/// Bytes kept of each.
const LOG_LINE_BYTES: usize = 300;

/// What a storm waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The first instruction of the workload.
    Ready,
    /// Its first answer.
    Serving,
    /// Its task done.
    Done,
}

impl Target {
    pub(super) fn of(workload: &Workload) -> Target {
        match workload {
            Workload::Http | Workload::Service { .. } => Target::Serving,
            Workload::Memory { .. } => Target::Done,
            // What a task does is looked at while it does it.
            Workload::Ready
            | Workload::Cpu
            | Workload::Report
            | Workload::Command { .. }
            | Workload::Probe { .. }
            | Workload::Task(_) => Target::Ready,
        }
    }
}

/// One attempt. Times are CLOCK_MONOTONIC in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Progressing {
    pub(super) due_ns: u64,
    pub(super) started_ns: Option<u64>,
    ready_ns: Option<u64>,
    serving_ns: Option<u64>,
    done_ns: Option<u64>,
    /// Own end, as told by the stamper.
    exited: Option<(u64, Exit)>,
    /// When stopping it returned.
    pub(super) stopped_ns: Option<u64>,
    marks: Vec<(u64, &'static str)>,
    /// Each with when it was told.
    measures: BTreeMap<&'static str, Vec<(u64, u64)>>,
    log: VecDeque<String>,
    /// When its service began to listen, and on which port.
    listens: Option<(u64, u16)>,
    /// Its firmware's last line.
    firmware: String,
    outcome: Option<(Outcome, String)>,
}

impl Progressing {
    /// Not begun.
    pub(super) fn due(due_ns: u64) -> Progressing {
        Progressing { due_ns, ..Progressing::default() }
    }

    /// Takes in what happened. What comes after the outcome is known changes only what was not known.
    pub(super) fn take(&mut self, stamped: Stamped, target: Target) {
        let at_ns = stamped.at_ns;
        match stamped.event {
            Event::Mark(phase) => self.marks.push((at_ns, phase)),
            Event::Measured(measure, value) => {
                // One that goes on from where another was saved says no second time that it is ready.
                if self.outcome.is_none() && guest::measure(measure).is_some() {
                    self.ready_ns = self.ready_ns.or(Some(at_ns));
                }
                self.measures.entry(measure).or_default().push((at_ns, value));
            }
            Event::Exited(exit) => self.exited = self.exited.or(Some((at_ns, exit))),
            // A task may end long after its storm has got what it waited for.
            Event::Done(_) if self.outcome.is_some() => self.done_ns = self.done_ns.or(Some(at_ns)),
            // What an instance does while it is being stopped for another reason does not count.
            _ if self.outcome.is_some() => {}
            Event::Ready => self.ready_ns = self.ready_ns.or(Some(at_ns)),
            Event::Serving => self.serving_ns = self.serving_ns.or(Some(at_ns)),
            Event::Done(_) => self.done_ns = self.done_ns.or(Some(at_ns)),
            Event::Log(mut line) => {
                let end = (0..=LOG_LINE_BYTES.min(line.len())).rev().find(|at| line.is_char_boundary(*at));
                line.truncate(end.unwrap_or(0));
                if self.log.len() == LOG_LINES {
                    self.log.pop_front();
                }
                self.log.push_back(line);
            }
            Event::Firmware(line) => self.firmware = line,
            Event::CommandExited(code) if self.reached_ns(target).is_none() && code != 0 => {
                self.decide(Outcome::Failed, format!("the command ended with exit status {code}"));
            }
            Event::Failed(error) => self.decide(Outcome::Failed, error),
            Event::Listening(port) => self.listens = self.listens.or(Some((at_ns, port))),
            Event::CommandExited(_) | Event::Parked | Event::Became(_) | Event::Observed(_) => {}
        }
        if self.reached_ns(target).is_some() {
            self.decide(Outcome::Ready, String::new());
        }
    }

    /// Settles what became of it; the first decision stays.
    pub(super) fn decide(&mut self, outcome: Outcome, mut error: String) {
        if self.outcome.is_some() {
            return;
        }
        if !self.log.is_empty() && outcome != Outcome::Ready {
            let said = Vec::from(std::mem::take(&mut self.log)).join(" | ");
            error = format!("{error}; its last lines: {said}");
        } else if !self.firmware.is_empty() && outcome != Outcome::Ready {
            error = format!("{error}; its firmware's last line: {}", self.firmware);
        }
        self.outcome = Some((outcome, error));
    }

    /// Its own end before it got there.
    pub(super) fn decide_exited(&mut self, target: Target) {
        if let Some((_, exit)) = self.exited {
            self.decide(Outcome::Failed, format!("ended too early with {exit}{}", self.whereabouts(target)));
        }
    }

    /// How far it has come, as the end of a sentence.
    fn whereabouts(&self, target: Target) -> String {
        match (self.ready_ns, self.phase()) {
            (Some(ready_ns), _) => {
                format!(", after it was ready {}{}", self.since_start(ready_ns), self.unserved(target))
            }
            (None, Some((began_ns, phase))) => {
                format!(", in its phase {phase}, which began {}", self.since_start(began_ns))
            }
            (None, None) => String::new(),
        }
    }

    /// What a service that has begun has not done.
    fn unserved(&self, target: Target) -> String {
        match self.listens.filter(|_| target == Target::Serving) {
            Some((at_ns, port)) => {
                format!(
                    "; its service listens on port {port}, since {}, and has not answered",
                    self.since_start(at_ns)
                )
            }
            None if target == Target::Serving => "; its service does not listen".into(),
            None => String::new(),
        }
    }

    fn since_start(&self, at_ns: u64) -> String {
        let since_ns = at_ns.saturating_sub(self.started_ns.unwrap_or(self.due_ns));
        format!("{:.3} s after its start", since_ns as f64 / 1e9)
    }

    /// The last phase that began, and when.
    fn phase(&self) -> Option<(u64, &'static str)> {
        self.marks.iter().max_by_key(|(at_ns, _)| *at_ns).copied()
    }

    /// By when something must have happened: the whole is done, or the phase it is in.
    pub(super) fn deadline_ns(&self, deadlines: &Deadlines) -> u64 {
        let whole_ns = self.started_ns.unwrap_or(self.due_ns).saturating_add(deadlines.whole_ns);
        self.phase_deadline_ns(deadlines).map_or(whole_ns, |(at_ns, _)| at_ns.min(whole_ns))
    }

    /// Of the phase it is in, and how long that may take; none once it is ready.
    fn phase_deadline_ns(&self, deadlines: &Deadlines) -> Option<(u64, u64)> {
        let (began_ns, phase) = self.phase().filter(|_| self.ready_ns.is_none())?;
        let longest_ns = deadlines.phase_ns(phase)?;
        Some((began_ns.saturating_add(longest_ns), longest_ns))
    }

    /// What is to be said where a deadline has passed: `what` it has not done within the whole of them,
    /// or the phase that did not end within its own.
    pub(super) fn lateness(&self, what: &str, target: Target, deadlines: &Deadlines, now_ns: u64) -> String {
        let (what, allowed_ns) = match self.phase_deadline_ns(deadlines) {
            Some((at_ns, longest_ns)) if at_ns <= now_ns => ("a phase took more than", longest_ns),
            _ => (what, deadlines.whole_ns),
        };
        format!("{what} {} s{}", allowed_ns as f64 / 1e9, self.whereabouts(target))
    }

    pub(super) fn exited(&self) -> bool {
        self.exited.is_some()
    }

    /// When it had done its task.
    pub(crate) fn done_ns(&self) -> Option<u64> {
        self.done_ns
    }

    /// How it ended by itself.
    pub(crate) fn exit(&self) -> Option<Exit> {
        self.exited.map(|(_, exit)| exit)
    }

    /// What it has told of `measure`, each time with when, in the order it came.
    pub(crate) fn told(&self, measure: &str) -> &[(u64, u64)] {
        self.measures.get(measure).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn outcome(&self) -> Option<(Outcome, &str)> {
        self.outcome.as_ref().map(|(outcome, error)| (*outcome, error.as_str()))
    }

    /// When it reached `target`, the first instruction included.
    fn reached_ns(&self, target: Target) -> Option<u64> {
        let ready_ns = self.ready_ns?;
        match target {
            Target::Ready => Some(ready_ns),
            Target::Serving => self.serving_ns.map(|at_ns| at_ns.max(ready_ns)),
            Target::Done => self.done_ns.map(|at_ns| at_ns.max(ready_ns)),
        }
    }

    /// From its start to the target.
    pub(super) fn latency_ns(&self, target: Target) -> Option<u64> {
        self.reached_ns(target)?.checked_sub(self.started_ns?)
    }

    /// Its row, with times since `epoch_ns`.
    pub(super) fn row(&self, place: &Place, epoch_ns: u64) -> Attempt {
        let since = |at_ns: u64| at_ns.saturating_sub(epoch_ns);
        let (outcome, error) =
            self.outcome.clone().unwrap_or((Outcome::Killed, "the run was interrupted".into()));
        // An end told by the stamper is more exact than when stopping returned.
        let stopped_ns = self.exited.map(|(at_ns, _)| at_ns).or(self.stopped_ns);
        Attempt {
            storm: place.storm,
            backend: place.backend.clone(),
            instance: place.instance,
            config: place.config.clone(),
            scheduled_ns: since(self.due_ns),
            started_ns: self.started_ns.map(since),
            ready_ns: self.ready_ns.map(since),
            serving_ns: self.serving_ns.map(since),
            stopped_ns: stopped_ns.map(since),
            outcome,
            error,
        }
    }

    /// What was measured about it.
    pub(super) fn measures(&self, place: &Place) -> Vec<Measure> {
        let row = |(measure, told): (&&str, &Vec<(u64, u64)>)| {
            Some(Measure {
                storm: place.storm,
                backend: place.backend.clone(),
                instance: place.instance,
                measure: (*measure).into(),
                value: told.last()?.1,
            })
        };
        self.measures.iter().filter_map(row).collect()
    }

    /// Its phases: they tile start → ready. A mark begins a phase; the first phase begins at the
    /// start. Empty where it never got ready.
    pub(super) fn phases(&self, place: &Place, epoch_ns: u64) -> Vec<Phase> {
        let (Some(started_ns), Some(ready_ns)) = (self.started_ns, self.ready_ns) else {
            return Vec::new();
        };
        let mut marks: Vec<(u64, &str)> =
            self.marks.iter().copied().filter(|(at_ns, _)| *at_ns < ready_ns).collect();
        marks.sort_by_key(|(at_ns, _)| *at_ns);
        match marks.first_mut() {
            Some(first) => first.0 = started_ns,
            None => marks.push((started_ns, "start")),
        }
        for mark in &mut marks {
            mark.0 = mark.0.max(started_ns);
        }
        let ends = marks.iter().skip(1).map(|(at_ns, _)| *at_ns).chain([ready_ns]);
        marks
            .iter()
            .zip(ends)
            .filter(|((begin_ns, _), end_ns)| begin_ns < end_ns)
            .map(|((begin_ns, phase), end_ns)| Phase {
                storm: place.storm,
                backend: place.backend.clone(),
                instance: place.instance,
                phase: (*phase).into(),
                begin_ns: begin_ns.saturating_sub(epoch_ns),
                end_ns: end_ns.saturating_sub(epoch_ns),
            })
            .collect()
    }
}

/// Where an attempt belongs.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) storm: u32,
    pub(super) backend: String,
    pub(super) instance: u32,
    pub(super) config: String,
}

#[cfg(test)]
mod tests {
    use runtime::InstanceName;

    use super::*;

    fn place() -> Place {
        Place { storm: 1, backend: "fake".into(), instance: 2, config: "c".into() }
    }

    fn after(events: &[(u64, Event)], target: Target) -> Progressing {
        let mut attempt = Progressing { due_ns: 90, started_ns: Some(100), ..Progressing::default() };
        for (at_ns, event) in events {
            let name = InstanceName { storm: 1, index: 2 };
            attempt
                .take(Stamped { name, at_ns: *at_ns, event: event.clone(), stamping_delay_ns: None }, target);
        }
        attempt
    }

    #[test]
    fn phases_tile_from_start_to_ready_whatever_the_order_of_marks() {
        let attempt = after(
            &[
                (150, Event::Mark("kernel")),
                (110, Event::Mark("vmm")),
                (150, Event::Mark("nothing")),
                (900, Event::Mark("late")),
                (300, Event::Ready),
            ],
            Target::Ready,
        );
        let phases = attempt.phases(&place(), 50);
        assert_eq!(phases.first().map(|phase| (phase.phase.as_str(), phase.begin_ns)), Some(("vmm", 50)));
        assert_eq!(phases.last().map(|phase| phase.end_ns), Some(250));
        assert!(phases.windows(2).all(|pair| pair[0].end_ns == pair[1].begin_ns));
        assert_eq!(phases.iter().map(|phase| phase.end_ns - phase.begin_ns).sum::<u64>(), 200);
    }

    #[test]
    fn without_marks_there_is_one_phase_and_without_ready_none() {
        let attempt = after(&[(300, Event::Ready)], Target::Ready);
        assert_eq!(attempt.phases(&place(), 0).len(), 1);
        assert!(after(&[(150, Event::Mark("vmm"))], Target::Ready).phases(&place(), 0).is_empty());
    }

    #[test]
    fn serving_is_waited_for_where_asked() {
        let attempt = after(&[(300, Event::Ready)], Target::Serving);
        assert_eq!(attempt.outcome(), None);
        let attempt = after(&[(400, Event::Serving), (300, Event::Ready)], Target::Serving);
        assert_eq!(attempt.outcome(), Some((Outcome::Ready, "")));
        assert_eq!(attempt.latency_ns(Target::Serving), Some(300));
    }

    #[test]
    fn an_early_end_is_told_with_the_last_lines() {
        let log = |text: &str| Event::Log(text.into());
        let mut events: Vec<(u64, Event)> = (0..9).map(|at| (at, log(&format!("line {at}")))).collect();
        events.extend([(20, Event::Mark("kernel")), (10, Event::Mark("firmware"))]);
        events.push((400, Event::Exited(Exit::Code(3))));
        let mut attempt = after(&events, Target::Ready);
        attempt.decide_exited(Target::Ready);
        let row = attempt.row(&place(), 0);
        assert_eq!(row.outcome, Outcome::Failed);
        assert!(
            row.error.contains("exit status 3, in its phase kernel, which began 0.000 s after its start;")
                && row.error.contains("line 4 | line 5"),
            "{}",
            row.error
        );
        assert!(!row.error.contains("line 3"));
        assert_eq!(row.stopped_ns, Some(400));
    }

    #[test]
    fn a_phase_has_a_deadline_of_its_own_until_it_ends() {
        let phases = [("firmware".to_owned(), 2.0)].into();
        let deadlines = Deadlines::of(60.0, &phases);
        let s = 1_000_000_000;
        let mut marks = vec![(100, Event::Mark("vmm"))];
        let at = |marks: &[(u64, Event)]| after(marks, Target::Ready).deadline_ns(&deadlines);
        assert_eq!(at(&marks), 100 + 60 * s);
        marks.push((100 + s, Event::Mark("firmware")));
        marks.push((100 + s, Event::Firmware("Booting from ROM...".into())));
        assert_eq!(at(&marks), 100 + 3 * s);
        let mut late = after(&marks, Target::Ready);
        let error = late.lateness("not there after", Target::Ready, &deadlines, 100 + 3 * s);
        assert_eq!(
            error,
            "a phase took more than 2 s, in its phase firmware, which began 1.000 s after its start"
        );
        late.decide(Outcome::Timeout, error);
        let error = late.row(&place(), 0).error;
        assert!(error.ends_with("start; its firmware's last line: Booting from ROM..."), "{error}");
        marks.push((100 + 2 * s, Event::Mark("kernel")));
        assert_eq!(at(&marks), 100 + 60 * s);
        let error =
            after(&marks, Target::Ready).lateness("not there after", Target::Ready, &deadlines, 100 + 60 * s);
        assert_eq!(error, "not there after 60 s, in its phase kernel, which began 2.000 s after its start");
        // The whole comes first where it is shorter.
        marks.push((100 + 59 * s, Event::Mark("firmware")));
        assert_eq!(at(&marks), 100 + 60 * s);
    }

    #[test]
    fn a_service_that_never_comes_is_told_by_what_it_has_not_done() {
        let deadlines = Deadlines::of(9.0, &std::collections::BTreeMap::new());
        let said = |events: &[(u64, Event)], target| {
            after(events, target).lateness("not there after", target, &deadlines, 9_000_000_100)
        };
        let mut events = vec![(100, Event::Mark("kernel")), (2_000_000_100, Event::Ready)];
        let ready = "not there after 9 s, after it was ready 2.000 s after its start";
        assert_eq!(said(&events, Target::Serving), format!("{ready}; its service does not listen"));
        // Who waits for something else misses no service.
        assert_eq!(said(&events, Target::Done), ready);
        events.push((3_000_000_100, Event::Listening(80)));
        assert_eq!(
            said(&events, Target::Serving),
            format!(
                "{ready}; its service listens on port 80, since 3.000 s after its start, and has not answered"
            )
        );
    }

    #[test]
    fn the_first_decision_stays() {
        let mut attempt = after(&[(300, Event::Ready)], Target::Ready);
        attempt.decide(Outcome::Timeout, "late".into());
        assert_eq!(attempt.outcome(), Some((Outcome::Ready, "")));
        let mut attempt = after(&[], Target::Ready);
        attempt.decide(Outcome::Timeout, "late".into());
        let name = InstanceName { storm: 1, index: 2 };
        attempt
            .take(Stamped { name, at_ns: 999, event: Event::Ready, stamping_delay_ns: None }, Target::Ready);
        assert_eq!(attempt.row(&place(), 0).ready_ns, None);
    }
}
