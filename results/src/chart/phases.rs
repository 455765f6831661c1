//! What a start is made of, per backend: each phase's median as a share of their sum.

use plotters::style::text_anchor::HPos;

use plotters::style::RGBColor;

use super::{Chart, WIDTH, colour, fill, legend, legend_height, picture, short, write};
use crate::Error;
use crate::summary::{BackendSummary, Summary};
use crate::text::duration;

const NAME: &str = "phases";
const LEFT: i32 = 130;
/// Height of a bar and the gap below its legend.
const BAR: i32 = 28;
const GAP: i32 = 20;

pub(super) fn draw(summary: &Summary) -> Result<Option<Chart>, Error> {
    let backends: Vec<_> = summary.backends.iter().filter(|backend| !backend.phases.is_empty()).collect();
    if backends.is_empty() {
        return Ok(None);
    }
    let height: i32 =
        backends.iter().map(|backend| BAR + 6 + legend_height(&entries(backend), LEFT) + GAP).sum();
    let svg = picture(NAME, (10 + height) as u32, |area| {
        let width = f64::from(WIDTH as i32 - LEFT - 100);
        let mut y = 10;
        for backend in &backends {
            let total: f64 = backend.phases.iter().map(|phase| phase.median_ns).sum();
            write(area, &short(&backend.backend, 17), (LEFT - 8, y + BAR / 2), 14, HPos::Right)?;
            let mut reached = 0.0;
            for (index, phase) in backend.phases.iter().enumerate() {
                let from = LEFT + (reached / total.max(1.0) * width) as i32;
                reached += phase.median_ns;
                let to = LEFT + (reached / total.max(1.0) * width) as i32;
                fill(area, (from, y), (to, y + BAR), colour(index))?;
            }
            write(area, &duration(total), (LEFT + width as i32 + 8, y + BAR / 2), 14, HPos::Left)?;
            y += BAR + 6 + legend(area, &entries(backend), (LEFT, y + BAR + 15))? + GAP;
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

fn entries(backend: &BackendSummary) -> Vec<(String, RGBColor)> {
    let name = |phase: &crate::summary::PhaseSummary| {
        format!("{} {}", short(&phase.phase, 14), duration(phase.median_ns))
    };
    backend.phases.iter().enumerate().map(|(index, phase)| (name(phase), colour(index))).collect()
}
