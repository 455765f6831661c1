//! How many artifacts it takes to be on k platforms.

use plotters::prelude::*;

use super::{Chart, FAINT, GREY, INK, colour, picture, write};
use crate::Error;
use crate::portability::Cover;
use plotters::style::text_anchor::HPos;

const NAME: &str = "artifacts";
const HEIGHT: u32 = 340;

pub(super) fn draw(covers: &[Cover]) -> Result<Option<Chart>, Error> {
    let shown: Vec<&Cover> = covers.iter().filter(|cover| !cover.needed.is_empty()).collect();
    let (Some(wide), Some(high)) = (
        shown.iter().map(|cover| cover.platforms).max(),
        shown.iter().filter_map(|cover| cover.needed.last()).max(),
    ) else {
        return Ok(None);
    };
    let (wide, high) = (wide as f64 + 1.0, *high as f64 + 1.0);
    let svg = picture(NAME, HEIGHT, |area| {
        let (legend, plot) = area.split_vertically(20 * shown.len() as u32 + 10);
        let mut chart = ChartBuilder::on(&plot)
            .margin_right(24)
            .x_label_area_size(46)
            .y_label_area_size(54)
            .build_cartesian_2d(0.0..wide, 0.0..high)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(FAINT)
            .axis_style(GREY)
            .label_style(("sans-serif", 13).into_font().color(&INK))
            .x_label_formatter(&|k| format!("{k:.0}"))
            .y_label_formatter(&|n| format!("{n:.0}"))
            .x_desc("platforms covered")
            .y_desc("artifacts needed")
            .draw()?;
        for (index, cover) in shown.iter().enumerate() {
            let y = 14 + 20 * index as i32;
            legend.draw(&PathElement::new([(60, y), (84, y)], colour(index).stroke_width(3)))?;
            let most = cover.needed.last().copied().unwrap_or(0);
            let label =
                format!("{}: {most} for {} of {} platforms", cover.what, cover.needed.len(), cover.platforms);
            write(&legend, &label, (90, y), 14, HPos::Left)?;
            let points: Vec<(f64, f64)> =
                cover.needed.iter().enumerate().map(|(at, n)| ((at + 1) as f64, *n as f64)).collect();
            chart.draw_series(LineSeries::new(points.clone(), colour(index).stroke_width(2)))?;
            chart
                .draw_series(points.into_iter().map(|point| Circle::new(point, 3, colour(index).filled())))?;
        }
        Ok(())
    })?;
    let caption = "Artifacts needed to work on k platforms, counting only what was booted or run: the next artifact is the one \
                   that adds most platforms. What no line reaches was tried and did not work anywhere."
        .to_owned();
    Ok(Some(Chart { name: NAME, caption, svg }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_where_nothing_works_any_more() {
        let cover = Cover { what: "VM: disk files".into(), platforms: 4, needed: vec![1, 2, 2] };
        let chart = draw(&[cover]).expect("drawn").expect("a chart");
        assert!(chart.svg.contains("2 for 3 of 4 platforms"));
        let nothing = Cover { what: "x".into(), platforms: 4, needed: Vec::new() };
        assert!(draw(&[nothing]).expect("drawn").is_none());
    }
}
