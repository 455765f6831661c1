//! What a start is made of, per backend: each phase's median as a share of their sum.

use plotters::style::text_anchor::HPos;

use super::{Chart, WIDTH, colour, fill, legend, picture, short, write};
use crate::Error;
use crate::summary::Summary;
use crate::text::duration;

const NAME: &str = "phases";
const LEFT: i32 = 130;
const ROW: i32 = 70;

pub(super) fn draw(summary: &Summary) -> Result<Option<Chart>, Error> {
    let backends: Vec<_> = summary.backends.iter().filter(|backend| !backend.phases.is_empty()).collect();
    if backends.is_empty() {
        return Ok(None);
    }
    let height = ROW as u32 * backends.len() as u32 + 10;
    let svg = picture(NAME, height, |area| {
        let width = f64::from(WIDTH as i32 - LEFT - 100);
        for (row, backend) in backends.iter().enumerate() {
            let y = 10 + ROW * row as i32;
            let total: f64 = backend.phases.iter().map(|phase| phase.median_ns).sum();
            write(area, &short(&backend.backend, 17), (LEFT - 8, y + 14), 14, HPos::Right)?;
            let mut reached = 0.0;
            let mut entries = Vec::new();
            for (index, phase) in backend.phases.iter().enumerate() {
                let from = LEFT + (reached / total.max(1.0) * width) as i32;
                reached += phase.median_ns;
                let to = LEFT + (reached / total.max(1.0) * width) as i32;
                fill(area, (from, y), (to, y + 28), colour(index))?;
                entries.push((
                    format!("{} {}", short(&phase.phase, 14), duration(phase.median_ns)),
                    colour(index),
                ));
            }
            write(area, &duration(total), (LEFT + width as i32 + 8, y + 14), 14, HPos::Left)?;
            legend(area, &entries, (LEFT, y + 44))?;
        }
        Ok(())
    })?;
    let attempts: usize = backends.iter().map(|backend| backend.counted.ready).sum();
    Ok(Some(Chart {
        name: NAME,
        caption: format!(
            "What a start is made of: median of each phase, each bar scaled to its own sum, which stands at \
             its end (n = {attempts} ready attempts). Compare lengths within a bar, not between bars."
        ),
        svg,
    }))
}
