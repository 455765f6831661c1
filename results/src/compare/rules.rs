//! What a change must exceed, and what is not judged at all. Each rule carries its reason; one that
//! matches nothing is an error, so that rules do not outlive what they were made for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Quantity, Side};
use crate::Error;

/// What a change must exceed to count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Floor {
    /// Relative, as a share: 0.01 is 1 %. Not for shares of attempts.
    pub relative: f64,
    /// Absolute, in the metric's unit: nanoseconds, or a share.
    pub absolute: f64,
    /// Why; empty for the default.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Sets floors. Patterns hold `*` for anything; an absent one matches all.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FloorRule {
    /// Which backends.
    pub backend: Option<String>,
    /// Which metrics.
    pub metric: Option<String>,
    /// Relative floor, as a share.
    pub relative: Option<f64>,
    /// Absolute floor of a latency in nanoseconds.
    pub absolute_ns: Option<f64>,
    /// Absolute floor of a share.
    pub absolute_share: Option<f64>,
    /// Why.
    pub reason: String,
}

/// Leaves something out. Patterns as in [`FloorRule`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IgnoreRule {
    /// Which backends.
    pub backend: Option<String>,
    /// Which metrics.
    pub metric: Option<String>,
    /// Why.
    pub reason: String,
}

/// How it is judged: the table `compare` of `bench.toml`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Chance of even one false alarm in a comparison.
    pub alpha: f64,
    /// Which metrics.
    pub metrics: Vec<Quantity>,
    /// Floors; the first that matches and says something wins.
    #[serde(rename = "floor")]
    pub floors: Vec<FloorRule>,
    /// What is left out.
    #[serde(rename = "ignore")]
    pub ignores: Vec<IgnoreRule>,
}

/// Floors where nothing else is said: a change nobody would act on is none. `bench aa` proposes
/// what this host can tell apart.
const DEFAULT_FLOOR: Floor = Floor { relative: 0.01, absolute: 50_000.0, reason: String::new() };
/// Absolute floor of a share where nothing else is said.
const DEFAULT_SHARE_FLOOR: f64 = 0.01;

impl Default for Rules {
    fn default() -> Rules {
        Rules { alpha: 0.01, metrics: Quantity::DEFAULT.to_vec(), floors: Vec::new(), ignores: Vec::new() }
    }
}

impl Rules {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// The first value that makes no sense, in words.
    pub fn validate(&self) -> Result<(), String> {
        if !(self.alpha > 0.0 && self.alpha < 0.5) {
            return Err(format!("compare.alpha: {} is not between 0 and 0.5", self.alpha));
        }
        if self.metrics.is_empty() {
            return Err("compare.metrics: names none".into());
        }
        for rule in &self.floors {
            let values = [rule.relative, rule.absolute_ns, rule.absolute_share];
            if let Some(bad) = values.into_iter().flatten().find(|value| !(0.0..1e18).contains(value)) {
                return Err(format!("compare.floor: {bad} is no floor"));
            }
            if values.iter().all(Option::is_none) {
                let said = describe("floor", &rule.backend, &rule.metric);
                return Err(format!("compare.{said} sets none of relative, absolute_ns and absolute_share"));
            }
        }
        let reasons =
            self.floors.iter().map(|rule| &rule.reason).chain(self.ignores.iter().map(|rule| &rule.reason));
        if reasons.into_iter().any(|reason| reason.trim().is_empty()) {
            return Err("compare: a floor or ignore has an empty reason".into());
        }
        Ok(())
    }

    /// The floors of a metric of a backend.
    pub fn floor(&self, backend: &str, quantity: Quantity) -> Floor {
        let mut floor = DEFAULT_FLOOR;
        if quantity.metric().is_none() {
            floor.absolute = DEFAULT_SHARE_FLOOR;
        }
        let applying = || self.floors.iter().filter(|r| applies(&r.backend, &r.metric, backend, quantity));
        let absolute = |rule: &FloorRule| match quantity.metric() {
            Some(_) => rule.absolute_ns,
            None => rule.absolute_share,
        };
        if let Some(rule) = applying().find(|rule| rule.relative.is_some() || absolute(rule).is_some()) {
            floor.reason.clone_from(&rule.reason);
        }
        if let Some(relative) = applying().find_map(|rule| rule.relative) {
            floor.relative = relative;
        }
        if let Some(absolute) = applying().find_map(absolute) {
            floor.absolute = absolute;
        }
        floor
    }

    /// Why a metric of a backend is left out, where it is.
    pub(super) fn ignored(&self, backend: &str, quantity: Quantity) -> Option<&str> {
        let applying = |rule: &&IgnoreRule| applies(&rule.backend, &rule.metric, backend, quantity);
        self.ignores.iter().find(applying).map(|rule| rule.reason.as_str())
    }

    /// A rule that matches nothing of either side is an error.
    pub(super) fn check_used(&self, base: &Side, head: &Side) -> Result<(), Error> {
        let used = |backend: &Option<String>, metric: &Option<String>| {
            [base, head].iter().flat_map(|side| &side.groups).any(|(name, group)| {
                let of_group = |quantity: &Quantity| group.has(*quantity);
                let mut judged = self.metrics.iter().filter(|quantity| of_group(quantity));
                judged.any(|quantity| applies(backend, metric, name, *quantity))
            })
        };
        let floors = self.floors.iter().map(|rule| ("floor", &rule.backend, &rule.metric));
        let ignores = self.ignores.iter().map(|rule| ("ignore", &rule.backend, &rule.metric));
        match floors.chain(ignores).find(|(_, backend, metric)| !used(backend, metric)) {
            Some((kind, backend, metric)) => Err(Error::UnusedRule { rule: describe(kind, backend, metric) }),
            None => Ok(()),
        }
    }
}

fn describe(kind: &str, backend: &Option<String>, metric: &Option<String>) -> String {
    let word = |pattern: &Option<String>| pattern.clone().unwrap_or_else(|| "*".into());
    format!("{kind} (backend = {:?}, metric = {:?})", word(backend), word(metric))
}

fn applies(backend: &Option<String>, metric: &Option<String>, name: &str, quantity: Quantity) -> bool {
    let fits = |pattern: &Option<String>, text: &str| pattern.as_ref().is_none_or(|p| matches(p, text));
    fits(backend, name) && fits(metric, quantity.name())
}

/// Whether `text` is as `pattern` says, where `*` stands for any number of characters.
pub fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => text.strip_prefix(head).is_some_and(|text| {
            let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.into_iter().any(|at| matches(rest, &text[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text) in
            [("vm:*", "vm:direct"), ("*", ""), ("*-share", "not-ready-share"), ("a", "a"), ("a*c*e", "abcde")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("vm:*", "process"), ("a", "ab"), ("a*c", "abcd"), ("", "a")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn the_first_rule_that_says_something_wins() {
        let rule = |backend: &str, relative, absolute_ns, reason: &str| FloorRule {
            backend: Some(backend.into()),
            metric: None,
            relative,
            absolute_ns,
            absolute_share: None,
            reason: reason.into(),
        };
        let rules = Rules {
            floors: vec![
                rule("vm:*", Some(0.05), None, "interpreted"),
                rule("*", Some(0.02), Some(1e6), "noisy"),
            ],
            ..Rules::default()
        };
        rules.validate().unwrap();
        let vm = rules.floor("vm:direct", Quantity::ReadyFromStarted);
        assert_eq!((vm.relative, vm.absolute, vm.reason.as_str()), (0.05, 1e6, "interpreted"));
        let share = rules.floor("process", Quantity::NotReadyShare);
        assert_eq!((share.relative, share.absolute), (0.02, 0.01));
    }

    #[test]
    fn nonsense_is_named() {
        let toml = |reason: &str, alpha| Rules {
            alpha,
            ignores: vec![IgnoreRule { backend: None, metric: None, reason: reason.into() }],
            ..Rules::default()
        };
        assert!(toml("", 0.01).validate().unwrap_err().contains("reason"));
        assert!(toml("x", f64::NAN).validate().unwrap_err().contains("alpha"));
        assert!(toml("x", 0.01).validate().is_ok());
    }
}
