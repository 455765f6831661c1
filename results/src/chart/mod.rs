//! The charts, one a file. SVG without fonts of its own: text is drawn by whoever shows it.

mod checks;
mod cover;
mod density;
mod ecdf;
mod footprint;
mod forest;
mod interval;
mod matrix;
mod medians;
mod merging;
mod phases;
mod plane;
mod readings;
mod recovery;
mod stress;
mod sweep;
mod timeline;
mod victim;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

pub(crate) use matrix::is_unchanged;

use crate::Error;
use crate::compare::Comparison;
use crate::folder::LoadedRun;
use crate::summary::Summary;

/// A drawn chart.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Name of its file, without `.svg`.
    pub name: &'static str,
    /// What it shows, in a sentence with n.
    pub caption: String,
    /// The picture.
    pub svg: String,
}

/// Draws all charts there is data for.
///
/// # Errors
/// What the drawing library said.
pub fn all(run: &LoadedRun, summary: &Summary) -> Result<Vec<Chart>, Error> {
    // Storms of all sizes together would say nothing.
    let of_one_size = summary.sweep.is_empty();
    let when = |draw: bool, chart: &dyn Fn() -> Result<Option<Chart>, Error>| {
        if draw { chart() } else { Ok(None) }
    };
    let charts = [
        readings::draw(&summary.readings)?,
        victim::draw(&summary.readings)?,
        recovery::draw(run, &summary.recoveries)?,
        sweep::draw(&summary.sweep, &summary.sweep_models)?,
        when(of_one_size, &|| medians::draw(summary))?,
        when(of_one_size, &|| ecdf::draw(run, summary))?,
        timeline::draw(run, summary)?,
        when(of_one_size, &|| phases::draw(summary))?,
        density::draw(run, &summary.density)?,
        footprint::draw(&summary.density)?,
        merging::draw(run)?,
        stress::draw(run, summary)?,
        checks::draw(run)?,
    ];
    let covers = summary.portability.iter().flat_map(|found| &found.covers).cloned().collect::<Vec<_>>();
    let carried = matrix::draw(&run.matrix).into_iter().chain(cover::draw(&covers)?);
    Ok(charts.into_iter().flatten().chain(carried).collect())
}

/// The charts of a comparison.
///
/// # Errors
/// What the drawing library said.
pub fn changes(comparison: &Comparison) -> Result<Vec<Chart>, Error> {
    Ok(forest::draw(comparison)?.into_iter().collect())
}

/// Width of every chart in pixels.
const WIDTH: u32 = 800;
/// Text; the report makes it light on a dark page.
const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
/// Lines that only guide the eye.
const FAINT: RGBColor = RGBColor(0xcc, 0xcc, 0xcc);
/// Waiting, and whatever has no colour of its own.
const GREY: RGBColor = RGBColor(0x99, 0x99, 0x99);

/// Okabe & Ito's colours (*Color Universal Design*, 2008) without black and yellow, which vanish
/// on one page or the other, and four of Tol's (*Colour Schemes*, SRON 2021, muted).
const PALETTE: [RGBColor; 10] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x99, 0x99, 0x33),
    RGBColor(0xaa, 0x44, 0x99),
    RGBColor(0xdd, 0xcc, 0x77),
    RGBColor(0x88, 0x22, 0x55),
];

fn colour(index: usize) -> RGBColor {
    PALETTE[index % PALETTE.len()]
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws into a picture of `height` pixels.
fn picture(
    name: &'static str,
    height: u32,
    draw: impl FnOnce(&Area) -> Result<(), Box<dyn std::error::Error>>,
) -> Result<String, Error> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        let drawn = draw(&area).and_then(|()| Ok(area.present()?));
        drawn.map_err(|failed| Error::Chart { chart: name, what: failed.to_string() })?;
    }
    Ok(svg)
}

/// A text of `size` pixels whose `anchor` is at `at`.
fn write(
    area: &Area,
    text: &str,
    at: (i32, i32),
    size: u32,
    anchor: HPos,
) -> Result<(), Box<dyn std::error::Error>> {
    let style = ("sans-serif", size).into_font().color(&INK).pos(Pos::new(anchor, VPos::Center));
    // A control character, as from a hostile phase name, would make the picture unreadable XML.
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    Ok(area.draw(&Text::new(clean, at, style))?)
}

/// A filled box.
fn fill(
    area: &Area,
    from: (i32, i32),
    to: (i32, i32),
    colour: RGBColor,
) -> Result<(), Box<dyn std::error::Error>> {
    Ok(area.draw(&Rectangle::new([from, to], colour.filled()))?)
}

/// Height of a line of a legend.
const LEGEND_LINE: i32 = 18;

/// Boxes with what their colours mean, in as many lines as they need; the first is centred on
/// `at`. Returns the height of the lines.
fn legend(
    area: &Area,
    entries: &[(String, RGBColor)],
    at: (i32, i32),
) -> Result<i32, Box<dyn std::error::Error>> {
    let places = places(entries, at.0);
    for ((text, colour), (x, line)) in entries.iter().zip(&places) {
        let y = at.1 + LEGEND_LINE * line;
        fill(area, (*x, y - 5), (*x + 10, y + 5), *colour)?;
        write(area, text, (*x + 15, y), 13, HPos::Left)?;
    }
    Ok(LEGEND_LINE * (places.last().map_or(0, |(_, line)| *line) + 1))
}

/// Height the legend of `entries` needs when it begins `left`.
fn legend_height(entries: &[(String, RGBColor)], left: i32) -> i32 {
    LEGEND_LINE * (places(entries, left).last().map_or(0, |(_, line)| *line) + 1)
}

/// Where each entry begins, and in which line.
fn places(entries: &[(String, RGBColor)], left: i32) -> Vec<(i32, i32)> {
    let (mut x, mut line) = (left, 0);
    entries
        .iter()
        .map(|(text, _)| {
            // A letter of 13 pixels is 7 wide on the average of the fonts browsers have.
            let wide = 15 + 7 * i32::try_from(text.chars().count()).unwrap_or(0);
            if x > left && x + wide > WIDTH as i32 {
                (x, line) = (left, line + 1);
            }
            let place = (x, line);
            x += wide + 15;
            place
        })
        .collect()
}

/// A share as a label of an axis.
fn percent_of_all(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// The part of a text that fits.
fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_legend_stays_within_the_picture() {
        let entries: Vec<(String, RGBColor)> =
            (0..8).map(|i| (format!("a longer phase {i}"), GREY)).collect();
        let places = places(&entries, 130);
        for (x, _) in &places {
            assert!(*x >= 130 && x + 15 + 7 * 16 <= WIDTH as i32, "{places:?}");
        }
        assert_eq!(legend_height(&entries, 130), LEGEND_LINE * (places[7].1 + 1));
        assert!(places[7].1 >= 1);
    }
}
