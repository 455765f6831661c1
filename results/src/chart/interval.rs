//! A value with its interval on a log axis: the median a dot, the interval a bar, storms as rings.

use plotters::prelude::*;

use super::{Area, FAINT, INK, WIDTH, write};
use plotters::style::text_anchor::HPos;

/// A log axis from `left` to the width of the picture less `right`.
pub(super) struct LogAxis {
    low: f64,
    high: f64,
    left: i32,
    width: f64,
}

impl LogAxis {
    /// That holds all positive, finite `values`; `None` where there is none.
    pub(super) fn over(values: impl Iterator<Item = f64>, left: i32, right: i32) -> Option<LogAxis> {
        let seen = values.filter(|value| value.is_finite() && *value > 0.0);
        let (low, high) =
            seen.fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        let width = f64::from(WIDTH as i32 - left - right);
        (high > 0.0).then(|| LogAxis { low: low / 1.15, high: high * 1.15, left, width })
    }

    /// Where a value is; beyond the ends at them.
    pub(super) fn x(&self, value: f64) -> i32 {
        let share = (value.max(f64::MIN_POSITIVE) / self.low).ln() / (self.high / self.low).ln();
        self.left + (share.clamp(0.0, 1.0) * self.width) as i32
    }

    /// Lines to guide the eye, with their values where there is room.
    pub(super) fn grid(
        &self,
        area: &Area,
        top: i32,
        bottom: i32,
        unit: impl Fn(f64) -> String,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let mut labelled: Option<i32> = None;
        for mark in self.marks() {
            let at = self.x(mark);
            area.draw(&Rectangle::new([(at, top), (at + 1, bottom)], FAINT.filled()))?;
            if labelled.is_none_or(|before| at - before >= 64) {
                write(area, &unit(mark), (at, bottom + 12), 12, HPos::Center)?;
                labelled = Some(at);
            }
        }
        Ok(())
    }

    /// 1, 2 and 5 of each decade; about five round numbers where the axis is less than a decade long.
    fn marks(&self) -> Vec<f64> {
        let within = |mark: &f64| *mark >= self.low && *mark <= self.high;
        if self.high / self.low >= 10.0 {
            let first = self.low.log10().floor() as i32;
            let all = (first..first + 20).flat_map(|decade| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(decade)));
            return all.filter(within).collect();
        }
        let rough = (self.high - self.low) / 5.0;
        let decade = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * decade).find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        let first = (self.low / step).ceil() as i64;
        (first..first + 12).map(|i| i as f64 * step).filter(within).collect()
    }
}

/// The interval from `low` to `high` (or the end of the axis) and the value on it.
pub(super) fn interval(
    area: &Area,
    axis: &LogAxis,
    y: i32,
    value: f64,
    low: Option<f64>,
    high: Option<f64>,
    colour: RGBColor,
) -> Result<(), Box<dyn std::error::Error>> {
    if let Some(low) = low {
        let to = high.map_or(axis.left + axis.width as i32, |high| axis.x(high));
        area.draw(&Rectangle::new([(axis.x(low), y - 2), (to, y + 2)], colour.filled()))?;
        for end in [axis.x(low), to] {
            area.draw(&Rectangle::new([(end - 1, y - 6), (end + 1, y + 6)], colour.filled()))?;
        }
    }
    area.draw(&Circle::new((axis.x(value), y), 5, colour.filled()))?;
    area.draw(&Circle::new((axis.x(value), y), 5, INK.stroke_width(1)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_axes_have_marks_within() {
        for values in [[0.98, 1.05], [1e6, 2e9], [5.0, 5.0], [1e-9, 1e9]] {
            let axis = LogAxis::over(values.into_iter(), 100, 50).unwrap();
            let marks = axis.marks();
            assert!((2..=60).contains(&marks.len()), "{values:?}: {marks:?}");
            assert!(marks.iter().all(|mark| (100..=750).contains(&axis.x(*mark))), "{marks:?}");
            assert!(axis.x(values[0]) > 100 && axis.x(values[1]) < 750);
        }
        assert!(LogAxis::over([f64::INFINITY, 0.0, f64::NAN].into_iter(), 100, 50).is_none());
    }
}
