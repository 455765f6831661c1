//! Latency against starts per core, both on log axes, with intervals and knees.

use plotters::prelude::*;

use super::plane::{Axis, Entry, height, plane};
use super::{Chart, colour, picture, short};
use crate::Error;
use crate::sweep::{Curve, Model};
use crate::text::{duration, percent};

const NAME: &str = "sweep";

pub(super) fn draw(curves: &[Curve], models: &[Model]) -> Result<Option<Chart>, Error> {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let values = || {
        points().flat_map(|point| {
            let estimate = &point.from_due_ns;
            [estimate.value, estimate.low, estimate.high].into_iter().flatten()
        })
    };
    let low = values().fold(f64::INFINITY, f64::min).max(1.0);
    let high = values().fold(0.0, f64::max);
    let (least, most) = points()
        .map(|point| point.starts_per_core)
        .fold((f64::INFINITY, 0.0), |(least, most): (f64, f64), x| (least.min(x), most.max(x)));
    if !low.is_finite() || most <= 0.0 {
        return Ok(None);
    }
    let mut backends: Vec<&str> = curves.iter().map(|curve| curve.backend.as_str()).collect();
    backends.dedup();
    let style = |curve: &Curve| {
        let index = backends.iter().position(|name| *name == curve.backend).unwrap_or(0);
        let ink = colour(index).mix(if curve.images == "own" { 0.5 } else { 1.0 });
        // Fewer cores are drawn thinner.
        let width = if curves.iter().any(|other| other.cores > curve.cores) { 1 } else { 3 };
        (ink, width)
    };
    let mut entries: Vec<Entry> = curves
        .iter()
        .map(|curve| {
            let (ink, width) = style(curve);
            Entry { text: label(curve), style: Some(ink.stroke_width(width)) }
        })
        .collect();
    if !models.is_empty() {
        entries.push(Entry { text: model_words(models), style: None });
    }
    let svg = picture(NAME, height(420, entries.len()), |area| {
        let x = Axis {
            range: (least / 1.2..most * 1.2).log_scale(),
            words: "starts per core, log scale",
            labels: 10,
            format: &|x| if *x < 1.0 { format!("{x:.1}") } else { format!("{x:.0}") },
        };
        let y = Axis {
            range: (low / 1.4..high * 1.4).log_scale(),
            words: "due → there, median, log scale",
            labels: 8,
            format: &|ns| duration(*ns),
        };
        let mut chart = plane(area, &entries, x, y)?;
        for curve in curves {
            let (ink, width) = style(curve);
            let known: Vec<(f64, f64)> = curve
                .points
                .iter()
                .filter_map(|point| Some((point.starts_per_core, point.from_due_ns.value?)))
                .collect();
            chart.draw_series(LineSeries::new(known.iter().copied(), ink.stroke_width(width)))?;
            chart.draw_series(known.iter().map(|point| Circle::new(*point, 3, ink.filled())))?;
            let bars = curve.points.iter().filter_map(|point| {
                let (low, high) = (point.from_due_ns.low?, point.from_due_ns.high?);
                Some(PathElement::new(
                    [(point.starts_per_core, low.max(1.0)), (point.starts_per_core, high.max(1.0))],
                    ink.stroke_width(1),
                ))
            });
            chart.draw_series(bars)?;
            if let Some(knee) = curve.knee_starts_per_core.value {
                let line = [(knee, low / 1.4), (knee, low * 1.1)];
                chart.draw_series([PathElement::new(line, ink.stroke_width(3))])?;
            }
        }
        Ok(())
    })?;
    let storms: usize = points().map(|point| point.storms).sum();
    Ok(Some(Chart {
        name: NAME,
        caption: format!(
            "From the instant an attempt was due until it was there (serving, where the workload serves), median \
             over storms with its 95 % interval, against starts per core (n = {storms} storms). A short line at the \
             bottom marks the knee, from where on one more instance makes all wait longer. Thin lines: fewer cores; \
             pale lines: own images and a cold cache."
        ),
        svg,
    }))
}

fn label(curve: &Curve) -> String {
    let knee = match (
        curve.knee_starts_per_core.value,
        curve.knee_starts_per_core.low,
        curve.knee_starts_per_core.high,
    ) {
        (Some(knee), Some(low), Some(high)) => format!("knee at {knee:.1} [{low:.1}, {high:.1}] a core"),
        (Some(knee), ..) => format!("knee at {knee:.1} a core"),
        _ => format!("no knee: {}", curve.knee_starts_per_core.reason),
    };
    let cold = if curve.images == "own" { ", own images, cold" } else { "" };
    let unit = if curve.cores == 1 { "core" } else { "cores" };
    format!("{}, {} {unit}, {}{cold}: {knee}", short(&curve.backend, 24), curve.cores, curve.arrival)
}

fn model_words(models: &[Model]) -> String {
    let errors: Vec<String> = models
        .iter()
        .filter_map(|model| {
            Some(format!("{} {}", short(&model.backend, 16), percent(model.held_out_error_ratio?)))
        })
        .collect();
    match errors.is_empty() {
        true => "no second number of cores: a model of more cores could not be checked".into(),
        false => format!(
            "predicting the most cores from fewer by starts per core alone errs by {}",
            errors.join(", ")
        ),
    }
}
