//! `bench history`: is the newest run odd, and since when is it so.

use std::io::Write;

use results::compare::Quantity;
use results::history::{Series, history};
use results::text::percent;

use crate::command::compare::rules;
use crate::failure::{self, Failure};
use crate::judging::HistoryArgs;
use crate::terminal::{self, BOLD, GREEN, RED, YELLOW, paint};
use crate::{export, sides};

/// Reads the runs and prints a paragraph a series.
///
/// # Errors
/// A folder that holds no run, or runs that cannot be read.
pub fn run(args: &HistoryArgs, out: &mut impl Write) -> Result<u8, Failure> {
    let metrics: Vec<Quantity> = match args.metric {
        Some(metric) => vec![metric],
        None => rules()?.metrics,
    };
    let runs = sides::runs(&args.folder)?;
    let all = history(&runs, args.backend.as_deref().unwrap_or("*"), &metrics);
    if args.json {
        let text = serde_json::to_string_pretty(&all)
            .map_err(|error| Failure::Cannot(format!("cannot write the history as JSON: {error}")))?;
        writeln!(out, "{text}")?;
    } else {
        if all.is_empty() {
            writeln!(out, "nothing to show: no counted storm of this backend and metric")?;
        }
        for series in &all {
            print(series, out)?;
        }
    }
    export::runs(&runs, &args.export, out)?;
    Ok(if args.strict { exit_code(&all) } else { 0 })
}

/// A newest run beyond its fence decides, also where others have no fence.
fn exit_code(all: &[Series]) -> u8 {
    let newest = || all.iter().filter_map(|series| series.points.last());
    if newest().any(|point| point.odd() > 0) {
        failure::REGRESSED
    } else if newest().any(|point| point.fence.is_some()) {
        0
    } else {
        failure::INCONCLUSIVE
    }
}

fn print(series: &Series, out: &mut impl Write) -> Result<(), Failure> {
    let colours = terminal::stdout_colours();
    let show = |value| series.metric.show(value);
    let title = format!("{} {}", series.backend, series.metric);
    writeln!(out, "{}  {} runs", paint(colours, BOLD, &title), series.points.len())?;
    for (index, point) in series.points.iter().enumerate() {
        if !point.differs.is_empty() {
            writeln!(
                out,
                "  {} not comparable with the run before: {}",
                point.began_at,
                point.differs.join("; ")
            )?;
        }
        if let Some(change) = series.changes.iter().find(|change| change.index == index) {
            let colour = if change.after > change.before { RED } else { GREEN };
            let what = format!("{} → {}", show(change.before), show(change.after));
            writeln!(
                out,
                "  {} since run {}: {} ({}, p = {:.1e})",
                point.began_at,
                point.run,
                paint(colours, colour, &what),
                percent(change.relative()),
                change.p
            )?;
        }
    }
    if let Some(newest) = series.points.last() {
        let fence = match newest.fence {
            None => "no fence: fewer than four comparable runs before it".to_owned(),
            Some((low, high)) => match newest.odd() {
                0 => format!("within its fence [{}, {}]", show(low.max(0.0)), show(high)),
                _ => paint(
                    colours,
                    YELLOW,
                    &format!("odd: beyond its fence [{}, {}]", show(low.max(0.0)), show(high)),
                ),
            },
        };
        writeln!(out, "  newest, run {}: {}, {fence}", newest.run, show(newest.value))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use results::history::Point;

    use super::*;

    fn series(value: f64, fence: Option<(f64, f64)>) -> Series {
        let point = Point { run: "r".into(), began_at: String::new(), value, fence, differs: Vec::new() };
        let metric = Quantity::ReadyFromStarted;
        Series { backend: "container".into(), metric, points: vec![point], changes: Vec::new() }
    }

    #[test]
    fn slower_than_the_fence_fails_quicker_does_not_and_no_fence_tells_nothing() {
        let (slow, quick) = (series(3.0, Some((1.0, 2.0))), series(0.5, Some((1.0, 2.0))));
        let unfenced = series(9.0, None);
        assert_eq!(exit_code(&[unfenced.clone(), slow]), failure::REGRESSED);
        assert_eq!(exit_code(&[quick, unfenced.clone()]), 0);
        assert_eq!(exit_code(&[unfenced]), failure::INCONCLUSIVE);
    }
}
