//! Share of attempts that were ready within a time, per backend; the time on a log axis.

use plotters::prelude::*;

use super::plane::{Axis, Entry, height, plane};
use super::{Chart, colour, percent_of_all, picture, short};
use crate::Error;
use crate::folder::LoadedRun;
use crate::statistics::{Step, ecdf, sorted};
use crate::summary::{Metric, Summary, storms_of};
use crate::text::duration;

const NAME: &str = "ecdf";

struct Curve {
    label: String,
    index: usize,
    steps: Vec<Step>,
}

pub(super) fn draw(run: &LoadedRun, summary: &Summary) -> Result<Option<Chart>, Error> {
    let storms = storms_of(run);
    let mut curves = Vec::new();
    for (index, backend) in summary.backends.iter().enumerate() {
        let Some(of_backend) = storms.get(backend.backend.as_str()) else { continue };
        let sample: Vec<f64> = of_backend
            .counted
            .values()
            .flatten()
            .map(|one| Metric::ReadyFromStarted.of(one).map_or(f64::INFINITY, |ns| (ns as f64).max(1.0)))
            .collect();
        let label = format!("{} n={}", short(&backend.backend, 20), sample.len());
        curves.push(Curve { label, index, steps: thinned(ecdf(&sorted(sample))) });
    }
    let values = || curves.iter().flat_map(|curve| curve.steps.iter().map(|step| step.value));
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    if !low.is_finite() {
        return Ok(None);
    }
    let (low, high) = (low / 1.3, high * 1.3);
    let entries: Vec<Entry> =
        curves.iter().map(|curve| Entry::line(curve.label.clone(), colour(curve.index))).collect();
    let svg = picture(NAME, height(400, entries.len()), |area| {
        let x = Axis {
            range: (low..high).log_scale(),
            words: "start → ready, log scale",
            labels: 10,
            format: &|ns| duration(*ns),
        };
        let y = Axis {
            range: 0.0..1.0,
            words: "attempts ready",
            labels: 5,
            format: &|share| percent_of_all(*share),
        };
        let mut chart = plane(area, &entries, x, y)?;
        for curve in &curves {
            let mut points = vec![(low, 0.0)];
            for step in &curve.steps {
                points.push((step.value, points[points.len() - 1].1));
                points.push((step.value, step.share));
            }
            points.push((high, points[points.len() - 1].1));
            chart.draw_series(LineSeries::new(points, colour(curve.index).stroke_width(2)))?;
        }
        Ok(())
    })?;
    let attempts: usize = summary.backends.iter().map(|backend| backend.counted.total()).sum();
    Ok(Some(Chart {
        name: NAME,
        caption: format!(
            "Share of attempts ready within a time of their start, per backend (n = {attempts} attempts). A \
             curve that ends below 100 % had attempts that never got ready."
        ),
        svg,
    }))
}

/// Without the steps nobody could see: of those less than a 2,000th apart in both directions on the
/// picture's axes, the last one. What is left runs within half a pixel of the whole curve.
fn thinned(steps: Vec<Step>) -> Vec<Step> {
    let (Some(first), Some(last)) = (steps.first().copied(), steps.last().copied()) else { return steps };
    let width = (last.value / first.value).ln().max(f64::MIN_POSITIVE);
    let cell = |step: &Step| {
        let x = (step.value / first.value).ln() / width;
        ((x * 2000.0) as u64, (step.share * 2000.0) as u64)
    };
    let mut kept: Vec<Step> = Vec::new();
    for step in steps {
        match kept.last_mut() {
            Some(last) if cell(last) == cell(&step) => *last = step,
            _ => kept.push(step),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thinned_curve_keeps_its_ends_and_its_shape() {
        let sample: Vec<f64> = (1..=100_000).map(|i| 1e6 + f64::from(i)).collect();
        let whole = ecdf(&sample);
        let kept = thinned(whole.clone());
        assert!(kept.len() <= 4001, "{}", kept.len());
        assert_eq!(kept.last(), whole.last());
        for step in whole.iter().step_by(97) {
            let near = kept.iter().find(|kept| kept.value >= step.value).unwrap();
            assert!((near.share - step.share).abs() <= 1.0 / 2000.0 + 1e-9);
        }
        assert!(thinned(Vec::new()).is_empty());
    }
}
