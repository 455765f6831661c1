//! One round: the checks that share instances of one backend, from plant to judgement.

use std::sync::Arc;
use std::time::Duration;

use guest::probe::{Observation, Request};
use runtime::network::Bridge;
use runtime::{InstanceName, Limits, Prepared};

use super::check::{Absent, Check, Expect, Finding, Missing, OnHost, Role, Scene};
use super::kind::Kind;
use super::nonce::{Nonce, Plots};
use super::start::{NotStarted, Started, start};
use crate::Stop;

/// Where and how a round takes place.
pub(super) struct Place<'a> {
    pub(super) prepared: &'a dyn Prepared,
    pub(super) kind: Kind,
    /// What its instances are at, where its checks want one.
    pub(super) bridge: Option<&'a Arc<Bridge>>,
    /// Number of the round within the run.
    pub(super) number: u32,
    pub(super) timeout: Duration,
    pub(super) plots: &'a Plots,
    pub(super) stop: &'a Stop,
}

/// What a round says of one check.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) finding: Finding,
    /// C0: the probes answered, each to its nonce and in full.
    pub(super) answered: Result<u32, String>,
    /// C2: before and after the look.
    pub(super) witness: Result<String, String>,
    /// C3: whether the look found something of its own; `None` where it has no such thing.
    pub(super) own: Option<bool>,
    /// Facts of both sides.
    pub(super) evidence: String,
}

impl Outcome {
    /// Whether the check came to its end.
    pub(super) fn is_settled(&self) -> bool {
        match self.finding {
            Finding::Absent(_) => true,
            Finding::Broken(_) => false,
            _ => self.answered.is_ok() && self.witness.is_ok(),
        }
    }

    pub(super) fn failed(why: &str) -> Outcome {
        Outcome {
            finding: Finding::Broken(why.to_owned()),
            answered: Err(why.to_owned()),
            witness: Err("not reached".into()),
            own: None,
            evidence: String::new(),
        }
    }
}

/// A check under way.
struct Trial<'a> {
    check: &'a Check,
    nonce: Nonce,
    on_host: Option<Box<dyn OnHost>>,
    /// Why it goes no further.
    over: Option<Outcome>,
    before: Vec<Observation>,
    planted: Vec<Observation>,
    looked: Vec<Observation>,
    /// How many answers there have to be.
    asked: u32,
    witness: Result<String, String>,
}

impl Trial<'_> {
    fn scene<'s>(
        &'s self,
        place: &'s Place<'_>,
        planter: Option<&Started>,
        looker: Option<&Started>,
    ) -> Scene<'s> {
        Scene {
            nonce: &self.nonce,
            kind: place.kind,
            on_host: self.on_host.as_deref(),
            bridge: place.bridge.map(Arc::as_ref),
            before: &self.before,
            planted: &self.planted,
            looked: &self.looked,
            planter: planter.and_then(Started::root_pid),
            looker: looker.and_then(Started::root_pid),
        }
    }
}

/// Which part of a round an instance is for.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Before,
    Plant,
    Look,
}

/// Carries it out. The outcomes are in the order of `checks`.
pub(super) fn round(checks: &[&Check], place: &Place<'_>) -> Vec<Outcome> {
    let mut trials: Vec<Trial<'_>> = checks.iter().map(|check| begin(check, place)).collect();
    let before = ask(&mut trials, Part::Before, place, None);
    before.map(Started::stop);
    let planter = ask(&mut trials, Part::Plant, place, None);
    witness(&mut trials, place, planter.as_ref(), None);
    let mut looker = ask(&mut trials, Part::Look, place, planter.as_ref());
    let acted = act(&mut trials, place, planter.as_ref(), &mut looker);
    witness(&mut trials, place, planter.as_ref(), looker.as_ref());
    let outcomes = trials
        .iter()
        .map(|trial| match &trial.over {
            Some(outcome) => outcome.clone(),
            None => {
                let scene = trial.scene(place, planter.as_ref(), looker.as_ref());
                judge(trial, &scene, acted.clone())
            }
        })
        .collect();
    looker.map(Started::stop);
    planter.map(Started::stop);
    outcomes
}

fn begin<'a>(check: &'a Check, place: &Place<'_>) -> Trial<'a> {
    let nonce = Nonce::new(place.plots);
    let absent =
        |why: &str| Some(Outcome { finding: Finding::Absent(why.to_owned()), ..Outcome::failed(why) });
    let planted = || match (check.at_bridge, place.bridge, check.on_host) {
        (Some(plant), Some(bridge), _) => Some(plant(&nonce, bridge)),
        (Some(_), None, _) => Some(Err(Absent("there is no bridge".into()))),
        (None, _, plant) => plant.map(|plant| plant(&nonce)),
    };
    let (on_host, over) = match (check.expect)(place.kind) {
        // Nothing is planted and nobody started for a question that makes no sense.
        Expect::Pointless(why) => (None, absent(why)),
        _ => match planted() {
            None => (None, None),
            Some(Ok(plant)) => (Some(plant), None),
            Some(Err(Absent(why))) => (None, absent(&why)),
        },
    };
    Trial {
        check,
        nonce,
        on_host,
        over,
        before: Vec::new(),
        planted: Vec::new(),
        looked: Vec::new(),
        asked: 0,
        witness: Ok(String::new()),
    }
}

/// Starts the instance of a part with the requests of all checks that have some.
fn ask(
    trials: &mut [Trial<'_>],
    part: Part,
    place: &Place<'_>,
    planter: Option<&Started>,
) -> Option<Started> {
    let requests: Vec<Vec<Request>> = trials
        .iter()
        .map(|trial| {
            let scene = || trial.scene(place, planter, None);
            match (part, trial.over.is_some()) {
                (_, true) => Vec::new(),
                (Part::Before, _) if !trial.check.looks_before => Vec::new(),
                (Part::Plant, _) => trial.check.plant.map(|plant| plant(&trial.nonce)).unwrap_or_default(),
                (Part::Before | Part::Look, _) => {
                    trial.check.look.map(|look| look(&scene())).unwrap_or_default()
                }
            }
        })
        .collect();
    let all: Vec<Request> = requests.iter().flatten().cloned().collect();
    if all.is_empty() {
        return None;
    }
    let index = match part {
        Part::Before => 0,
        Part::Plant => 1,
        Part::Look => 2,
    };
    let name = InstanceName { storm: place.number, index };
    // A check with limits is alone, so they are those of all.
    let limits = trials.iter().find_map(|trial| trial.check.limits).filter(|_| place.kind != Kind::Process);
    let role = if part == Part::Plant { Role::A } else { Role::B };
    let limits = limits.map_or_else(Limits::default, |limits| limits(role));
    let has_limits = limits != Limits::default();
    let started = start(place.prepared, name, &all, limits, place.timeout, place.stop);
    let mut answers =
        started.as_ref().map(|started| started.observations.clone()).unwrap_or_default().into_iter();
    let trouble = match &started {
        Ok(started) => started.trouble.clone(),
        Err(error) => error.to_string(),
    };
    // It was not even tried: this backend has no way to say such a limit, and said so.
    let is_refused = has_limits && matches!(started, Err(NotStarted::Refused(_)));
    for (trial, requests) in trials.iter_mut().zip(&requests) {
        let own: Vec<Option<Observation>> = answers.by_ref().take(requests.len()).collect();
        if trial.over.is_some() {
            continue;
        }
        let answered: Vec<Observation> = own.into_iter().flatten().collect();
        trial.asked += requests.len() as u32;
        if answered.len() < requests.len() {
            let failed = Outcome::failed(&format!(
                "{} of {} requests answered: {trouble}",
                answered.len(),
                requests.len()
            ));
            trial.over = Some(match is_refused {
                true => Outcome { finding: Finding::Absent(trouble.clone()), ..failed },
                false => failed,
            });
            continue;
        }
        match part {
            Part::Before => trial.before = answered,
            Part::Plant => trial.planted = answered,
            Part::Look => trial.looked = answered,
        }
    }
    started.ok()
}

fn witness(trials: &mut [Trial<'_>], place: &Place<'_>, planter: Option<&Started>, looker: Option<&Started>) {
    for trial in trials.iter_mut().filter(|trial| trial.over.is_none()) {
        let seen = (trial.check.witness)(&trial.scene(place, planter, looker));
        // Both times, or not at all.
        if trial.witness.is_ok() {
            trial.witness = seen;
        }
    }
}

/// What the one check of a round that has something to do to its instance B finds by it.
fn act(
    trials: &mut [Trial<'_>],
    place: &Place<'_>,
    planter: Option<&Started>,
    looker: &mut Option<Started>,
) -> Option<Finding> {
    let [trial] = trials else { return None };
    let act = trial.check.act.filter(|_| trial.over.is_none())?;
    let scene = trial.scene(place, planter, looker.as_ref());
    let found = match looker {
        None => Err(Missing("there is no instance B".into())),
        Some(looker) => act(&scene, looker.instance()),
    };
    Some(found.unwrap_or_else(|Missing(what)| Finding::Broken(what)))
}

fn judge(trial: &Trial<'_>, scene: &Scene<'_>, acted: Option<Finding>) -> Outcome {
    let finding = acted
        .unwrap_or_else(|| (trial.check.judge)(scene).unwrap_or_else(|Missing(what)| Finding::Broken(what)));
    let own = trial.looked.iter().filter_map(|seen| match seen.facts.get("own") {
        Some(guest::probe::Fact::Number(own)) => Some(*own == 1),
        _ => None,
    });
    let facts = |observations: &[Observation]| -> serde_json::Value {
        observations
            .iter()
            .map(
                |observation| serde_json::json!({ "ending": observation.ending, "facts": observation.facts }),
            )
            .collect()
    };
    Outcome {
        finding,
        answered: Ok(trial.asked),
        witness: trial.witness.clone(),
        own: own.reduce(|all, one| all && one),
        evidence: serde_json::json!({
            "before": facts(&trial.before),
            "planted": facts(&trial.planted),
            "looked": facts(&trial.looked),
        })
        .to_string(),
    }
}
