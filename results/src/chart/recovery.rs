//! Share of replacements that serve again, by the time since the failure; one thin line a drill.

use plotters::prelude::*;

use super::plane::{Axis, Entry, height, plane};
use super::{Chart, colour, percent_of_all, picture, short};
use crate::Error;
use crate::drill::{Recovery, served};
use crate::folder::LoadedRun;
use crate::text::duration;

const NAME: &str = "recovery";

pub(super) fn draw(run: &LoadedRun, all: &[Recovery]) -> Result<Option<Chart>, Error> {
    let curves: Vec<(usize, Vec<f64>, f64)> = run
        .drills
        .iter()
        .filter_map(|drill| {
            let kind = all.iter().position(|one| one.backend == drill.backend && one.mode == drill.mode)?;
            Some((kind, served(run, drill), f64::from(drill.instances)))
        })
        .filter(|(_, times, _)| !times.is_empty())
        .collect();
    let times = || curves.iter().flat_map(|(_, times, _)| times.iter().copied());
    let (low, high) = (times().fold(f64::INFINITY, f64::min).max(1.0), times().fold(0.0, f64::max));
    if !low.is_finite() || high <= 0.0 {
        return Ok(None);
    }
    let (low, high) = (low / 1.5, high * 1.3);
    let entries: Vec<Entry> = all
        .iter()
        .enumerate()
        .map(|(index, one)| {
            let when = one
                .all_ns
                .value
                .map_or("not all served again".into(), |ns| format!("all after {}", duration(ns)));
            let (backend, mode) = (short(&one.backend, 24), &one.mode);
            let lost = format!("{} of {} requests lost", one.lost_total, one.requests_total);
            Entry::line(format!("{backend}, {mode}: {when}, {lost}"), colour(index))
        })
        .collect();
    let svg = picture(NAME, height(380, entries.len()), |area| {
        let x = Axis {
            range: (low..high).log_scale(),
            words: "since the first kill, log scale",
            labels: 10,
            format: &|ns| duration(*ns),
        };
        let y = Axis {
            range: 0.0..1.0,
            words: "serve again",
            labels: 5,
            format: &|share| percent_of_all(*share),
        };
        let mut chart = plane(area, &entries, x, y)?;
        for (kind, times, instances) in &curves {
            let mut points = vec![(low, 0.0)];
            for (number, time) in times.iter().enumerate() {
                points.push((time.max(low), number as f64 / instances));
                points.push((time.max(low), (number + 1) as f64 / instances));
            }
            points.push((high, times.len() as f64 / instances));
            chart.draw_series(LineSeries::new(points, colour(*kind).stroke_width(1)))?;
        }
        Ok(())
    })?;
    Ok(Some(Chart {
        name: NAME,
        caption: format!(
            "Share of the replacements that serve again, since the first kill; one line a drill (n = {} drills). \
             Requests lost are those the client had no answer to, at its even rate, before, during and after.",
            curves.len()
        ),
        svg,
    }))
}
