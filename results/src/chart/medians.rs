//! How long until ready, per backend: the median over storms with its interval, storms as rings.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::interval::{LogAxis, interval};
use super::{Chart, INK, colour, picture, short, write};
use crate::Error;
use crate::summary::{BackendSummary, Metric, MetricSummary, Summary};
use crate::text::duration;

const NAME: &str = "medians";
const LEFT: i32 = 150;
const ROW: i32 = 34;

pub(super) fn draw(summary: &Summary) -> Result<Option<Chart>, Error> {
    if !summary.has_like_storms() {
        return Ok(None);
    }
    let rows: Vec<(usize, &BackendSummary, &MetricSummary)> = summary
        .backends
        .iter()
        .enumerate()
        .filter_map(|(index, backend)| {
            Some((index, backend, backend.metrics.get(&Metric::ReadyFromScheduled)?))
        })
        .filter(|(.., metric)| metric.storm_median.value.is_some())
        .collect();
    let values = rows.iter().flat_map(|(.., metric)| {
        let median = &metric.storm_median;
        let storms = metric.storms.iter().filter_map(|storm| storm.median_ns);
        [median.value, median.low, median.high].into_iter().flatten().chain(storms)
    });
    let Some(axis) = LogAxis::over(values, LEFT, 100) else { return Ok(None) };
    let bottom = 8 + ROW * rows.len() as i32;
    let svg = picture(NAME, (bottom + 24) as u32, |area| {
        axis.grid(area, 4, bottom, duration)?;
        for (row, (index, backend, metric)) in rows.iter().enumerate() {
            let y = 8 + ROW / 2 + ROW * row as i32;
            write(area, &short(&backend.backend, 19), (LEFT - 8, y), 14, HPos::Right)?;
            for storm in metric.storms.iter().filter_map(|storm| storm.median_ns) {
                area.draw(&Circle::new((axis.x(storm), y), 3, INK.stroke_width(1)))?;
            }
            let median = &metric.storm_median;
            let Some(value) = median.value else { continue };
            interval(area, &axis, y, value, median.low, median.high, colour(*index))?;
            write(area, &duration(value), (super::WIDTH as i32 - 92, y), 13, HPos::Left)?;
        }
        Ok(())
    })?;
    let (storms, attempts) =
        rows.iter().fold((0, 0), |(s, a), (.., metric)| (s + metric.n_storms, a + metric.n_attempts));
    Ok(Some(Chart {
        name: NAME,
        caption: format!(
            "How long from due to ready, log scale: dots are medians over storms with their 95 % intervals, rings the \
             median of each storm (n = {storms} storms, {attempts} attempts)."
        ),
        svg,
    }))
}
