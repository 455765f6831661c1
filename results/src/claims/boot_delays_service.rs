//! “The boot of a VM delays the services inside it.” Decided by the share of start → serving that
//! passes before the workload's first instruction. Under an interpreted guest everything inside is
//! slower, but the boot executes more of it than the service does, so a large share of boot is not
//! admissible there, while a small one is.

use std::collections::BTreeMap;

use super::{Accelerator, Finding, Verdict, found, is_vm};
use crate::statistics::{Bootstrap, storm_median};
use crate::summary::{Metric, Storms};
use crate::text::percent;

/// Fewest storms a verdict rests on.
const FEWEST_STORMS: usize = 5;

pub(super) fn judge(seed: u64, storms: &BTreeMap<&str, Storms>, accelerator: Accelerator) -> Finding {
    let (mut parts, mut evidence) = (Vec::new(), Vec::new());
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
        evidence.push(format!(
            "{backend}: {} of the time until it served passed before the service began{interval}, {} storms",
            percent(value),
            shares.len()
        ));
        if is_vm(backend) {
            parts.push(match (share.low, share.high) {
                _ if shares.len() < FEWEST_STORMS => Verdict::Undetermined(format!(
                    "{FEWEST_STORMS} storms of VMs that serve are needed, there are {}",
                    shares.len()
                )),
                (Some(low), _) if low > 0.5 => accelerator.admit_against_vms(Verdict::Supported),
                (_, Some(high)) if high < 0.5 => Verdict::Refuted,
                _ => Verdict::Undetermined("the interval of the share includes one half: more storms".into()),
            });
        }
    }
    let verdict = match parts.is_empty() {
        true => Verdict::Undetermined("no VM served in this run (--workload http)".into()),
        false => Verdict::combine(parts),
    };
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
