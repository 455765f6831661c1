//! All checks on all backends: rounds on two threads, each in a world of its own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use runtime::container::WeakenedBackend;
use runtime::image::Image;
use runtime::process::ProcessBackend;
use runtime::state::OutsideFolder;
use runtime::{Backend, Prepared, RunContext};

use super::bridged;
use super::check::{Check, Company, Finding, Twin};
use super::control::{self, Control};
use super::files;
use super::image;
use super::inside;
use super::kind::Kind;
use super::list::twin_name;
use super::mutate;
use super::nonce::Plots;
use super::plan::Plan;
use super::round::{Outcome, Place, round};
use super::world;
use crate::contender::prepare;
use crate::stage::warn;
use crate::{Completion, Error, Progress, Stage, Stop};

/// Rounds at once: what one waits for, another can use.
const THREADS: usize = 2;

/// How often at most it is looked at a counter of the whole machine. What else the host does moves it as well,
/// which hides what an instance adds and does not feign it: each time that is another number. Where it has hardly moved,
/// nothing is hidden.
const LOOKS_AT_A_COUNTER: u32 = 4;

/// Something that can be checked.
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) prepared: Arc<dyn Prepared>,
    /// What has prepared it, to do so once more: with another image, or at a bridge.
    pub(super) backend: Option<Arc<dyn Backend>>,
}

/// One round to be made.
pub(super) struct Job {
    subject: usize,
    checks: Vec<usize>,
    company: Company,
}

/// Outcomes by subject and check.
pub(super) type Outcomes = BTreeMap<(usize, usize), Outcome>;

/// Carries out `plan`.
///
/// # Errors
/// Where no backend works or a row cannot be written. A check that goes wrong is a row.
pub fn run(plan: &Plan, stage: Stage<'_>) -> Result<Completion, Error> {
    let Stage { backends, context, image, rows, run, stop, progress } = stage;
    let checks = plan.checks();
    let own = match image.rootfs {
        Some(_) => None,
        None => match files::image(context) {
            Ok(image) => Some(image),
            Err(error) => {
                warn(run, progress, format!("instances have no files of an image: {error}"));
                None
            }
        },
    };
    let files = own.as_ref().unwrap_or(image);
    let contenders = prepare(&plan.launch, &backends, context, files, run, progress)?;
    let backends: Vec<Arc<dyn Backend>> = backends.into_iter().map(Arc::from).collect();
    let mut subjects: Vec<Subject> = contenders
        .into_iter()
        .map(|contender| Subject {
            kind: Kind::of(&contender.name),
            backend: backends.iter().find(|backend| backend.id() == contender.name).cloned(),
            name: contender.name,
            prepared: contender.prepared,
        })
        .collect();
    let mut jobs: Vec<Job> = Vec::new();
    if let Some(wanted) = &plan.mutate {
        subjects.clear();
        let mechanisms =
            mutate::mechanisms(wanted).map_err(|problem| Error::Plan { key: "mutate", problem })?;
        for mutant in mutate::mutants(&mechanisms, &checks) {
            let backend = mutant.backend();
            match backend.prepare(context, files) {
                Ok(prepared) => {
                    let subject = subjects.len();
                    let (name, backend) = (backend.id(), Arc::new(backend));
                    subjects.push(Subject { name, kind: Kind::Container, prepared, backend: Some(backend) });
                    jobs.extend(self::jobs(subject, &checks, |check| {
                        mutant.checks.iter().any(|at| checks[*at].id == check.id)
                    }));
                }
                Err(error) => warn(run, progress, format!("{} cannot be made: {error}", backend.id())),
            }
        }
    } else {
        jobs.extend((0..subjects.len()).flat_map(|subject| self::jobs(subject, &checks, |_| true)));
    }
    let asked = subjects.len();
    let mut twins: Vec<(Twin, Result<usize, String>)> = Vec::new();
    if plan.has_controls() && plan.mutate.is_none() {
        for check in &checks {
            if check.twin == Twin::Careless || twins.iter().any(|(twin, _)| *twin == check.twin) {
                continue;
            }
            let subject = twin(check.twin, &subjects[..asked]).unwrap_or_else(|backend| {
                let prepared = backend.prepare(context, files).map_err(|error| error.to_string())?;
                let kind = if check.twin == Twin::Process { Kind::Process } else { Kind::Container };
                let name = twin_name(check.twin);
                subjects.push(Subject { name, kind, prepared, backend: Some(Arc::from(backend)) });
                Ok(subjects.len() - 1)
            });
            if let Ok(subject) = subject
                && subject >= asked
            {
                jobs.extend(self::jobs(subject, &checks, |other| other.twin == check.twin));
            }
            twins.push((check.twin, subject));
        }
    }
    let plant_folder = OutsideFolder::make(&context.state_dir, &context.run_id)
        .map_err(Error::system("make a folder for what checks plant"))?;
    let plots = Plots { folder: plant_folder.path().into(), group: format!("bench/{}", context.run_id) };
    let field = Field {
        subjects: &subjects,
        checks: &checks,
        timeout: Duration::from_secs_f64(plan.launch.timeout_s),
        plots: &plots,
        stop,
        rounds: AtomicU32::new(0),
        origin: Some((context, files)),
        troubles: Mutex::new(Vec::new()),
    };
    let outcomes = field.carry_out(jobs);
    for trouble in field.troubles.into_inner().unwrap_or_else(PoisonError::into_inner) {
        warn(run, progress, trouble);
    }
    for (subject, name) in subjects[..asked].iter().map(|subject| &subject.name).enumerate() {
        let mut counts: BTreeMap<&'static str, u32> = BTreeMap::new();
        for (at, check) in checks.iter().enumerate() {
            let Some(outcome) = outcomes.get(&(subject, at)) else { continue };
            let control = match control_of(check, at, &twins, &outcomes, &plots) {
                Some(control) => control,
                // Nor has who has no control to be believed by.
                None if stop.requested() => continue,
                None => Control::Not("its round was not made".into()),
            };
            let row = control::row(check, name, outcome, &control);
            *counts.entry(row.verdict.word()).or_default() += 1;
            rows.check(&row)?;
        }
        if !counts.is_empty() || !stop.requested() {
            progress(Progress::Checked { backend: name.clone(), counts });
        }
    }
    for version in plan.inside.iter().take_while(|_| !stop.requested()) {
        progress(Progress::Preparing { backend: version.backend() });
        match inside::ask(plan, *version, context, stop) {
            Ok(told) => told.iter().try_for_each(|row| rows.check(row))?,
            Err(_) if stop.requested() => {}
            Err(why) => warn(run, progress, format!("{}: {why}", version.backend())),
        }
    }
    run.complete = !stop.requested();
    rows.update(run)?;
    Ok(if stop.requested() { Completion::Interrupted } else { Completion::Complete })
}

/// The subject that already is this twin, or the backend to be prepared for it.
fn twin(twin: Twin, subjects: &[Subject]) -> Result<Result<usize, String>, Box<dyn Backend>> {
    match twin {
        Twin::Process => match subjects.iter().position(|subject| subject.name == "process") {
            Some(subject) => Ok(Ok(subject)),
            None => Err(Box::new(ProcessBackend)),
        },
        Twin::Careless => Ok(Err("the check tries it itself".into())),
        Twin::Without(without) => {
            let backend = WeakenedBackend { without: without.to_vec() };
            let lacks = backend.requirements().into_iter().find_map(|requirement| requirement.state.err());
            match lacks {
                Some(why) => Ok(Err(format!("no container to weaken here: {why}"))),
                None => Err(Box::new(backend)),
            }
        }
    }
}

/// What became of a check's twin; `None` where its round was not made.
fn control_of(
    check: &Check,
    at: usize,
    twins: &[(Twin, Result<usize, String>)],
    outcomes: &Outcomes,
    plots: &Plots,
) -> Option<Control> {
    if let Some(image) = &check.image {
        return Some(Control::Tried(image::carelessly(image, plots)));
    }
    Some(match twins.iter().find(|(twin, _)| *twin == check.twin).map(|(_, subject)| subject) {
        None => Control::Not("controls are off".into()),
        Some(Err(why)) => Control::Not(why.clone()),
        Some(Ok(subject)) => {
            let outcome = outcomes.get(&(*subject, at))?;
            Control::Tried(match (&outcome.finding, &outcome.witness) {
                (Finding::Open(_), Err(why)) => Finding::Broken(why.clone()),
                (finding, _) => finding.clone(),
            })
        }
    })
}

/// The rounds a subject needs.
pub(super) fn jobs(subject: usize, checks: &[&Check], wanted: impl Fn(&Check) -> bool) -> Vec<Job> {
    let wanted: Vec<usize> = (0..checks.len()).filter(|at| wanted(checks[*at])).collect();
    let (together, apart): (Vec<usize>, Vec<usize>) =
        wanted.into_iter().partition(|at| checks[*at].company == Company::Together);
    let mut jobs: Vec<Job> =
        apart.into_iter().map(|at| Job { subject, checks: vec![at], company: checks[at].company }).collect();
    let (at_bridge, together): (Vec<usize>, Vec<usize>) =
        together.into_iter().partition(|at| checks[*at].at_bridge.is_some());
    for checks in [at_bridge, together].into_iter().filter(|checks| !checks.is_empty()) {
        jobs.push(Job { subject, checks, company: Company::Together });
    }
    jobs
}

/// What the threads of a run share.
pub(super) struct Field<'a> {
    pub(super) subjects: &'a [Subject],
    pub(super) checks: &'a [&'static Check],
    pub(super) timeout: Duration,
    pub(super) plots: &'a Plots,
    pub(super) stop: &'a Stop,
    pub(super) rounds: AtomicU32,
    /// What a subject is prepared with once more, and the files it has where a check brings none.
    pub(super) origin: Option<(&'a RunContext, &'a Image)>,
    pub(super) troubles: Mutex<Vec<String>>,
}

impl Field<'_> {
    /// All rounds: those that may run beside each other, those in the real host, those in quiet.
    pub(super) fn carry_out(&self, jobs: Vec<Job>) -> Outcomes {
        let is_daemons = |job: &Job| self.subjects[job.subject].kind == Kind::Engine;
        let (daemons, others): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(is_daemons);
        let (quiet, busy): (Vec<Job>, Vec<Job>) =
            others.into_iter().partition(|job| job.company == Company::Quiet);
        let outcomes = Mutex::new(Outcomes::new());
        self.crew(busy, THREADS, true, &outcomes);
        self.crew(daemons, 1, false, &outcomes);
        self.crew(quiet, 1, true, &outcomes);
        outcomes.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// `threads` threads that live until all of `jobs` are done: the kernel ends an instance with the
    /// thread that started it.
    fn crew(&self, jobs: Vec<Job>, threads: usize, apart: bool, outcomes: &Mutex<Outcomes>) {
        if jobs.is_empty() {
            return;
        }
        let queue = Mutex::new(jobs);
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    if apart && let Err(why) = world::enter() {
                        self.tell(why);
                        // Who is not root can do nothing to the real host that he could not do anyway.
                        if nix::unistd::geteuid().is_root() {
                            return;
                        }
                    }
                    while let Some(job) = next().filter(|_| !self.stop.requested()) {
                        let mut found = self.job(&job);
                        // Who was interrupted has not been asked: that says nothing of the backend.
                        if self.stop.requested() {
                            found.retain(|(_, outcome)| outcome.is_settled());
                        }
                        outcomes.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
                    }
                });
            }
        });
    }

    /// One round, and once more for each check alone whose answers are missing: what one did to an
    /// instance must not be another's outcome.
    fn job(&self, job: &Job) -> Vec<((usize, usize), Outcome)> {
        let mut found: Vec<((usize, usize), Outcome)> = self.round(job.subject, &job.checks);
        if let ([at], [(_, outcome)]) = (job.checks.as_slice(), found.as_mut_slice()) {
            let check = self.checks[*at];
            let is_counter = check.looks_before && check.act.is_none();
            for _ in 1..LOOKS_AT_A_COUNTER {
                let is_hidden = matches!(outcome.finding, Finding::Wrong(_));
                if !is_counter || !is_hidden || self.stop.requested() {
                    break;
                }
                if let Some((_, again)) = self.round(job.subject, &[*at]).pop() {
                    *outcome = again;
                }
            }
        }
        for ((_, at), outcome) in &mut found {
            let is_missing = outcome.answered.is_err() && !matches!(outcome.finding, Finding::Absent(_));
            if is_missing
                && job.checks.len() > 1
                && !self.stop.requested()
                && let Some((_, again)) = self.round(job.subject, &[*at]).pop()
            {
                *outcome = again;
            }
        }
        found
    }

    fn round(&self, subject: usize, checks: &[usize]) -> Vec<((usize, usize), Outcome)> {
        let asked: Vec<&Check> = checks.iter().map(|at| self.checks[*at]).collect();
        checks
            .iter()
            .zip(self.outcomes(subject, &asked))
            .map(|(at, outcome)| ((subject, *at), outcome))
            .collect()
    }

    fn outcomes(&self, subject: usize, asked: &[&Check]) -> Vec<Outcome> {
        let Subject { kind, prepared, backend, .. } = &self.subjects[subject];
        let place = Place {
            prepared: prepared.as_ref(),
            kind: *kind,
            bridge: None,
            number: self.rounds.fetch_add(1, Ordering::Relaxed),
            timeout: self.timeout,
            plots: self.plots,
            stop: self.stop,
        };
        // Those with an image are alone, those at a bridge among themselves.
        let (image, is_at_bridge) =
            asked.first().map_or((None, false), |check| (check.image.as_ref(), check.at_bridge.is_some()));
        match (image, is_at_bridge, backend.as_deref().zip(self.origin)) {
            (None, false, _) => round(asked, &place),
            (Some(image), _, Some((backend, (context, _)))) => {
                vec![image::attempt(asked[0], image, backend, context, &place)]
            }
            (None, true, Some((backend, origin))) => bridged::round(asked, backend, origin, place),
            (_, _, None) => {
                let why = "its backend is not there to be prepared once more";
                asked.iter().map(|_| Outcome::failed(why)).collect()
            }
        }
    }

    fn tell(&self, trouble: String) {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).push(trouble);
    }
}
