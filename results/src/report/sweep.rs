//! Storms by size: the curve by starts per core, and what a model says of other numbers of cores.

use std::fmt::Write;

use super::page::table;
use super::recovery::estimate;
use crate::summary::Summary;
use crate::text::{duration, escape, percent, ratio};

const HEADS: [&str; 12] = [
    "backend",
    "cores",
    "arrival",
    "images",
    "storm of",
    "starts per core",
    "due → there (median)",
    "start → there (median)",
    "a second",
    "missed",
    "canary",
    "waiting for CPU",
];

/// A row a storm size, then the models in words; nothing where no sizes were swept.
pub(super) fn sweep(summary: &Summary) -> String {
    if summary.sweep.is_empty() {
        return String::new();
    }
    let dash = |text: Option<String>| text.unwrap_or_else(|| "–".into());
    let mut rows = Vec::new();
    for curve in &summary.sweep {
        for point in &curve.points {
            let cells = [
                curve.backend.clone(),
                curve.cores.to_string(),
                curve.arrival.clone(),
                curve.images.clone(),
                point.instances.to_string(),
                format!("{:.1}", point.starts_per_core),
                estimate(&point.from_due_ns, duration),
                estimate(&point.from_started_ns, duration),
                dash(point.per_s.value.map(|per_s| format!("{per_s:.1}"))),
                format!("{} of {}", point.missed, point.attempts),
                dash(point.canary_slowdown.map(ratio)),
                dash(point.psi_cpu_ratio.map(percent)),
            ];
            rows.push(cells.to_vec());
        }
    }
    let mut html = table(&HEADS, rows);
    for model in summary.sweep_models.iter().filter(|model| !model.predicted_ns.is_empty()) {
        let predicted: Vec<String> =
            model.predicted_ns.iter().map(|(cores, ns)| format!("{cores} cores {}", duration(*ns))).collect();
        let error = match model.held_out_error_ratio {
            Some(error) => format!("its median error on held-out points is {}", percent(error)),
            None => "it could not be checked: only one number of cores was measured".into(),
        };
        let _ = writeln!(
            html,
            "<p class=\"dim\">Model, not measured: {}, a storm of {} by starts per core alone: {}; {error}.</p>",
            escape(&model.backend),
            model.instances,
            escape(&predicted.join(", "))
        );
    }
    html
}
