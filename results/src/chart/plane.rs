//! One quantity against another: a legend, and below it two axes with their mesh.

use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::{Area, FAINT, INK, write};

/// Height of a line of the legend.
const LINE: u32 = 20;
/// Room left of the plot, for labels and what the axis means.
const LEFT: i32 = 84;

/// An axis. `range` may be on a log scale.
pub(super) struct Axis<'a, R> {
    pub(super) range: R,
    /// What it shows.
    pub(super) words: &'a str,
    /// About so many labels.
    pub(super) labels: usize,
    pub(super) format: &'a dyn Fn(&f64) -> String,
}

/// A line of the legend.
pub(super) struct Entry {
    pub(super) text: String,
    /// None where it explains no line.
    pub(super) style: Option<ShapeStyle>,
}

impl Entry {
    /// What a line of `colour` means.
    pub(super) fn line(text: String, colour: impl Color) -> Entry {
        Entry { text, style: Some(colour.stroke_width(3)) }
    }
}

/// Height of a picture whose plane is `plot` pixels high.
pub(super) fn height(plot: u32, entries: usize) -> u32 {
    plot + LINE * entries as u32
}

/// A plane to draw series on.
pub(super) type Plane<'a, X, Y> = ChartContext<
    'a,
    SVGBackend<'a>,
    Cartesian2d<<X as AsRangedCoord>::CoordDescType, <Y as AsRangedCoord>::CoordDescType>,
>;

/// Draws legend and axes over all of `area`.
pub(super) fn plane<'a, X, Y>(
    area: &Area<'a>,
    entries: &[Entry],
    x: Axis<'_, X>,
    y: Axis<'_, Y>,
) -> Result<Plane<'a, X, Y>, Box<dyn std::error::Error>>
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let (legend, plot) = area.split_vertically(LINE * entries.len() as u32 + 8);
    for (number, entry) in entries.iter().enumerate() {
        let at = 14 + LINE as i32 * number as i32;
        if let Some(style) = entry.style {
            legend.draw(&PathElement::new([(LEFT, at), (LEFT + 24, at)], style))?;
        }
        let size = if entry.style.is_some() { 14 } else { 12 };
        write(&legend, &entry.text, (LEFT + 30, at), size, HPos::Left)?;
    }
    let mut chart = ChartBuilder::on(&plot)
        .margin_right(24)
        .x_label_area_size(46)
        .y_label_area_size(LEFT)
        .build_cartesian_2d(x.range, y.range)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT)
        .axis_style(INK)
        .label_style(("sans-serif", 13).into_font().color(&INK))
        .x_label_formatter(x.format)
        .y_label_formatter(y.format)
        .x_labels(x.labels)
        .y_labels(y.labels)
        .x_desc(x.words)
        .y_desc(y.words)
        .draw()?;
    Ok(chart)
}
