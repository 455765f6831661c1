//! “Boot storms stress the infrastructure.” Decided by two witnesses: the canary, a small fixed task
//! beside the storm, whose latency is compared with that between storms, and the kernel's own
//! account of waiting (PSI). A scheduler that favours short tasks keeps the canary's median low
//! while everything else queues, so the canary alone acquits nobody. Under an interpreted guest a
//! VM costs more host CPU than it would, so stress by VMs is not admissible there, while its
//! absence is.

use std::collections::BTreeMap;

use super::{Accelerator, Finding, Verdict, Weighed, boots, found, weigh};
use crate::folder::LoadedRun;
use crate::statistics::{Bootstrap, Estimate, storm_median};
use crate::stress::{Measure, by_storm, of_storm};
use crate::summary::Summary;
use crate::sweep;
use crate::text::{percent, ratio};

/// Slowdown of the canary from which on a storm counts as stress: 10 %.
const FLOOR: f64 = 1.1;
/// Share of time in which something waited for a CPU from which on the host is not unstressed.
const WAITING_FLOOR: f64 = 0.1;
/// Fewest storms a verdict rests on.
const FEWEST_STORMS: usize = 5;

/// Storms of one backend that are alike.
struct Alike<'a> {
    backend: &'a str,
    /// What they are, in words.
    words: String,
    /// The canary's slowdown and the share of waiting, one value a storm each.
    slowdown: Vec<f64>,
    waiting: Vec<f64>,
}

pub(super) fn judge(run: &LoadedRun, summary: &Summary, accelerator: Accelerator) -> Finding {
    let mut all = Vec::new();
    let estimate = |storms: &[f64]| {
        let samples: Vec<Vec<f64>> = storms.iter().map(|value| vec![*value]).collect();
        storm_median(&samples, &mut Bootstrap::new(run.run.seed))
    };
    let groups = if run.run.scenario == sweep::SCENARIO { by_size(run) } else { by_backend(run, summary) };
    for alike in &groups {
        let slowdown = estimate(&alike.slowdown);
        let Some(value) = slowdown.value else { continue };
        let interval = match (slowdown.low, slowdown.high) {
            (Some(low), Some(high)) => format!(" (95 % interval {} to {})", ratio(low), ratio(high)),
            _ => String::new(),
        };
        let psi = estimate(&alike.waiting).value;
        let sentence = format!(
            "{}: the canary took {} as long{interval}, {} storms{}",
            alike.words,
            ratio(value),
            alike.slowdown.len(),
            psi.map(|share| format!("; {} of the time something waited for a CPU", percent(share)))
                .unwrap_or_default()
        );
        let waited = psi.is_none_or(|share| share >= WAITING_FLOOR);
        let verdict = || part(&slowdown, alike.slowdown.len(), waited, accelerator);
        all.push(Weighed { sentence, verdict: boots(alike.backend).then(verdict) });
    }
    let plan = |key: &str| run.run.plan.get(key);
    let arrival = plan("arrival").and_then(serde_json::Value::as_str);
    let instances = plan("instances").and_then(serde_json::Value::as_u64);
    let cores = run.run.host.get("cores").and_then(serde_json::Value::as_u64);
    if let (Some(instances), Some(cores @ 1..)) = (instances, cores) {
        let sentence = format!("{:.1} starts per core in a storm", instances as f64 / cores as f64);
        all.push(Weighed { sentence, verdict: None });
    }
    let (mut verdict, evidence) = weigh(all, "no canary beside a storm of booting VMs in this run");
    // Whatever one boot after the other does to its neighbours, it is no storm.
    if arrival == Some("serial") {
        verdict =
            Verdict::Undetermined("these VMs were started one after the other, which is no storm".into());
    }
    let because = match &verdict {
        Verdict::Supported => "a small task beside a storm of booting VMs took longer than in quiet times",
        Verdict::Refuted => {
            "neither a small task beside storms of booting VMs nor the kernel's account of waiting felt them"
        }
        Verdict::Mixed => {
            "one of the two witnesses, a small task and the kernel's account of waiting, felt the storms"
        }
        Verdict::Undetermined(_) => "",
    };
    found("storm-stress", verdict, because, evidence)
}

fn part(slowdown: &Estimate, storms: usize, waited: bool, accelerator: Accelerator) -> Verdict {
    match (slowdown.low, slowdown.high) {
        _ if storms < FEWEST_STORMS => {
            Verdict::Undetermined(format!("{FEWEST_STORMS} storms of VMs are needed, there are {storms}"))
        }
        (Some(low), _) if low > FLOOR => accelerator.admit_against_vms(Verdict::Supported),
        (_, Some(high)) if high < FLOOR && !waited => Verdict::Refuted,
        (_, Some(high)) if high < FLOOR => accelerator.admit_against_vms(Verdict::Mixed),
        _ => Verdict::Undetermined(
            "the interval of the canary's slowdown includes the floor: more storms".into(),
        ),
    }
}

fn by_backend<'a>(run: &'a LoadedRun, summary: &'a Summary) -> Vec<Alike<'a>> {
    let slowdown = by_storm(run, Measure::CanarySlowdown);
    let waiting = by_storm(run, Measure::PsiCpu);
    let of = |all: &BTreeMap<&str, Vec<f64>>, name: &str| all.get(name).cloned().unwrap_or_default();
    let names = summary.backends.iter().map(|backend| backend.backend.as_str());
    names
        .map(|name| Alike {
            backend: name,
            words: name.to_owned(),
            slowdown: of(&slowdown, name),
            waiting: of(&waiting, name),
        })
        .collect()
}

/// The storms of a sweep, each size for itself: one that is felt and one that is not are no average.
fn by_size(run: &LoadedRun) -> Vec<Alike<'_>> {
    let mut sizes: BTreeMap<(&str, u32, u32), Vec<u32>> = BTreeMap::new();
    for storm in run.storms.iter().filter(|storm| !storm.warmup && storm.arrival != "serial") {
        let key = (storm.backend.as_str(), storm.instances, storm.cores.max(1));
        sizes.entry(key).or_default().push(storm.storm);
    }
    sizes
        .into_iter()
        .map(|((backend, instances, cores), storms)| {
            let of = |measure| storms.iter().filter_map(|storm| of_storm(run, measure, *storm)).collect();
            let per_core = f64::from(instances) / f64::from(cores);
            Alike {
                backend,
                words: format!("{backend}, {per_core:.1} starts per core"),
                slowdown: of(Measure::CanarySlowdown),
                waiting: of(Measure::PsiCpu),
            }
        })
        .collect()
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
    fn sizes_of_a_sweep_are_judged_each_for_itself() {
        let row = |storm: u32, instances| crate::record::Storm {
            storm,
            backend: "vm:direct".into(),
            warmup: false,
            instances,
            arrival: "burst".into(),
            cores: 2,
            images: "shared".into(),
            began_ns: 0,
            ended_ns: 1,
        };
        let sample = |storm: Option<u32>, canary: f64| HostSample {
            storm,
            canary_p50_ns: Some((canary * 1e6) as u64),
            psi_cpu_some_ratio: Some(0.0),
            ..HostSample::default()
        };
        let storms: Vec<_> = (0..12).map(|storm| row(storm, if storm < 6 { 2 } else { 32 })).collect();
        let mut host = vec![sample(None, 1.0)];
        host.extend((0..12).map(|storm| sample(Some(storm), if storm < 6 { 1.0 } else { 3.0 })));
        let run = Run { backends: vec!["vm:direct".into()], ..Run::new("x", sweep::SCENARIO) };
        let loaded = LoadedRun { host, storms, ..LoadedRun::without_rows(run) };
        let finding = judge(&loaded, &summarize(&loaded), Accelerator::Hardware);
        assert_eq!(finding.verdict, Verdict::Mixed, "{finding:?}");
        assert!(
            finding.evidence.iter().any(|one| one.contains("16.0 starts per core") && one.contains("3.00×"))
        );
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
