//! “Containers have no boot time.” Decided by a container's start → ready over that of a bare
//! process. No accelerator is involved, so the verdict is admissible on any host.

use super::{Finding, Verdict, Weighed, found, is_container, weigh};
use crate::statistics::Estimate;
use crate::summary::{Metric, Summary};
use crate::text::{duration, ratio};

/// Fewest storms a side that a verdict rests on (METHOD, statistics).
const FEWEST_STORMS: usize = 5;

pub(super) fn judge(summary: &Summary) -> Finding {
    let mut all = Vec::new();
    let floor_storms = summary
        .backends
        .iter()
        .find(|backend| backend.backend == "process")
        .map_or(0, |backend| backend.storms);
    for backend in summary.backends.iter().filter(|backend| is_container(&backend.backend)) {
        let Some(metric) = backend.metrics.get(&Metric::ReadyFromStarted) else {
            let sentence = format!("{}: not one attempt got ready", backend.backend);
            all.push(Weighed { sentence, verdict: None });
            continue;
        };
        let above = &metric.above_process;
        all.push(Weighed {
            sentence: sentence(&backend.backend, above, &metric.times_process),
            verdict: Some(part(above, metric.n_storms.min(floor_storms))),
        });
    }
    let (verdict, evidence) = weigh(all, "no container got ready in this run");
    let because = match &verdict {
        Verdict::Refuted => {
            "every container of which these storms can tell took longer to its first instruction than a bare process"
        }
        Verdict::Supported => {
            "no container of which these storms can tell took longer to its first instruction than a bare process"
        }
        Verdict::Mixed => {
            "some containers took longer than a bare process to their first instruction, others did not"
        }
        Verdict::Undetermined(_) => "",
    };
    found("no-boot-time", verdict, because, evidence)
}

fn part(above: &Estimate, storms: usize) -> Verdict {
    if storms < FEWEST_STORMS {
        return Verdict::Undetermined(format!(
            "{FEWEST_STORMS} storms each of process and of a container are needed, there are {storms}"
        ));
    }
    match (above.low, above.high) {
        (Some(low), _) if low > 0.0 => Verdict::Refuted,
        (Some(_), Some(high)) if high <= 0.0 => Verdict::Supported,
        (Some(_), Some(_)) => {
            Verdict::Undetermined("the interval of the difference to process includes 0: more storms".into())
        }
        _ => Verdict::Undetermined(above.reason.clone()),
    }
}

fn sentence(backend: &str, above: &Estimate, times: &Estimate) -> String {
    match (above.value, above.low, above.high) {
        (Some(value), Some(low), Some(high)) => format!(
            "{backend}: {} more than process (95 % interval {} to {}){}",
            duration(value),
            duration(low),
            duration(high),
            times.value.map(|times| format!(", {} as long", ratio(times))).unwrap_or_default()
        ),
        (Some(value), ..) => format!("{backend}: {} more than process ({})", duration(value), above.reason),
        _ => format!("{backend}: {}", above.reason),
    }
}
