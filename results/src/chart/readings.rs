//! Asked against measured: how far each case is from what was asked, with the band that counts as it.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::{Chart, FAINT, GREY, INK, WIDTH, colour, fill, picture, short, write};
use crate::Error;
use crate::readings::{Case, Standing};
use crate::text::percent;

const NAME: &str = "readings";
const LEFT: i32 = 400;
const RIGHT: i32 = 96;
const ROW: i32 = 22;
/// Errors beyond are drawn at the end of the axis.
const MOST_ERROR: f64 = 0.3;
const BAND: RGBColor = RGBColor(0xdd, 0xee, 0xdd);

pub(super) fn draw(cases: &[Case]) -> Result<Option<Chart>, Error> {
    let rows: Vec<&Case> = cases
        .iter()
        .filter(|case| case.error_ratio.value.is_some() && (case.least.is_some() || case.most.is_some()))
        .collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let mut backends: Vec<&str> = Vec::new();
    for case in &rows {
        if !backends.contains(&case.backend.as_str()) {
            backends.push(&case.backend);
        }
    }
    let bottom = 8 + ROW * rows.len() as i32;
    let svg = picture(NAME, (bottom + 44) as u32, |area| {
        for (row, case) in rows.iter().enumerate() {
            let y = 8 + ROW / 2 + ROW * row as i32;
            if let Some(asked) = case.asked {
                let error = |bound: f64| (bound - asked) / asked;
                let least = case.least.map_or(-MOST_ERROR, error);
                let most = case.most.map_or(MOST_ERROR, error);
                // What must be exact is a line.
                fill(area, (x(least), y - 8), (x(most).max(x(least) + 2), y + 8), BAND)?;
            }
        }
        for mark in [-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3] {
            let at = x(mark);
            let line = if mark == 0.0 { GREY } else { FAINT };
            area.draw(&Rectangle::new([(at, 4), (at + 1, bottom)], line.filled()))?;
            write(area, &percent(mark), (at, bottom + 12), 12, HPos::Center)?;
        }
        write(area, "measured, from what was asked", (x(0.0), bottom + 30), 13, HPos::Center)?;
        for (row, case) in rows.iter().enumerate() {
            let y = 8 + ROW / 2 + ROW * row as i32;
            let label = format!("{}, {}: {}, {}", case.backend, case.mechanism, case.case, case.by);
            write(area, &short(&label, 62), (LEFT - 8, y), 12, HPos::Right)?;
            let backend = backends.iter().position(|name| *name == case.backend).unwrap_or(0);
            let Some(value) = case.error_ratio.value else { continue };
            let ink = if case.control { GREY } else { colour(backend) };
            if let (Some(low), Some(high)) = (case.error_ratio.low, case.error_ratio.high) {
                fill(area, (x(low), y - 2), (x(high).max(x(low) + 1), y + 2), ink)?;
            }
            area.draw(&Circle::new((x(value), y), 5, ink.filled()))?;
            area.draw(&Circle::new((x(value), y), 5, INK.stroke_width(1)))?;
            let word = match case.standing {
                Standing::Undetermined(_) => "?",
                _ => case.standing.word(),
            };
            write(
                area,
                &format!("{} {word}", percent(value)),
                (WIDTH as i32 - RIGHT + 8, y),
                12,
                HPos::Left,
            )?;
        }
        Ok(())
    })?;
    let repetitions: usize = rows.iter().map(|case| case.measured_n).sum();
    Ok(Some(Chart {
        name: NAME,
        caption: format!(
            "What was measured, from what was asked, with 95 % intervals; green is what counts as asked, grey dots are \
             controls with the mechanism off (n = {repetitions} measurements of {} cases). Beyond 30 % it is drawn at the end.",
            rows.len()
        ),
        svg,
    }))
}

fn x(error: f64) -> i32 {
    let share = (error.clamp(-MOST_ERROR, MOST_ERROR) + MOST_ERROR) / (2.0 * MOST_ERROR);
    LEFT + 8 + (share * f64::from(WIDTH as i32 - LEFT - RIGHT - 16)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_beyond_the_axis_stay_on_it() {
        assert!(x(-9.0) >= LEFT && x(9.0) <= WIDTH as i32 - RIGHT);
        assert!(x(-0.1) < x(0.0) && x(0.0) < x(0.1));
    }
}
