//! What the host and the canary felt: one dot a storm, per measure and backend.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::{Chart, FAINT, GREY, INK, WIDTH, colour, fill, picture, short, write};
use crate::Error;
use crate::folder::LoadedRun;
use crate::statistics::{quantile, sorted};
use crate::stress::{Measure, baseline, by_storm};
use crate::summary::Summary;
use crate::text::{percent, ratio};

const NAME: &str = "stress";
const LEFT: i32 = 150;
const ROW: i32 = 22;

pub(super) fn draw(run: &LoadedRun, summary: &Summary) -> Result<Option<Chart>, Error> {
    let measures: Vec<_> = Measure::ALL
        .into_iter()
        .map(|measure| (measure, by_storm(run, measure)))
        .filter(|(_, storms)| !storms.is_empty())
        .collect();
    if measures.is_empty() {
        return Ok(None);
    }
    let panel = 34 + ROW * summary.backends.len() as i32;
    let svg = picture(NAME, (panel * measures.len() as i32) as u32, |area| {
        for (index, (measure, storms)) in measures.iter().enumerate() {
            let top = panel * index as i32;
            let most = storms.values().flatten().copied().fold(0.0, f64::max);
            let canary = *measure == Measure::CanarySlowdown;
            // Shares are drawn on 0 to 100 %, a slowdown from 0 to the worst.
            let scale = if canary { most.max(1.0) } else { 1.0 };
            let idle = if canary { Some(1.0) } else { baseline(run, *measure) };
            let unit = if canary { ratio } else { percent };
            let width = f64::from(WIDTH as i32 - LEFT - 90);
            let x = |value: f64| LEFT + (value / scale * width).clamp(0.0, width) as i32;
            let title = match idle {
                Some(idle) => format!("{}  (between storms: {})", measure.words(), unit(idle)),
                None => measure.words().to_owned(),
            };
            write(area, &title, (8, top + 14), 14, HPos::Left)?;
            let bottom = top + 26 + ROW * summary.backends.len() as i32;
            for quarter in 0..=4 {
                let at = LEFT + (width * f64::from(quarter) / 4.0) as i32;
                fill(area, (at, top + 26), (at + 1, bottom), FAINT)?;
            }
            if let Some(idle) = idle {
                fill(area, (x(idle), top + 26), (x(idle) + 2, bottom), GREY)?;
            }
            for (row, backend) in summary.backends.iter().enumerate() {
                let y = top + 26 + ROW / 2 + ROW * row as i32;
                write(area, &short(&backend.backend, 19), (LEFT - 8, y), 13, HPos::Right)?;
                let Some(values) = storms.get(backend.backend.as_str()) else { continue };
                if let Some(median) = quantile(&sorted(values.clone()), 0.5) {
                    fill(area, (LEFT, y - 5), (x(median), y + 5), colour(row))?;
                    write(area, &unit(median), (LEFT + width as i32 + 8, y), 13, HPos::Left)?;
                }
                for value in values {
                    area.draw(&Circle::new((x(*value), y), 3, INK.stroke_width(1)))?;
                }
            }
        }
        Ok(())
    })?;
    let storms = measures.iter().map(|(_, storms)| storms.values().map(Vec::len).sum::<usize>()).max();
    Ok(Some(Chart {
        name: NAME,
        caption: format!(
            "What the host felt during the storms: bars are medians, rings single storms (n = {} storms), \
             the grey line is the host between storms. Shares run from 0 to 100 %, the canary's slowdown \
             from 0 to its worst.",
            storms.unwrap_or(0)
        ),
        svg,
    }))
}
