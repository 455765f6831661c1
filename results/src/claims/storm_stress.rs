//! “Boot storms stress the infrastructure.” Decided by two witnesses: the canary, a small fixed task
//! beside the storm, whose latency is compared with that between storms, and the kernel's own
//! account of waiting (PSI). A scheduler that favours short tasks keeps the canary's median low
//! while everything else queues, so the canary alone acquits nobody. Under an interpreted guest a
//! VM costs more host CPU than it would, so stress by VMs is not admissible there, while its
//! absence is.

use super::{Accelerator, Finding, Verdict, is_vm};
use crate::folder::LoadedRun;
use crate::statistics::{Bootstrap, storm_median};
use crate::stress::{Measure, by_storm};
use crate::summary::Summary;
use crate::text::{percent, ratio};

/// Slowdown of the canary from which on a storm counts as stress: 10 %.
const FLOOR: f64 = 1.1;
/// Share of time in which something waited for a CPU from which on the host is not unstressed.
const WAITING_FLOOR: f64 = 0.1;
/// Fewest storms a verdict rests on.
const FEWEST_STORMS: usize = 5;

/// Whether a backend's VMs boot: a copy of a running machine and a bare hypervisor do not.
fn boots(backend: &str) -> bool {
    is_vm(backend) && !matches!(backend, "vm:restore" | "vm:floor")
}

pub(super) fn judge(run: &LoadedRun, summary: &Summary, accelerator: Accelerator) -> Finding {
    let slowdown = by_storm(run, Measure::CanarySlowdown);
    let waiting = by_storm(run, Measure::PsiCpu);
    let mut evidence = Vec::new();
    let mut parts = Vec::new();
    for backend in &summary.backends {
        let name = backend.backend.as_str();
        let Some(storms) = slowdown.get(name) else { continue };
        let samples: Vec<Vec<f64>> = storms.iter().map(|value| vec![*value]).collect();
        let estimate = storm_median(&samples, &mut Bootstrap::new(run.run.seed));
        let psi = waiting.get(name).and_then(|storms| {
            let samples: Vec<Vec<f64>> = storms.iter().map(|value| vec![*value]).collect();
            storm_median(&samples, &mut Bootstrap::new(run.run.seed)).value
        });
        let Some(value) = estimate.value else { continue };
        let interval = match (estimate.low, estimate.high) {
            (Some(low), Some(high)) => format!(" (95 % interval {} to {})", ratio(low), ratio(high)),
            _ => String::new(),
        };
        let waited = psi.is_none_or(|share| share >= WAITING_FLOOR);
        let psi = psi.map(|share| format!("; {} of the time something waited for a CPU", percent(share)));
        evidence.push(format!(
            "{name}: the canary took {} as long{interval}, {} storms{}",
            ratio(value),
            storms.len(),
            psi.unwrap_or_default()
        ));
        if boots(name) {
            parts.push(match (estimate.low, estimate.high) {
                _ if storms.len() < FEWEST_STORMS => Verdict::Undetermined(format!(
                    "{FEWEST_STORMS} storms of VMs are needed, there are {}",
                    storms.len()
                )),
                (Some(low), _) if low > FLOOR => accelerator.admit_against_vms(Verdict::Supported),
                (_, Some(high)) if high < FLOOR && !waited => Verdict::Refuted,
                (_, Some(high)) if high < FLOOR => accelerator.admit_against_vms(Verdict::Mixed),
                _ => Verdict::Undetermined(
                    "the interval of the canary's slowdown includes the floor: more storms".into(),
                ),
            });
        }
    }
    let arrival = run.run.plan.get("arrival").and_then(serde_json::Value::as_str);
    let instances = run.run.plan.get("instances").and_then(serde_json::Value::as_u64);
    let cores = run.run.host.get("cores").and_then(serde_json::Value::as_u64);
    if let (Some(instances), Some(cores @ 1..)) = (instances, cores) {
        evidence.push(format!("{:.1} starts per core in a storm", instances as f64 / cores as f64));
    }
    Finding {
        id: "storm-stress".into(),
        statement: "boot storms of VMs stress the infrastructure".into(),
        verdict: match parts.is_empty() {
            // Whatever one boot after the other does to its neighbours, it is no storm.
            _ if arrival == Some("serial") => {
                Verdict::Undetermined("these VMs were started one after the other, which is no storm".into())
            }
            true => Verdict::Undetermined("no canary beside a storm of booting VMs in this run".into()),
            false => Verdict::combine(parts),
        },
        evidence,
        definition: format!(
            "stress means that the median latency of the canary's task during the storms is above {} of \
             that between storms, with its whole 95 % interval, at this storm size; no stress means that it is \
             below and that something waited for a CPU less than {} of the time (mixed where only one says so)",
            ratio(FLOOR),
            percent(WAITING_FLOOR)
        ),
        flips: "few starts per core may not be felt where many are: a sweep of the storm size decides, and \
                the same slowdown by storms of containers would make it no matter of VMs"
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{HostSample, Run};
    use crate::summary::summarize;

    /// Six storms of `backend` during which the canary took `slowdown` times as long and PSI was `waiting`.
    fn verdict(backend: &str, arrival: &str, slowdown: f64, waiting: f64) -> Verdict {
        let sample = |storm, canary: f64, psi| HostSample {
            storm,
            backend: backend.into(),
            canary_p50_ns: Some((canary * 1e6) as u64),
            psi_cpu_some_ratio: Some(psi),
            ..HostSample::default()
        };
        let mut host = vec![sample(None, 1.0, 0.0)];
        host.extend((0..6).map(|storm| sample(Some(storm), slowdown, waiting)));
        let run = Run {
            backends: vec![backend.into()],
            plan: serde_json::json!({ "instances": 1, "arrival": arrival }),
            host: [("accelerator".to_owned(), "kvm".into())].into(),
            ..Run::new("x", "boot-storm")
        };
        let attempts = (0..6).map(|storm| attempt(storm, backend)).collect();
        let loaded = LoadedRun { host, attempts, ..LoadedRun::without_rows(run) };
        let summary = summarize(&loaded);
        judge(&loaded, &summary, Accelerator::Hardware).verdict
    }

    fn attempt(storm: u32, backend: &str) -> crate::record::Attempt {
        crate::record::Attempt {
            storm,
            backend: backend.into(),
            instance: 0,
            config: String::new(),
            scheduled_ns: 1,
            started_ns: Some(1),
            ready_ns: Some(2),
            serving_ns: None,
            stopped_ns: Some(3),
            outcome: crate::record::Outcome::Ready,
            error: String::new(),
        }
    }

    #[test]
    fn both_witnesses_must_agree_that_there_was_no_stress() {
        assert_eq!(verdict("vm:direct", "burst", 2.0, 0.9), Verdict::Supported);
        assert_eq!(verdict("vm:direct", "burst", 1.0, 0.0), Verdict::Refuted);
        assert_eq!(verdict("vm:direct", "burst", 1.0, 0.9), Verdict::Mixed);
    }

    #[test]
    fn one_after_the_other_is_no_storm_and_what_does_not_boot_is_no_boot_storm() {
        assert!(
            matches!(verdict("vm:direct", "serial", 1.0, 0.0), Verdict::Undetermined(why) if why.contains("no storm"))
        );
        assert!(
            matches!(verdict("vm:restore", "burst", 1.0, 0.0), Verdict::Undetermined(why) if why.contains("booting"))
        );
        assert!(matches!(verdict("vm:floor", "burst", 3.0, 0.9), Verdict::Undetermined(_)));
    }
}
