//! “The boot of a VM delays the services inside it.” Decided by the share of start → serving that
//! passes before the workload's first instruction. Under an interpreted guest everything inside is
//! slower, but the boot executes more of it than the service does, so a large share of boot is not
//! admissible there, while a small one is.

use std::collections::BTreeMap;

use super::{Accelerator, Finding, Verdict, Weighed, boots, found, weigh};
use crate::statistics::{Bootstrap, storm_median};
use crate::summary::{Metric, Storms};
use crate::text::percent;

/// Fewest storms a verdict rests on.
const FEWEST_STORMS: usize = 5;

pub(super) fn judge(seed: u64, storms: &BTreeMap<&str, Storms>, accelerator: Accelerator) -> Finding {
    let mut all = Vec::new();
    for (backend, of_backend) in storms.iter().filter(|(backend, _)| **backend != "vm:floor") {
        let shares: Vec<Vec<f64>> = of_backend
            .counted
            .values()
            .map(|storm| {
                let of_attempt = |one: &&crate::record::Attempt| {
                    let serving = Metric::ServingFromStarted.of(one)?;
                    Some(Metric::ReadyFromStarted.of(one)? as f64 / serving.max(1) as f64)
                };
                storm.iter().filter_map(of_attempt).collect()
            })
            .filter(|storm: &Vec<f64>| !storm.is_empty())
            .collect();
        let share = storm_median(&shares, &mut Bootstrap::new(seed));
        let Some(value) = share.value else { continue };
        let interval = match (share.low, share.high) {
            (Some(low), Some(high)) => format!(" (95 % interval {} to {})", percent(low), percent(high)),
            _ => String::new(),
        };
        let sentence = format!(
            "{backend}: {} of the time until it served passed before the service began{interval}, {} storms",
            percent(value),
            shares.len()
        );
        let verdict = || match (share.low, share.high) {
            _ if shares.len() < FEWEST_STORMS => Verdict::Undetermined(format!(
                "{FEWEST_STORMS} storms of VMs that serve are needed, there are {}",
                shares.len()
            )),
            (Some(low), _) if low > 0.5 => accelerator.admit_against_vms(Verdict::Supported),
            (_, Some(high)) if high < 0.5 => Verdict::Refuted,
            _ => Verdict::Undetermined("the interval of the share includes one half: more storms".into()),
        };
        // What does not boot says nothing of what a boot delays.
        all.push(Weighed { sentence, verdict: boots(backend).then(verdict) });
    }
    let (verdict, evidence) = weigh(all, "no VM that boots served in this run (--workload http)");
    let because = match &verdict {
        Verdict::Supported => "most of what passed until a VM served passed before its service had begun",
        Verdict::Refuted => {
            "less than half of what passed until a VM served passed before its service had begun"
        }
        Verdict::Mixed => {
            "in some VMs most of the time passed before the service had begun, in others less than half"
        }
        Verdict::Undetermined(_) => "",
    };
    found("boot-delays-service", verdict, because, evidence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::LoadedRun;
    use crate::record::{Attempt, Outcome, Run};
    use crate::summary::storms_of;

    fn verdict(backend: &str, ready_ns: u64, accelerator: Accelerator) -> Verdict {
        let attempt = |storm: u32| Attempt {
            storm,
            backend: backend.into(),
            instance: 0,
            config: String::new(),
            scheduled_ns: 0,
            started_ns: Some(0),
            ready_ns: Some(ready_ns + u64::from(storm)),
            serving_ns: Some(1_000),
            stopped_ns: Some(2_000),
            outcome: Outcome::Ready,
            error: String::new(),
        };
        let run = Run { backends: vec![backend.into()], complete: true, ..Run::new("x", "boot-storm") };
        let attempts = (0..6).map(attempt).collect();
        let loaded = LoadedRun { attempts, ..LoadedRun::without_rows(run) };
        judge(1, &storms_of(&loaded), accelerator).verdict
    }

    #[test]
    fn only_what_boots_tells_and_a_large_share_only_with_hardware() {
        assert_eq!(verdict("vm:direct", 900, Accelerator::Hardware), Verdict::Supported);
        assert!(matches!(verdict("vm:direct", 900, Accelerator::Interpreted), Verdict::Undetermined(_)));
        assert_eq!(verdict("vm:direct", 100, Accelerator::Interpreted), Verdict::Refuted);
        // A copy of a running machine that serves late has not been delayed by a boot, nor spared one.
        for backend in ["vm:restore", "vm:floor", "container"] {
            assert!(
                matches!(verdict(backend, 100, Accelerator::Hardware), Verdict::Undetermined(why) if why.contains("boots"))
            );
        }
    }
}
