//! Memory gone from the host against live instances, with the line whose slope is the price of one more.

use plotters::prelude::*;

use super::plane::{Axis, Entry, height, plane};
use super::{Chart, colour, picture, short};
use crate::Error;
use crate::density::{BackendDensity, Method, line, points};
use crate::folder::LoadedRun;
use crate::record::MemoryStep;
use crate::text::size;

const NAME: &str = "density";

/// The points of one backend, each repetition less what it began with.
struct Grown {
    label: String,
    points: Vec<(f64, f64)>,
}

pub(super) fn draw(run: &LoadedRun, all: &[BackendDensity]) -> Result<Option<Chart>, Error> {
    let grown: Vec<Grown> = all.iter().filter_map(|one| of_backend(run, one)).collect();
    let points = || grown.iter().flat_map(|one| &one.points);
    let most_x = points().map(|point| point.0).fold(0.0, f64::max);
    let (low, high) =
        points().fold((0.0, 0.0), |(low, high): (f64, f64), point| (low.min(point.1), high.max(point.1)));
    if most_x <= 0.0 || high <= low {
        return Ok(None);
    }
    let entries: Vec<Entry> =
        grown.iter().enumerate().map(|(index, one)| Entry::line(one.label.clone(), colour(index))).collect();
    let svg = picture(NAME, height(400, entries.len()), |area| {
        let x = Axis {
            range: 0.0..most_x * 1.03,
            words: "live instances",
            labels: 8,
            format: &|live| format!("{live:.0}"),
        };
        let y = Axis {
            range: low * 1.05..high * 1.05,
            words: "gone from MemAvailable",
            labels: 6,
            format: &|bytes| size(*bytes),
        };
        let mut chart = plane(area, &entries, x, y)?;
        for (index, one) in grown.iter().enumerate() {
            if let Some(fit) = line(&one.points) {
                let at = |x: f64| (x, fit.intercept + fit.slope * x);
                chart.draw_series(LineSeries::new([at(0.0), at(most_x)], colour(index).stroke_width(2)))?;
            }
            let rings = one.points.iter().map(|point| Circle::new(*point, 3, colour(index).stroke_width(1)));
            chart.draw_series(rings)?;
        }
        Ok(())
    })?;
    let steps: usize = grown.iter().map(|one| one.points.len()).sum();
    Ok(Some(Chart {
        name: NAME,
        caption: format!(
            "Memory gone from MemAvailable since the beginning of each repetition, against live instances (n = \
             {steps} steps). The slope of a line is what one more instance costs the host, by this method."
        ),
        svg,
    }))
}

fn of_backend(run: &LoadedRun, one: &BackendDensity) -> Option<Grown> {
    let counted =
        |step: &&MemoryStep| step.backend == one.backend && !run.run.warmup_storms.contains(&step.storm);
    let mut storms: Vec<u32> = run.memory.iter().filter(counted).map(|step| step.storm).collect();
    storms.dedup();
    let mut all = Vec::new();
    for storm in storms {
        let steps: Vec<&MemoryStep> =
            run.memory.iter().filter(counted).filter(|step| step.storm == storm).collect();
        let points = points(&steps, Method::Available);
        let begin = points.first()?.1;
        all.extend(points.iter().map(|(live, bytes)| (*live, bytes - begin)));
    }
    let slope = one.slopes_bytes.get(&Method::Available).and_then(|estimate| estimate.value);
    let slope = slope.map(|bytes| format!(": {} for one more", size(bytes))).unwrap_or_default();
    Some(Grown { label: format!("{}{slope}", short(&one.backend, 30)), points: all })
}
