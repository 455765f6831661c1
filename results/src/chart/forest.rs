//! Head as a multiple of base: a row a metric, with its interval and its floor.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::interval::{LogAxis, interval};
use super::{Chart, FAINT, GREY, INK, fill, picture, short, write};
use crate::Error;
use crate::compare::{Change, Comparison, Verdict};
use crate::text::ratio;

const NAME: &str = "changes";
const LEFT: i32 = 300;
const ROW: i32 = 30;

pub(super) fn draw(comparison: &Comparison) -> Result<Option<Chart>, Error> {
    let rows: Vec<&Change> =
        comparison.changes.iter().filter(|change| change.ratio.value.is_some()).collect();
    let values = rows.iter().flat_map(|change| {
        let ends = [change.ratio.value, change.ratio.low, change.ratio.high];
        ends.into_iter().flatten().chain([1.0, 1.0 + change.floor.relative])
    });
    let Some(axis) = LogAxis::over(values, LEFT, 110) else { return Ok(None) };
    if rows.is_empty() {
        return Ok(None);
    }
    let bottom = 8 + ROW * rows.len() as i32;
    let svg = picture(NAME, (bottom + 24) as u32, |area| {
        axis.grid(area, 4, bottom, ratio)?;
        for (row, change) in rows.iter().enumerate() {
            let y = 8 + ROW / 2 + ROW * row as i32;
            let floor = 1.0 + change.floor.relative;
            fill(area, (axis.x(1.0 / floor), y - ROW / 2), (axis.x(floor), y + ROW / 2), FAINT)?;
            let label = format!("{} {}", short(&change.backend, 20), change.metric);
            write(area, &label, (LEFT - 8, y), 13, HPos::Right)?;
            let Some(value) = change.ratio.value else { continue };
            interval(area, &axis, y, value, change.ratio.low, change.ratio.high, shade(change.verdict))?;
            write(area, change.verdict.word(), (super::WIDTH as i32 - 102, y), 13, HPos::Left)?;
        }
        fill(area, (axis.x(1.0), 4), (axis.x(1.0) + 1, bottom), INK)?;
        Ok(())
    })?;
    let n: usize = rows.iter().map(|change| change.base.n + change.head.n).max().unwrap_or(0);
    Ok(Some(Chart {
        name: NAME,
        caption: format!(
            "Head as a multiple of base with 95 % intervals, log scale; right of the line is slower, the grey band is the \
             floor within which a change is none (n = {n} {}, both sides).",
            comparison.unit.plural()
        ),
        svg,
    }))
}

fn shade(verdict: Verdict) -> RGBColor {
    match verdict {
        Verdict::Regressed => RGBColor(0xd5, 0x5e, 0x00),
        Verdict::Improved => RGBColor(0x00, 0x9e, 0x73),
        Verdict::Unchanged => RGBColor(0x00, 0x72, 0xb2),
        Verdict::Inconclusive | Verdict::Incomparable => GREY,
    }
}
