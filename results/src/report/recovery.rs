//! After a failure: how long until all serve again, and what was lost meanwhile.

use super::page::table;
use crate::statistics::Estimate;
use crate::summary::Summary;
use crate::text::duration;

const HEADS: [&str; 10] = [
    "backend",
    "dies",
    "drills",
    "instances",
    "half serve",
    "90 % serve",
    "all serve",
    "old ones gone",
    "requests lost a drill",
    "lost of all",
];

/// A row a backend and mode; nothing where nothing was killed.
pub(super) fn recoveries(summary: &Summary) -> String {
    if summary.recoveries.is_empty() {
        return String::new();
    }
    let rows = summary.recoveries.iter().map(|one| {
        vec![
            one.backend.clone(),
            one.mode.clone(),
            one.drills.to_string(),
            one.instances.to_string(),
            estimate(&one.half_ns, duration),
            estimate(&one.most_ns, duration),
            estimate(&one.all_ns, duration),
            estimate(&one.gone_ns, duration),
            estimate(&one.lost, |lost| format!("{lost:.1}")),
            format!("{} of {}", one.lost_total, one.requests_total),
        ]
    });
    table(&HEADS, rows)
        + "<p class=\"dim\">From the first kill until the replacements serve, mean over drills with Student's 95 % \
           interval. The old instances are taken down by the same host and their end is inside. Requests are lost where \
           the client had no answer, as it counted them.</p>\n"
}

/// `value [low, high]`, as far as there are any.
pub(super) fn estimate(estimate: &Estimate, unit: fn(f64) -> String) -> String {
    match (estimate.value, estimate.low, estimate.high) {
        (Some(value), Some(low), Some(high)) => format!("{} [{}, {}]", unit(value), unit(low), unit(high)),
        (Some(value), ..) => unit(value),
        _ => "–".into(),
    }
}
