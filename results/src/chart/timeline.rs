//! One storm of each backend: every instance a bar from due to ready, with its phases.

use std::collections::BTreeMap;

use plotters::style::RGBColor;
use plotters::style::text_anchor::HPos;

use super::{Chart, FAINT, GREY, WIDTH, colour, fill, legend, picture, short, write};
use crate::Error;
use crate::folder::LoadedRun;
use crate::record::{Attempt, Outcome, Phase};
use crate::summary::{Summary, storms_of};
use crate::text::duration;

const NAME: &str = "timeline";
const LEFT: i32 = 130;
/// Height of a panel's head, legend and axis.
const FRAME: i32 = 74;
const FAILED: RGBColor = RGBColor(0xb0, 0x00, 0x20);

struct Panel<'a> {
    title: String,
    attempts: Vec<&'a Attempt>,
    bar: i32,
}

pub(super) fn draw(run: &LoadedRun, summary: &Summary) -> Result<Option<Chart>, Error> {
    let storms = storms_of(run);
    let panels: Vec<Panel> = summary
        .backends
        .iter()
        .filter_map(|backend| {
            let (storm, attempts) = storms.get(backend.backend.as_str())?.counted.first_key_value()?;
            let mut attempts = attempts.clone();
            attempts.sort_by_key(|one| (one.scheduled_ns, one.instance));
            let bar = (260 / attempts.len().max(1) as i32).clamp(1, 12);
            let title = format!("{}, storm {storm}, n={}", short(&backend.backend, 40), attempts.len());
            Some(Panel { title, attempts, bar })
        })
        .collect();
    if panels.is_empty() {
        return Ok(None);
    }
    let mut phases: BTreeMap<(u32, &str, u32), Vec<&Phase>> = BTreeMap::new();
    for phase in &run.phases {
        phases.entry((phase.storm, &phase.backend, phase.instance)).or_default().push(phase);
    }
    let height: i32 = panels.iter().map(|panel| FRAME + panel.bar * panel.attempts.len() as i32).sum();
    let svg = picture(NAME, height as u32, |area| {
        let mut top = 0;
        for panel in &panels {
            write(area, &panel.title, (8, top + 14), 14, HPos::Left)?;
            let begin = panel.attempts.iter().map(|one| one.scheduled_ns).min().unwrap_or(0);
            let end = panel.attempts.iter().map(|one| until(one)).max().unwrap_or(begin);
            let span = end.saturating_sub(begin).max(1) as f64;
            let width = f64::from(WIDTH as i32 - LEFT - 40);
            let x = |ns: u64| LEFT + (ns.saturating_sub(begin) as f64 / span * width) as i32;
            let bottom = top + 46 + panel.bar * panel.attempts.len() as i32;
            for quarter in 0..=4 {
                let at = LEFT + (width * f64::from(quarter) / 4.0) as i32;
                fill(area, (at, top + 42), (at + 1, bottom), FAINT)?;
                let label = duration(span * f64::from(quarter) / 4.0);
                write(area, &label, (at, bottom + 11), 12, HPos::Center)?;
            }
            let mut entries = vec![("due, not begun".to_owned(), GREY)];
            for (row, attempt) in panel.attempts.iter().enumerate() {
                let y = top + 44 + panel.bar * row as i32;
                let below = y + (panel.bar - 1).max(1);
                let started = attempt.started_ns.unwrap_or(attempt.scheduled_ns);
                fill(area, (x(attempt.scheduled_ns), y), (x(started), below), GREY)?;
                if attempt.outcome != Outcome::Ready {
                    entry(&mut entries, "not ready", FAILED);
                    fill(area, (x(started), y), (x(until(attempt)), below), FAILED)?;
                    continue;
                }
                let key = (attempt.storm, attempt.backend.as_str(), attempt.instance);
                for phase in phases.get(&key).into_iter().flatten() {
                    let next = colour(entries.iter().filter(|(_, c)| *c != GREY && *c != FAILED).count());
                    let shade = entry(&mut entries, &short(&phase.phase, 14), next);
                    fill(area, (x(phase.begin_ns), y), (x(phase.end_ns), below), shade)?;
                }
            }
            legend(area, &entries, (LEFT, top + 32))?;
            top = bottom + 28;
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

/// The colour of an entry of the legend, which is added where it is not there.
fn entry(entries: &mut Vec<(String, RGBColor)>, name: &str, new: RGBColor) -> RGBColor {
    if let Some((_, colour)) = entries.iter().find(|(text, _)| text == name) {
        return *colour;
    }
    entries.push((name.to_owned(), new));
    new
}
