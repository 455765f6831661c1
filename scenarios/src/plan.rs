//! A scenario with everything that decides what it does, and the scenarios there are.

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::Table;

use crate::{
    Completion, Error, HostSize, Launch, Stage, boot_storm, density, isolation, node_failure, portability,
    prioritize, sweep,
};

/// Declares the scenarios: a variant of [`Plan`], its room, and what it does. Each room has a `NAME`,
/// a `Plan` with `KEYS`, `launch`, `sized_for`, `quicken`, `validate` and `would_do`, and a `run`.
macro_rules! scenarios {
    ($($variant:ident, $room:ident, $does:literal;)*) => {
        /// The scenarios and what they do.
        pub const SCENARIOS: &[(&str, &str)] = &[$(($room::NAME, $does)),*];

        /// The plan of a scenario; `run.json` holds it as resolved.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[serde(untagged)]
        pub enum Plan {
            $(#[doc = $does] $variant($room::Plan),)*
        }

        impl Plan {
            /// The default plan of `scenario`, sized to the host, and what was chosen and why, in
            /// sentences.
            ///
            /// # Errors
            /// Where there is no such scenario.
            pub fn sized_for(scenario: &str, host: &HostSize) -> Result<(Plan, Vec<String>), Error> {
                match scenario {
                    $($room::NAME => {
                        $room::Plan::sized_for(host).map(|(plan, chosen)| (Plan::$variant(plan), chosen))
                    })*
                    _ => Err(Error::NoScenario(scenario.into())),
                }
            }

            /// Name of the scenario.
            pub fn scenario(&self) -> &'static str {
                match self { $(Plan::$variant(_) => $room::NAME,)* }
            }

            /// What it starts.
            pub fn launch(&self) -> &Launch {
                match self { $(Plan::$variant(plan) => &plan.launch,)* }
            }

            /// What it starts, to be changed.
            pub fn launch_mut(&mut self) -> &mut Launch {
                match self { $(Plan::$variant(plan) => &mut plan.launch,)* }
            }

            /// Makes it the smallest that still answers its question.
            pub fn quicken(&mut self) {
                match self { $(Plan::$variant(plan) => plan.quicken(),)* }
            }

            /// The keys this plan has.
            pub fn keys(&self) -> Vec<&'static str> {
                let own = match self { $(Plan::$variant(_) => $room::Plan::KEYS,)* };
                Launch::KEYS.iter().chain(own).copied().collect()
            }

            /// With the keys of `changes` put over its own.
            ///
            /// # Errors
            /// A key this scenario does not have, or a value of the wrong kind.
            pub fn with(&self, changes: Table) -> Result<Plan, Error> {
                let mut table = self.to_table()?;
                table.extend(changes);
                match self {
                    $(Plan::$variant(_) => from_table(table, &self.keys()).map(Plan::$variant),)*
                }
            }

            /// Checks what the types do not.
            ///
            /// # Errors
            /// The first key whose value makes no sense.
            pub fn validate(&self) -> Result<(), Error> {
                self.launch().validate()?;
                match self { $(Plan::$variant(plan) => plan.validate(),)* }
            }

            /// What `backend` would be asked to do, in a sentence.
            pub fn would_do(&self) -> String {
                match self { $(Plan::$variant(plan) => plan.would_do(),)* }
            }

            /// Carries it out.
            ///
            /// # Errors
            /// Where the plan makes no sense, no backend works or a row cannot be written. What goes
            /// wrong with a single attempt is no error but its row.
            pub fn run(&self, stage: Stage<'_>) -> Result<Completion, Error> {
                self.validate()?;
                match self { $(Plan::$variant(plan) => $room::run(plan, stage),)* }
            }
        }
    };
}

scenarios! {
    BootStorm, boot_storm,
        "storms of instances on each backend: how long until they serve, and what the host feels";
    Density, density,
        "instances grown in steps: what one more costs, by every accounting method, and how many fit";
    StormSweep, sweep,
        "storms of many sizes, on few and many cores: the curve of latency, its knee, what neighbours feel";
    NodeFailure, node_failure,
        "a node dies under load and everything is started again: time until all serve, requests lost";
    Isolation, isolation,
        "does each instance stay apart: plants, witnesses, and controls that must leak";
    Portability, portability,
        "one disk on hardware and in formats, one image on runtimes and kernels: what works unchanged";
    Prioritize, prioritize,
        "limits, shares and accounts: what was asked against what was measured, and a hog beside a victim";
}

impl Plan {
    /// As it stands in a file.
    ///
    /// # Errors
    /// What the TOML library said.
    pub fn to_table(&self) -> Result<Table, Error> {
        Ok(Table::try_from(self)?)
    }
}

/// A plan out of a table whose keys are all among `keys`. Serde cannot say this itself of a struct
/// with a flattened part.
pub(crate) fn from_table<P: DeserializeOwned>(table: Table, keys: &[&'static str]) -> Result<P, Error> {
    match table.keys().find(|key| !keys.contains(&key.as_str())) {
        Some(unknown) => Err(Error::UnknownKey { key: unknown.clone(), known: keys.to_vec() }),
        None => Ok(table.try_into()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: HostSize = HostSize { cores: 2, mem_available_bytes: 8 << 30, kvm: false };

    /// A plan with every optional key set must not have one that is not listed, or a listed one that
    /// does not exist.
    #[test]
    fn the_listed_keys_are_those_of_the_plan() {
        for (scenario, _) in SCENARIOS {
            let (plan, _) = Plan::sized_for(scenario, &HOST).expect("default");
            let table = plan.to_table().expect("table");
            let keys = plan.keys();
            table.keys().for_each(|key| assert!(keys.contains(&key.as_str()), "{scenario}: {key}"));
            for key in keys {
                // No key is a list of lists.
                let wrong = toml::Value::Array(vec![toml::Value::Array(Vec::new())]);
                let refused = plan.with(Table::from_iter([(key.to_owned(), wrong)]));
                assert!(refused.is_err(), "{scenario}: {key} is not read");
            }
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        let (plan, _) = Plan::sized_for(boot_storm::NAME, &HOST).expect("default");
        let changes = toml::from_str("instanecs = 3").expect("toml");
        assert!(
            matches!(plan.with(changes), Err(Error::UnknownKey { key, known }) if key == "instanecs" && known.contains(&"instances"))
        );
        assert!(matches!(Plan::sized_for("boot-strom", &HOST), Err(Error::NoScenario(_))));
    }
}
