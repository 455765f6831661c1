//! What a victim feels beside a hog: its latency with limits on the hog and without.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::interval::{LogAxis, interval};
use super::{Chart, INK, WIDTH, colour, picture, short, write};
use crate::Error;
use crate::readings::Case;
use crate::text::duration;

const NAME: &str = "victim";
const LEFT: i32 = 260;
const ROW: i32 = 24;
/// Drawn, each in its colour.
const SHOWN: [&str; 2] = ["p50", "p99"];

pub(super) fn draw(cases: &[Case]) -> Result<Option<Chart>, Error> {
    let shown: Vec<&Case> = cases
        .iter()
        .filter(|case| case.mechanism == "hog" && SHOWN.contains(&case.by.as_str()))
        .filter(|case| case.measured.value.is_some())
        .collect();
    let values = shown.iter().flat_map(|case| [case.measured.value, case.measured.low, case.measured.high]);
    let Some(axis) = LogAxis::over(values.flatten(), LEFT, 92) else { return Ok(None) };
    let mut rows: Vec<(&str, &str)> = Vec::new();
    for case in &shown {
        if !rows.contains(&(case.backend.as_str(), case.case.as_str())) {
            rows.push((&case.backend, &case.case));
        }
    }
    let top = 24;
    let bottom = top + 8 + ROW * rows.len() as i32;
    let svg = picture(NAME, (bottom + 24) as u32, |area| {
        let legend: Vec<(String, RGBColor)> =
            SHOWN.iter().enumerate().map(|(at, name)| ((*name).to_owned(), colour(at))).collect();
        super::legend(area, &legend, (LEFT, 12))?;
        axis.grid(area, top, bottom, duration)?;
        for (row, (backend, case)) in rows.iter().enumerate() {
            let y = top + 4 + ROW / 2 + ROW * row as i32;
            write(area, &short(&format!("{backend}, {case}"), 40), (LEFT - 8, y), 13, HPos::Right)?;
            for (at, by) in SHOWN.iter().enumerate() {
                let found =
                    shown.iter().find(|one| one.backend == *backend && one.case == *case && one.by == *by);
                let Some((found, value)) = found.and_then(|one| Some((one, one.measured.value?))) else {
                    continue;
                };
                interval(area, &axis, y, value, found.measured.low, found.measured.high, colour(at))?;
                if *by == "p99" {
                    write(area, &duration(value), (WIDTH as i32 - 84, y), 13, HPos::Left)?;
                }
            }
        }
        area.draw(&Rectangle::new([(LEFT, top), (LEFT + 1, bottom)], INK.filled()))?;
        Ok(())
    })?;
    let n = shown.iter().map(|case| case.measured_n).max().unwrap_or(0);
    Ok(Some(Chart {
        name: NAME,
        caption: format!(
            "Latency of a small piece of work that is due every 5 ms, beside a hog that computes on twice as many threads as \
             there are processors; mean over repetitions (n = {n} each) of the median and the 99th percentile, with 95 % \
             intervals, log scale. By the clock of the victim's own kernel."
        ),
        svg,
    }))
}
