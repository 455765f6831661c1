//! What one more instance costs, a bar for each accounting method.

use plotters::style::text_anchor::HPos;

use super::{Chart, FAINT, INK, WIDTH, colour, fill, picture, short, write};
use crate::Error;
use crate::density::{BackendDensity, Method};
use crate::text::size;

const NAME: &str = "footprint";
const LEFT: i32 = 190;
const ROW: i32 = 18;
/// Decades the axis shows below the largest figure.
const DECADES: f64 = 5.0;

pub(super) fn draw(all: &[BackendDensity]) -> Result<Option<Chart>, Error> {
    let of = |one: &BackendDensity, method: Method| {
        one.slopes_bytes
            .get(&method)
            .filter(|estimate| estimate.value.is_some_and(|bytes| bytes > 0.0))
            .cloned()
    };
    let methods: Vec<Method> =
        Method::ALL.into_iter().filter(|method| all.iter().any(|one| of(one, *method).is_some())).collect();
    let most = methods
        .iter()
        .flat_map(|method| all.iter().filter_map(|one| of(one, *method)?.value))
        .fold(0.0, f64::max);
    if most <= 0.0 {
        return Ok(None);
    }
    let width = f64::from(WIDTH as i32 - LEFT - 190);
    let x = |bytes: f64| {
        let decades = (bytes.max(1.0) / most).log10() + DECADES;
        LEFT + (decades / DECADES * width).clamp(0.0, width) as i32
    };
    let panel = 12 + ROW * all.len() as i32;
    let bottom = 34 + panel * methods.len() as i32;
    let svg = picture(NAME, (bottom + 24) as u32, |area| {
        let mut at = LEFT;
        for (index, one) in all.iter().enumerate() {
            fill(area, (at, 9), (at + 10, 19), colour(index))?;
            let label = short(&one.backend, 24);
            write(area, &label, (at + 15, 14), 13, HPos::Left)?;
            at += 30 + 7 * label.chars().count() as i32;
        }
        for decade in 0..=DECADES as i32 {
            let bytes = most * 10f64.powi(decade - DECADES as i32);
            fill(area, (x(bytes), 30), (x(bytes) + 1, bottom), FAINT)?;
            write(area, &size(bytes), (x(bytes), bottom + 12), 12, HPos::Center)?;
        }
        for (row, method) in methods.iter().enumerate() {
            let top = 34 + panel * row as i32;
            write(area, method.words(), (LEFT - 8, top + panel / 2 - 6), 13, HPos::Right)?;
            for (index, one) in all.iter().enumerate() {
                let y = top + ROW * index as i32 + ROW / 2;
                let Some(estimate) = of(one, *method) else {
                    write(area, "–", (LEFT + 4, y), 12, HPos::Left)?;
                    continue;
                };
                let value = estimate.value.unwrap_or(0.0);
                fill(area, (LEFT, y - 6), (x(value), y + 6), colour(index))?;
                let mut end = x(value);
                if let (Some(low), Some(high)) = (estimate.low, estimate.high) {
                    fill(area, (x(low), y - 1), (x(high).max(x(low) + 1), y + 1), INK)?;
                    end = end.max(x(high));
                }
                write(area, &size(value), (end + 6, y), 12, HPos::Left)?;
            }
        }
        Ok(())
    })?;
    let repetitions = all.iter().map(|one| one.repetitions).min().unwrap_or(0);
    Ok(Some(Chart {
        name: NAME,
        caption: format!(
            "Bytes for one more instance, by accounting method, log scale (n = {repetitions} repetitions of each \
             backend; the thin line is the 95 % interval). The methods count different things: resident size \
             counts a shared page once for each who shares it, proportional size once in all, virtual size what \
             was asked for and perhaps never touched. A dash: the method says nothing here, or nothing above zero."
        ),
        svg,
    }))
}
