//! Share of replacements that serve again, by the time since the failure; one thin line a drill.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::{Chart, FAINT, INK, colour, picture, short, write};
use crate::Error;
use crate::drill::{Recovery, served};
use crate::folder::LoadedRun;
use crate::text::duration;

const NAME: &str = "recovery";

pub(super) fn draw(run: &LoadedRun, all: &[Recovery]) -> Result<Option<Chart>, Error> {
    let curves: Vec<(usize, Vec<f64>, f64)> = run
        .drills
        .iter()
        .filter_map(|drill| {
            let kind = all.iter().position(|one| one.backend == drill.backend && one.mode == drill.mode)?;
            Some((kind, served(run, drill), f64::from(drill.instances)))
        })
        .filter(|(_, times, _)| !times.is_empty())
        .collect();
    let times = || curves.iter().flat_map(|(_, times, _)| times.iter().copied());
    let (low, high) = (times().fold(f64::INFINITY, f64::min).max(1.0), times().fold(0.0, f64::max));
    if !low.is_finite() || high <= 0.0 {
        return Ok(None);
    }
    let (low, high) = (low / 1.5, high * 1.3);
    let svg = picture(NAME, 380 + 20 * all.len() as u32, |area| {
        let (legend, plot) = area.split_vertically(20 * all.len() as u32 + 8);
        let mut chart = ChartBuilder::on(&plot)
            .margin_right(24)
            .x_label_area_size(46)
            .y_label_area_size(64)
            .build_cartesian_2d((low..high).log_scale(), 0.0..1.0)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(FAINT)
            .axis_style(INK)
            .label_style(("sans-serif", 13).into_font().color(&INK))
            .x_label_formatter(&|ns| duration(*ns))
            .y_label_formatter(&|share| format!("{:.0} %", share * 100.0))
            .y_labels(5)
            .x_desc("since the first kill, log scale")
            .y_desc("serve again")
            .draw()?;
        for (index, one) in all.iter().enumerate() {
            let y = 14 + 20 * index as i32;
            legend.draw(&PathElement::new([(70, y), (94, y)], colour(index).stroke_width(3)))?;
            let all = one
                .all_ns
                .value
                .map_or("not all served again".into(), |ns| format!("all after {}", duration(ns)));
            let label = format!(
                "{}, {}: {all}, {} of {} requests lost",
                short(&one.backend, 24),
                one.mode,
                one.lost_total,
                one.requests_total
            );
            write(&legend, &label, (100, y), 14, HPos::Left)?;
        }
        for (kind, times, instances) in &curves {
            let mut points = vec![(low, 0.0)];
            for (number, time) in times.iter().enumerate() {
                points.push((time.max(low), number as f64 / instances));
                points.push((time.max(low), (number + 1) as f64 / instances));
            }
            points.push((high, times.len() as f64 / instances));
            chart.draw_series(LineSeries::new(points, colour(*kind).stroke_width(1)))?;
        }
        Ok(())
    })?;
    Ok(Some(Chart {
        name: NAME,
        caption: format!(
            "Share of the replacements that serve again, since the first kill; one line a drill (n = {} drills). \
             Requests lost are those the client had no answer to, at its even rate, before, during and after.",
            curves.len()
        ),
        svg,
    }))
}
