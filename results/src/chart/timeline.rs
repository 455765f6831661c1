//! One storm of each backend: every instance a bar from due to ready, with its phases.

use std::collections::{HashMap, HashSet};

use plotters::style::RGBColor;
use plotters::style::text_anchor::HPos;

use super::{Chart, FAINT, GREY, WIDTH, colour, fill, legend, legend_height, picture, short, write};
use crate::Error;
use crate::folder::LoadedRun;
use crate::record::{Attempt, Outcome, Phase};
use crate::summary::{Summary, storms_of};
use crate::text::duration;

const NAME: &str = "timeline";
const LEFT: i32 = 130;
/// Height of a panel's head and axis, without its legend.
const FRAME: i32 = 56;
/// Bars of a panel; of a larger storm every k-th instance is drawn.
const MOST_BARS: usize = 120;
const FAILED: RGBColor = RGBColor(0xb0, 0x00, 0x20);

struct Panel<'a> {
    title: String,
    attempts: Vec<&'a Attempt>,
    bar: i32,
    /// What the colours mean.
    entries: Vec<(String, RGBColor)>,
}

impl Panel<'_> {
    fn height(&self) -> i32 {
        FRAME + legend_height(&self.entries, LEFT) + self.bar * self.attempts.len() as i32
    }
}

type Phases<'a> = HashMap<(u32, &'a str, u32), Vec<&'a Phase>>;

pub(super) fn draw(run: &LoadedRun, summary: &Summary) -> Result<Option<Chart>, Error> {
    let storms = storms_of(run);
    let mut panels: Vec<Panel> = summary
        .backends
        .iter()
        .filter_map(|backend| {
            let (storm, attempts) = storms.get(backend.backend.as_str())?.counted.first_key_value()?;
            let mut attempts = attempts.clone();
            attempts.sort_by_key(|one| (one.scheduled_ns, one.instance));
            let n = attempts.len();
            let step = n.div_ceil(MOST_BARS).max(1);
            let attempts: Vec<&Attempt> = attempts.into_iter().step_by(step).collect();
            let bar = (260 / attempts.len().max(1) as i32).clamp(2, 12);
            let shown = if step > 1 { format!(", every {step}th drawn") } else { String::new() };
            let title = format!("{}, storm {storm}, n={n}{shown}", short(&backend.backend, 40));
            Some(Panel { title, attempts, bar, entries: Vec::new() })
        })
        .collect();
    if panels.is_empty() {
        return Ok(None);
    }
    let phases = phases_of(run, &panels);
    panels.iter_mut().for_each(|panel| panel.entries = entries(panel, &phases));
    let height: i32 = panels.iter().map(Panel::height).sum();
    let svg = picture(NAME, height as u32, |area| {
        let mut top = 0;
        for panel in &panels {
            write(area, &panel.title, (8, top + 14), 14, HPos::Left)?;
            let begin = panel.attempts.iter().map(|one| one.scheduled_ns).min().unwrap_or(0);
            let end = panel.attempts.iter().map(|one| until(one)).max().unwrap_or(begin);
            let span = end.saturating_sub(begin).max(1) as f64;
            let width = f64::from(WIDTH as i32 - LEFT - 40);
            let x = |ns: u64| LEFT + (ns.saturating_sub(begin) as f64 / span * width) as i32;
            let bars = top + 26 + legend(area, &panel.entries, (LEFT, top + 32))?;
            let bottom = bars + 2 + panel.bar * panel.attempts.len() as i32;
            for quarter in 0..=4 {
                let at = LEFT + (width * f64::from(quarter) / 4.0) as i32;
                fill(area, (at, bars - 2), (at + 1, bottom), FAINT)?;
                let label = duration(span * f64::from(quarter) / 4.0);
                write(area, &label, (at, bottom + 11), 12, HPos::Center)?;
            }
            let shade = |name: &str| {
                let found = panel.entries.iter().find(|(text, _)| text == name);
                found.map_or(GREY, |(_, colour)| *colour)
            };
            for (row, attempt) in panel.attempts.iter().enumerate() {
                let y = bars + panel.bar * row as i32;
                let below = y + (panel.bar - 1).max(1);
                let started = attempt.started_ns.unwrap_or(attempt.scheduled_ns);
                fill(area, (x(attempt.scheduled_ns), y), (x(started), below), GREY)?;
                if attempt.outcome != Outcome::Ready {
                    fill(area, (x(started), y), (x(until(attempt)), below), FAILED)?;
                    continue;
                }
                for phase in phases.get(&key(attempt)).into_iter().flatten() {
                    let colour = shade(&short(&phase.phase, 14));
                    fill(area, (x(phase.begin_ns), y), (x(phase.end_ns), below), colour)?;
                }
            }
            top += panel.height();
        }
        Ok(())
    })?;
    Ok(Some(Chart {
        name: NAME,
        caption:
            "The first counted storm of each backend: every bar is one instance, from the moment it was \
                  due until it was ready, in its phases (n at each panel). Each panel has its own time axis."
                .into(),
        svg,
    }))
}

/// When the bar of an attempt ends.
fn until(attempt: &Attempt) -> u64 {
    let ends = match attempt.outcome {
        Outcome::Ready => [attempt.ready_ns, attempt.started_ns],
        _ => [attempt.stopped_ns, attempt.started_ns],
    };
    ends.into_iter().flatten().next().unwrap_or(attempt.scheduled_ns)
}

fn key(attempt: &Attempt) -> (u32, &str, u32) {
    (attempt.storm, attempt.backend.as_str(), attempt.instance)
}

/// The phases of the attempts that are drawn.
fn phases_of<'a>(run: &'a LoadedRun, panels: &[Panel<'a>]) -> Phases<'a> {
    let drawn: HashSet<_> = panels.iter().flat_map(|panel| &panel.attempts).map(|one| key(one)).collect();
    let mut phases = Phases::new();
    for phase in &run.phases {
        let key = (phase.storm, phase.backend.as_str(), phase.instance);
        if drawn.contains(&key) {
            phases.entry(key).or_default().push(phase);
        }
    }
    phases
}

/// What the colours of a panel mean: waiting, its phases in the order they come, failure.
fn entries(panel: &Panel, phases: &Phases) -> Vec<(String, RGBColor)> {
    let mut entries = vec![("due, not begun".to_owned(), GREY)];
    for phase in panel.attempts.iter().filter_map(|one| phases.get(&key(one))).flatten() {
        let name = short(&phase.phase, 14);
        if !entries.iter().any(|(text, _)| *text == name) {
            let next = colour(entries.len() - 1);
            entries.push((name, next));
        }
    }
    if panel.attempts.iter().any(|one| one.outcome != Outcome::Ready) {
        entries.push(("not ready".to_owned(), FAILED));
    }
    entries
}
