//! How equal pages are merged over time.

use plotters::prelude::*;

use super::plane::{Axis, Entry, height, plane};
use super::{Chart, colour, picture, short};
use crate::Error;
use crate::folder::LoadedRun;
use crate::text::{duration, size};

const NAME: &str = "merging";
/// Bytes of a page as KSM counts them.
const PAGE_BYTES: f64 = 4096.0;

struct Burn {
    label: String,
    index: usize,
    /// Seconds since merging began and bytes saved.
    points: Vec<(f64, f64)>,
}

pub(super) fn draw(run: &LoadedRun) -> Result<Option<Chart>, Error> {
    let mut burns: Vec<Burn> = Vec::new();
    for (index, backend) in run.run.backends.iter().enumerate() {
        let mut storms: Vec<u32> =
            run.ksm.iter().filter(|row| row.backend == *backend).map(|row| row.storm).collect();
        storms.dedup();
        for storm in storms {
            let rows: Vec<_> =
                run.ksm.iter().filter(|row| row.backend == *backend && row.storm == storm).collect();
            let (Some(first), Some(last)) = (rows.first(), rows.last()) else { continue };
            let cpu = duration(last.ksmd_cpu_ns as f64);
            burns.push(Burn {
                label: format!("{} (storm {storm}, {cpu} of CPU)", short(backend, 24)),
                index,
                points: rows
                    .iter()
                    .map(|row| {
                        ((row.at_ns - first.at_ns) as f64 / 1e9, row.pages_sharing as f64 * PAGE_BYTES)
                    })
                    .collect(),
            });
        }
    }
    let points = || burns.iter().flat_map(|burn| &burn.points);
    let most_x = points().map(|point| point.0).fold(0.0, f64::max);
    let most_y = points().map(|point| point.1).fold(PAGE_BYTES, f64::max);
    if most_x <= 0.0 {
        return Ok(None);
    }
    let entries: Vec<Entry> =
        burns.iter().map(|burn| Entry::line(burn.label.clone(), colour(burn.index))).collect();
    let svg = picture(NAME, height(340, entries.len()), |area| {
        let x = Axis {
            range: 0.0..most_x,
            words: "since merging was switched on",
            labels: 8,
            format: &|seconds| format!("{seconds:.0} s"),
        };
        let y = Axis {
            range: 0.0..most_y * 1.05,
            words: "memory saved",
            labels: 6,
            format: &|bytes| size(*bytes),
        };
        let mut chart = plane(area, &entries, x, y)?;
        for burn in &burns {
            chart.draw_series(LineSeries::new(
                burn.points.iter().copied(),
                colour(burn.index).stroke_width(2),
            ))?;
        }
        Ok(())
    })?;
    Ok(Some(Chart {
        name: NAME,
        caption: format!(
            "Memory that merging equal pages (KSM) has saved, over time (n = {} repetitions). Only what a program \
             offers is merged: QEMU offers its guests' memory, plain processes and containers offer none unless \
             they ask.",
            burns.len()
        ),
        svg,
    }))
}
