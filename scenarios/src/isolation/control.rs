//! From what was found and what the controls say to a verdict.

use results::record::{Check as Row, CheckVerdict};

use super::check::{Check, Expect, Finding};
use super::kind::Kind;
use super::list::{expectation, twin_name};
use super::round::Outcome;

/// What became of a check's twin.
#[derive(Clone, Debug)]
pub(super) enum Control {
    /// It was tried.
    Tried(Finding),
    /// It was not, because.
    Not(String),
}

/// The row of `check` on `backend`.
pub(super) fn row(check: &Check, backend: &str, outcome: &Outcome, twin: &Control) -> Row {
    let expect = (check.expect)(Kind::of(backend));
    let (verdict, note) = verdict(expect, outcome, twin);
    let (word, said) = match &outcome.finding {
        Finding::Apart(said) => ("apart", said),
        Finding::Open(said) => ("open", said),
        Finding::Wrong(said) => ("refused otherwise", said),
        Finding::Absent(said) => ("absent", said),
        Finding::Broken(said) => ("broken", said),
    };
    Row {
        check: check.id.into(),
        claim: check.claim.into(),
        backend: backend.into(),
        expectation: expectation(expect),
        observation: if note.is_empty() {
            format!("{word}: {said}")
        } else {
            format!("{word}: {said} ({note})")
        },
        witness: match &outcome.witness {
            Ok(said) | Err(said) => said.clone(),
        },
        controls: controls(check, outcome, twin),
        verdict,
        evidence: outcome.evidence.clone(),
    }
}

fn verdict(expect: Expect, outcome: &Outcome, twin: &Control) -> (CheckVerdict, &'static str) {
    if let Expect::Pointless(_) = expect {
        return (CheckVerdict::NotApplicable, "");
    }
    match &outcome.finding {
        Finding::Absent(_) => return (CheckVerdict::NotApplicable, ""),
        Finding::Broken(_) => return (CheckVerdict::Broken, ""),
        _ => {}
    }
    if outcome.answered.is_err() {
        return (CheckVerdict::Broken, "C0: the probes did not answer");
    }
    if outcome.witness.is_err() {
        return (CheckVerdict::Broken, "C2: the plant was not there");
    }
    match (&outcome.finding, expect) {
        // Seen is seen: no control can take it back.
        (Finding::Open(_), Expect::Shared(_)) => (CheckVerdict::SharedByDesign, ""),
        (Finding::Open(_), _) => (CheckVerdict::Leak, ""),
        (Finding::Wrong(_), _) => (CheckVerdict::WrongReason, ""),
        (Finding::Apart(_), Expect::Open) => (CheckVerdict::Blind, "a bare process cannot be apart"),
        (Finding::Apart(_), _) if outcome.own == Some(false) => {
            (CheckVerdict::Broken, "C3: not even its own is seen")
        }
        (Finding::Apart(_), _) => match twin {
            Control::Tried(Finding::Open(_)) => (CheckVerdict::Pass, ""),
            Control::Tried(_) => (CheckVerdict::Blind, "C1: the twin did not leak"),
            Control::Not(_) => (CheckVerdict::Pass, "C1 was not tried"),
        },
        (Finding::Absent(_) | Finding::Broken(_), _) => (CheckVerdict::Broken, ""),
    }
}

/// C0 to C5 in one text.
fn controls(check: &Check, outcome: &Outcome, twin: &Control) -> String {
    let c0 = match &outcome.answered {
        Ok(asked) => format!("C0 ok: {asked} answers with this run's nonce"),
        Err(why) => format!("C0 failed: {why}"),
    };
    let name = twin_name(check.twin);
    let c1 = match twin {
        Control::Tried(Finding::Open(said)) => format!("C1 ok: {name} leaks: {said}"),
        Control::Tried(other) => format!("C1 failed: {name}: {other:?}"),
        Control::Not(why) => format!("C1 not tried: {why}"),
    };
    let c2 = match &outcome.witness {
        Ok(_) => "C2 ok".to_owned(),
        Err(why) => format!("C2 failed: {why}"),
    };
    let c3 = match outcome.own {
        Some(true) => "C3 ok",
        Some(false) => "C3 failed",
        None => "C3 none: the look has nothing of its own to find",
    };
    let c4 = if check.looks_before { "C4 ok: baseline and random amplitude" } else { "C4 none: no counter" };
    let c5 = match &outcome.finding {
        Finding::Wrong(said) => format!("C5 failed: {said}"),
        _ => "C5 ok".to_owned(),
    };
    [c0, c1, c2, c3.into(), c4.into(), c5].join(" | ")
}
