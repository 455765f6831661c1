//! Which checks notice that a mechanism is missing: the suite's own score.

use std::collections::BTreeMap;

use crate::record::{Check, CheckVerdict};

/// How the containers that lack something are called.
const WITHOUT: &str = "container without ";

/// Who noticed that one mechanism was missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Noticed {
    /// Checks that leak as soon as it alone is missing.
    pub alone: Vec<String>,
    /// Checks that leak where it is missing beside others that hide it, and not where only those are.
    pub beside: Vec<String>,
}

/// By mechanism; empty where nothing was left out in this run.
pub fn noticed(rows: &[Check]) -> BTreeMap<String, Noticed> {
    let mut leaks: BTreeMap<(Vec<&str>, &str), bool> = BTreeMap::new();
    for row in rows {
        let lacks = match row.backend.strip_prefix(WITHOUT) {
            Some(lacks) => sorted(lacks.split(", ").collect()),
            None if row.backend == "container" => Vec::new(),
            None => continue,
        };
        leaks.insert((lacks, row.check.as_str()), row.verdict == CheckVerdict::Leak);
    }
    let mut noticed: BTreeMap<String, Noticed> = BTreeMap::new();
    for ((lacks, check), leaks_here) in &leaks {
        for (at, mechanism) in lacks.iter().enumerate() {
            let entry = noticed.entry((*mechanism).to_owned()).or_default();
            let mut others = lacks.clone();
            others.remove(at);
            let is_noticed = *leaks_here && leaks.get(&(others, check)) == Some(&false);
            match lacks.len() {
                1 if is_noticed => entry.alone.push((*check).to_owned()),
                _ if is_noticed && !entry.beside.iter().any(|one| one == check) => {
                    entry.beside.push((*check).to_owned());
                }
                _ => {}
            }
        }
    }
    noticed
}

/// The table in Markdown; empty where nothing was left out.
pub fn markdown(rows: &[Check]) -> String {
    let noticed = noticed(rows);
    if noticed.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "| mechanism | checks that leak without it | … where what hides it is missing too |\n|---|---|---|\n",
    );
    let list = |checks: &[String]| if checks.is_empty() { "–".to_owned() } else { checks.join(", ") };
    for (mechanism, one) in &noticed {
        text.push_str(&format!("| {mechanism} | {} | {} |\n", list(&one.alone), list(&one.beside)));
    }
    text
}

fn sorted(mut names: Vec<&str>) -> Vec<&str> {
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(backend: &str, check: &str, verdict: CheckVerdict) -> Check {
        Check::example(check, backend, verdict)
    }

    #[test]
    fn what_hides_behind_another_is_noticed_beside_it() {
        use CheckVerdict::{Leak, Pass};
        let rows = [
            row("container", "x", Pass),
            row("container without a", "x", Pass),
            row("container without b", "x", Pass),
            row("container without b, a", "x", Leak),
            row("container", "y", Pass),
            row("container without a", "y", Leak),
            row("container without c", "y", Pass),
        ];
        let noticed = noticed(&rows);
        assert_eq!(noticed["a"], Noticed { alone: vec!["y".into()], beside: vec!["x".into()] });
        assert_eq!(noticed["b"].beside, ["x"]);
        assert_eq!(noticed["c"], Noticed::default());
        assert!(markdown(&rows).contains("| c | – | – |"));
    }
}
