//! The suite's own proof: each mechanism of our container left out in turn, and which checks notice.
//!
//! A mechanism may hide behind another: what a path's read-only mount refuses, an id that is nobody
//! outside could not write either. So the checks whose twin lacks several mechanisms are also tried on
//! the container without the others: what is apart there and open without all of them has noticed.

use runtime::container::{Mechanism, WeakenedBackend};

use super::check::{Check, Company, Twin};

/// A container to be tried.
pub(super) struct Mutant {
    pub(super) without: Vec<Mechanism>,
    /// Numbers of the checks that are asked of it.
    pub(super) checks: Vec<usize>,
}

impl Mutant {
    pub(super) fn backend(&self) -> WeakenedBackend {
        WeakenedBackend { without: self.without.clone() }
    }
}

/// The mechanisms that `wanted` names: `all`, or names with commas between them.
///
/// # Errors
/// A name that is none.
pub(super) fn mechanisms(wanted: &str) -> Result<Vec<Mechanism>, String> {
    let all = Mechanism::all();
    if wanted == "all" {
        return Ok(all);
    }
    let named = |name: &str| {
        all.iter().copied().find(|one| one.to_string() == name.trim()).ok_or_else(|| {
            let names: Vec<String> = all.iter().map(ToString::to_string).collect();
            format!("{name:?} is no mechanism; there are all, {}", names.join(", "))
        })
    };
    wanted.split(',').map(named).collect()
}

/// The containers that show what `mechanisms` are for; the first is whole.
pub(super) fn mutants(mechanisms: &[Mechanism], checks: &[&Check]) -> Vec<Mutant> {
    // What needs the whole host for itself would make this last for hours.
    let asked: Vec<usize> = (0..checks.len())
        .filter(|at| checks[*at].company != Company::Quiet && checks[*at].image.is_none())
        .collect();
    let mut mutants = vec![Mutant { without: Vec::new(), checks: asked.clone() }];
    mutants.extend(mechanisms.iter().map(|one| {
        // A check with limits takes seconds of its own, and no other mechanism has a part in what it sees.
        let concerns = |check: &Check| {
            let is_its_own = matches!(check.twin, Twin::Without(all) if all.contains(one));
            is_its_own || (check.limits.is_none() && check.act.is_none())
        };
        let checks = asked.iter().copied().filter(|at| concerns(checks[*at])).collect();
        Mutant { without: vec![*one], checks }
    }));
    for at in asked {
        let Twin::Without(all) = checks[at].twin else { continue };
        if all.len() < 2 || !all.iter().any(|one| mechanisms.contains(one)) {
            continue;
        }
        add(&mut mutants, all.to_vec(), at);
        // A capability is no mechanism by itself, but may be what keeps where all else is gone.
        let is_tried = |one: &&Mechanism| mechanisms.contains(one) || matches!(one, Mechanism::Capability(_));
        for left_in in all.iter().filter(is_tried) {
            add(&mut mutants, all.iter().copied().filter(|one| one != left_in).collect(), at);
        }
    }
    mutants
}

fn add(mutants: &mut Vec<Mutant>, without: Vec<Mechanism>, check: usize) {
    match mutants.iter_mut().find(|mutant| mutant.without == without) {
        Some(mutant) if mutant.checks.contains(&check) => {}
        Some(mutant) => mutant.checks.push(check),
        None => mutants.push(Mutant { without, checks: vec![check] }),
    }
}
