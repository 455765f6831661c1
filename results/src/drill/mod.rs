//! What a failure costs: time until replacements serve, and requests that had no answer.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::folder::LoadedRun;
use crate::record::{Attempt, Drill, Outcome};
use crate::statistics::{Estimate, mean};

/// The drills of one backend and mode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Recovery {
    /// Backend.
    pub backend: String,
    /// `all` died at once, or `rolling`: one after the other.
    pub mode: String,
    /// Drills held.
    pub drills: usize,
    /// Instances in each.
    pub instances: u32,
    /// Replacements that never served, over all drills.
    pub missing: usize,
    /// From the first kill until this share of the replacements serve, in nanoseconds; absent where
    /// in any drill that many never did.
    pub half_ns: Estimate,
    /// As `half_ns`, for nine tenths.
    pub most_ns: Estimate,
    /// As `half_ns`, for all.
    pub all_ns: Estimate,
    /// From the first kill until the last of the old instances was gone.
    pub gone_ns: Estimate,
    /// Requests without an answer in each drill, counted by the client.
    pub lost: Estimate,
    /// Requests made and lost over all drills.
    pub requests_total: u64,
    /// Those of them without an answer.
    pub lost_total: u64,
}

/// Sums up `drills.csv`; empty where there is none.
pub fn summarize(run: &LoadedRun) -> Vec<Recovery> {
    let mut kinds: BTreeMap<(usize, &str), Vec<&Drill>> = BTreeMap::new();
    for drill in &run.drills {
        let backend = run.run.backends.iter().position(|name| *name == drill.backend);
        kinds.entry((backend.unwrap_or(usize::MAX), &drill.mode)).or_default().push(drill);
    }
    kinds.into_values().filter_map(|drills| recovery(run, &drills)).collect()
}

fn recovery(run: &LoadedRun, drills: &[&Drill]) -> Option<Recovery> {
    let first = drills.first()?;
    let share = |share: f64| {
        let times: Option<Vec<f64>> = drills.iter().map(|drill| served_ns(run, drill, share)).collect();
        match times {
            Some(times) => mean(&times),
            None => Estimate::none(format!("in a drill fewer than {:.0} % ever served again", share * 100.0)),
        }
    };
    let lost: Vec<f64> = drills.iter().map(|drill| drill.lost as f64).collect();
    let gone: Vec<f64> = drills.iter().map(|drill| (drill.gone_at_ns - drill.failed_at_ns) as f64).collect();
    Some(Recovery {
        backend: first.backend.clone(),
        mode: first.mode.clone(),
        drills: drills.len(),
        instances: first.instances,
        missing: drills
            .iter()
            .map(|drill| drill.instances as usize - served(run, drill).len().min(drill.instances as usize))
            .sum(),
        half_ns: share(0.5),
        most_ns: share(0.9),
        all_ns: share(1.0),
        gone_ns: mean(&gone),
        lost: mean(&lost),
        requests_total: drills.iter().map(|drill| drill.requests).sum(),
        lost_total: drills.iter().map(|drill| drill.lost).sum(),
    })
}

/// When each replacement served, from the first kill, in order.
pub fn served(run: &LoadedRun, drill: &Drill) -> Vec<f64> {
    let again = |row: &&Attempt| row.storm == drill.storm && row.backend == drill.backend;
    let times = run.attempts.iter().filter(again).filter(|row| row.outcome == Outcome::Ready);
    let times = times.filter_map(|row| row.serving_ns.or(row.ready_ns)?.checked_sub(drill.failed_at_ns));
    crate::statistics::sorted(times.map(|ns| ns as f64).collect())
}

/// When `share` of the replacements served.
fn served_ns(run: &LoadedRun, drill: &Drill, share: f64) -> Option<f64> {
    let wanted = (share * f64::from(drill.instances)).ceil().max(1.0) as usize;
    served(run, drill).get(wanted - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Run;

    fn attempt(storm: u32, instance: u32, serving_ns: Option<u64>) -> Attempt {
        Attempt {
            storm,
            backend: "container".into(),
            instance,
            config: String::new(),
            scheduled_ns: 100,
            started_ns: Some(100),
            ready_ns: serving_ns,
            serving_ns,
            stopped_ns: None,
            outcome: if serving_ns.is_some() { Outcome::Ready } else { Outcome::Timeout },
            error: String::new(),
        }
    }

    fn drill(storm: u32, lost: u64) -> Drill {
        Drill {
            storm,
            before: storm - 1,
            backend: "container".into(),
            mode: "all".into(),
            instances: 10,
            failed_at_ns: 1_000,
            gone_at_ns: 1_500,
            requests: 100,
            lost,
            last_lost_ns: None,
            slowest_answer_ns: None,
        }
    }

    #[test]
    fn times_are_from_the_failure_and_one_that_never_served_takes_the_last_share_away() {
        let mut attempts: Vec<Attempt> =
            (0..10).map(|i| attempt(1, i, Some(2_000 + 100 * u64::from(i)))).collect();
        attempts.extend((0..9).map(|i| attempt(3, i, Some(2_000 + 100 * u64::from(i)))));
        attempts.push(attempt(3, 9, None));
        // Those that died are no replacements.
        attempts.extend((0..10).map(|i| attempt(0, i, Some(500))));
        let run = Run { backends: vec!["container".into()], ..Run::new("x", "node-failure") };
        let drills = vec![drill(1, 4), drill(3, 6)];
        let all = summarize(&LoadedRun { attempts, drills, ..LoadedRun::without_rows(run) });
        assert_eq!(all.len(), 1);
        let one = &all[0];
        assert_eq!((one.drills, one.missing), (2, 1));
        assert_eq!(one.half_ns.value, Some(1_400.0));
        assert_eq!(one.most_ns.value, Some(1_800.0));
        assert_eq!(one.all_ns.value, None);
        assert!(one.all_ns.reason.contains("100 %"));
        assert_eq!((one.lost.value, one.lost_total, one.requests_total), (Some(5.0), 10, 200));
        assert_eq!(one.gone_ns.value, Some(500.0));
    }
}
