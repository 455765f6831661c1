//! The smallest set of runs that decides the claims (METHOD, evidence and its direction): data beside
//! this file. What is claimed and how it is judged is in `results::claims`.

use serde::Deserialize;
use toml::Table;

use crate::{Error, HostSize, Launch, Plan, SCENARIOS};

/// What the user calls all of it.
pub const NAME: &str = "claims";
/// What it does.
pub const DOES: &str = "what decides the claims, one run after the other: a verdict on each";

const PARTS: &str = include_str!("parts.toml");

/// One run of the set.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its name; letters, digits and `-`.
    pub name: String,
    /// Scenario.
    pub scenario: String,
    /// What it is to find out.
    pub question: String,
    /// An image it needs beyond the one that is built in.
    pub image: Option<PartImage>,
    /// Put over the default plan of the scenario.
    plan: Table,
    /// Put over that where few minutes are to be enough.
    quick: Table,
}

/// An image made of packages, with what a machine needs to boot it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartImage {
    /// What it is called in the store.
    pub name: String,
    /// Packages.
    pub packages: Vec<String>,
}

/// The parts whose scenarios there are.
///
/// # Errors
/// None in practice: the file is checked by a test.
pub fn parts() -> Result<Vec<Part>, Error> {
    #[derive(Deserialize)]
    struct File {
        part: Vec<Part>,
    }
    let mut file: File = toml::from_str(PARTS)?;
    file.part.retain(|part| SCENARIOS.iter().any(|(name, _)| *name == part.scenario));
    Ok(file.part)
}

/// Whether a key of a plan is one of what is started, and so makes sense for every part.
pub fn is_common(key: &str) -> bool {
    Launch::KEYS.contains(&key)
}

impl Part {
    /// Its plan on this host, with `changes` put over it.
    ///
    /// # Errors
    /// A key the scenario does not have, or a value that makes no sense.
    pub fn plan(&self, host: &HostSize, quick: bool, changes: Table) -> Result<Plan, Error> {
        let (mut plan, _) = Plan::sized_for(&self.scenario, host)?;
        if quick {
            plan.quicken();
        }
        plan = plan.with(self.plan.clone())?;
        if quick {
            plan = plan.with(self.quick.clone())?;
        }
        let mut plan = plan.with(changes)?;
        plan.launch_mut().resolve_seed();
        plan.validate()?;
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_a_plan_on_small_and_large_hosts() {
        let parts = parts().expect("parts");
        assert!(parts.len() >= 6, "{parts:?}");
        for (index, part) in parts.iter().enumerate() {
            assert!(parts[..index].iter().all(|other| other.name != part.name), "{}", part.name);
            assert!(part.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'));
            for (cores, gib, kvm) in [(1, 1, false), (crate::cores(), 20, false), (crate::cores(), 512, true)]
            {
                let host = HostSize { cores, mem_available_bytes: gib << 30, kvm };
                for quick in [false, true] {
                    let plan = part.plan(&host, quick, Table::new());
                    plan.unwrap_or_else(|error| panic!("{} (quick: {quick}): {error}", part.name));
                }
            }
        }
    }

    /// Every claim is decided by a part, once the scenarios it needs are there.
    #[test]
    fn every_claim_has_a_part() {
        let parts = parts().expect("parts");
        for claim in results::claims::CLAIMS {
            let there = |scenario: &&str| SCENARIOS.iter().any(|(name, _)| name == scenario);
            for scenario in claim.scenarios.iter().filter(|scenario| there(scenario)) {
                assert!(parts.iter().any(|part| part.scenario == **scenario), "{}: {scenario}", claim.id);
            }
        }
    }

    /// A verdict rests on at least five storms (METHOD, statistics).
    #[test]
    fn the_quick_parts_have_enough_storms_to_tell() {
        let host = HostSize { cores: 2, mem_available_bytes: 20 << 30, kvm: false };
        for part in parts().expect("parts").iter().filter(|part| part.scenario == "boot-storm") {
            let table = part.plan(&host, true, Table::new()).expect("plan").to_table().expect("table");
            assert!(table["storms"].as_integer() >= Some(5), "{}: {table}", part.name);
        }
    }
}
