//! What a metric, a claim or a verdict is, and how it is computed.

use crate::claims::CLAIMS;
use crate::compare::{Quantity, Verdict};
use crate::density::Method;

/// Everything that can be explained.
pub fn names() -> Vec<String> {
    let quantities = Quantity::ALL.iter().map(|quantity| quantity.name().to_owned());
    let verdicts = VERDICTS.iter().map(|(verdict, _)| verdict.word().to_owned());
    let notions = NOTIONS.iter().map(|(name, _)| (*name).to_owned());
    let methods = Method::ALL.iter().filter_map(|method| method_name(*method));
    let claims = CLAIMS.iter().map(|claim| claim.id.to_owned());
    quantities.chain(notions).chain(verdicts).chain(methods).chain(claims).collect()
}

/// The explanation of `name`, in lines.
pub fn explain(name: &str) -> Option<String> {
    if let Some(quantity) = Quantity::from_name(name) {
        return Some(format!("{name}: {}\n\n{}", quantity.words(), of_quantity(quantity)));
    }
    if let Some(claim) = crate::claims::claim(name) {
        let chart = claim.chart.map(|chart| format!("\nchart        charts/{chart}.svg")).unwrap_or_default();
        return Some(format!(
            "{name}: “{}”\n\nhypothesis   {}\nmeasured     {}\ndecided      {}\nflips        {}\nevidence     {}\nscenarios    bench run {}{chart}",
            claim.statement,
            claim.hypothesis,
            claim.metric,
            claim.decision,
            claim.flips,
            claim.admissible,
            claim.scenarios.join(", bench run ")
        ));
    }
    if let Some(method) = Method::ALL.into_iter().find(|method| method_name(*method).as_deref() == Some(name))
    {
        return Some(format!(
            "{name}: {}\n\nOne way of accounting for memory. The price of one more instance is the slope of a straight \
             line (least squares) through growing numbers of instances, mean over repetitions with Student's 95 % \
             interval. Methods count different things and are not to be added up.",
            method.words()
        ));
    }
    let notions = NOTIONS.iter().map(|(notion, text)| (*notion, *text));
    let verdicts = VERDICTS.iter().map(|(verdict, text)| (verdict.word(), *text));
    notions.chain(verdicts).find(|(notion, _)| *notion == name).map(|(_, text)| format!("{name}\n\n{text}"))
}

fn method_name(method: Method) -> Option<String> {
    serde_json::to_value(method).ok()?.as_str().map(str::to_owned)
}

fn of_quantity(quantity: Quantity) -> String {
    let what = match quantity {
        Quantity::ReadyFromScheduled => {
            "From the instant an attempt was due to the first instruction of the workload: what a user waits. A launcher \
             that falls behind shows here."
        }
        Quantity::ReadyFromStarted => {
            "From the instant the launcher began to the first instruction of the workload: what the backend takes."
        }
        Quantity::ServingFromScheduled => {
            "From the instant an attempt was due to the workload's first answer, end to end."
        }
        Quantity::ServingFromStarted => {
            "From the instant the launcher began to the workload's first answer, end to end."
        }
        Quantity::NotReadyShare => {
            "Attempts that failed or timed out, as a share of all. They rank above all others in every latency \
             (right-censored), and are counted here on their own."
        }
    };
    let how = match quantity.metric() {
        Some(_) => {
            "One value a storm: the median of its attempts. The figure is the median over storms, its 95 % interval \
             from resampling storms, then the attempts within each (bootstrap). Compared by an exact permutation test on \
             the storms' ranks; the change is the median of all pairwise ratios (Hodges–Lehmann)."
        }
        None => {
            "One value a storm. Compared by an exact permutation test on ranks and the difference of means with its \
             bootstrap interval over storms."
        }
    };
    format!("{what}\n\n{how}\nNanoseconds of the host's CLOCK_MONOTONIC; a guest's clock is never used.")
}

const NOTIONS: [(&str, &str); 7] = [
    (
        "storm",
        "A set of attempts scheduled together. Instances of one storm share what the host did to it, so the storm, not the \
         instance, is what inference rests on: pooling instances turns 1 % false alarms into 10 % and more.",
    ),
    (
        "p50",
        "The median over all attempts, with the distribution-free 95 % interval between two order statistics (Hahn & \
         Meeker 1991, §5.2). Percentiles are given where the number of attempts supports that interval: p90 36, p95 72, p99 \
         368, p99.9 3,688.",
    ),
    (
        "canary",
        "A small fixed task that runs beside every storm. Its latency as a multiple of that between storms says what \
         neighbours feel.",
    ),
    (
        "floor",
        "What a change must exceed to count: relative and absolute, set in bench.toml with a reason. bench aa measures what \
         this host calls a change where there is none and proposes them.",
    ),
    (
        "fence",
        "Q1 − 3·IQR and Q3 + 3·IQR of the last 30 comparable runs (Tukey 1977): a run beyond is odd. Labelled, never \
         dropped.",
    ),
    (
        "change-point",
        "Where a series of runs has a new level: E-divisive (Matteson & James 2014) with Student's t-test, weak points \
         merged away (Fleming et al. 2023). Deterministic.",
    ),
    (
        "fingerprint",
        "What must be the same on both sides of a comparison: processor, cores, memory, host kernel, governor, cgroup mode \
         for containers, accelerator and QEMU for VMs, and what the plan measures. What differs is named, and the verdict \
         is incomparable.",
    ),
];

const VERDICTS: [(Verdict, &str); 5] = [
    (
        Verdict::Regressed,
        "Worse: p below α (adjusted for the number of metrics, Holm), the change above its relative and its absolute floor, \
         and the 95 % interval of the ratio beyond the floor. Exit code 10.",
    ),
    (Verdict::Improved, "Better, by the same rules as regressed: p, both floors and the interval."),
    (
        Verdict::Unchanged,
        "The 95 % interval of the change lies within the floors: shown to be no change, not merely not shown to be one.",
    ),
    (
        Verdict::Inconclusive,
        "These storms cannot tell: too few, or an interval that is neither beyond the floor nor within it. The sentence \
         beside it says how many would. Exit code 12 with --strict.",
    ),
    (
        Verdict::Incomparable,
        "The two sides are not of the same thing: see fingerprint. Exit code 13 with --strict.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_has_a_name_has_an_explanation() {
        let names = names();
        for name in &names {
            let text = explain(name).unwrap_or_else(|| panic!("{name} is not explained"));
            assert!(text.starts_with(name.as_str()) && text.len() > 80, "{text}");
        }
        assert!(names.len() > 40);
        assert_eq!(explain("nonsense"), None);
    }
}
