//! How far a run is: one bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use results::record::Outcome;
use scenarios::Progress;

use crate::terminal::{self, YELLOW, paint};

/// More causes of failure than this per storm are not written out; the rows have them all.
const FAILURES_SHOWN: u32 = 3;

/// Shows [`Progress`] on standard error.
pub struct Display {
    bar: Option<ProgressBar>,
    failures: u32,
}

impl Display {
    /// A bar where standard error is a terminal.
    pub fn new() -> Display {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            // The template is a constant; the default style stands in should it ever be refused.
            let style = ProgressStyle::with_template("{msg:30} [{bar:40}] {pos}/{len} {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            bar.set_style(style.progress_chars("=> "));
            bar
        });
        Display { bar, failures: 0 }
    }

    /// Shows what happened.
    pub fn show(&mut self, progress: Progress) {
        match progress {
            Progress::Chosen(what) => self.line(&format!("chosen: {what}")),
            Progress::Preparing { backend } => match &self.bar {
                Some(bar) => bar.set_message(format!("preparing {backend}")),
                None => self.line(&format!("preparing {backend}")),
            },
            Progress::Unavailable { backend, reason } => {
                self.warning(&format!("{backend} is left out: {reason}"))
            }
            Progress::StormBegan { storm, of, backend, warmup, instances } => {
                self.failures = 0;
                if let Some(bar) = &self.bar {
                    let kind = if warmup { "warm-up" } else { "storm" };
                    bar.set_message(format!("{kind} {}/{of} {backend}", storm + 1));
                    bar.set_length(instances.into());
                    bar.set_position(0);
                }
            }
            Progress::AttemptEnded { backend, instance, outcome, error, .. } => {
                if let Some(bar) = &self.bar {
                    bar.inc(1);
                }
                if matches!(outcome, Outcome::Failed | Outcome::Timeout) {
                    self.failures += 1;
                    if self.failures <= FAILURES_SHOWN {
                        self.warning(&format!("{backend} instance {instance}: {error}"));
                    }
                }
            }
            Progress::StormEnded { storm, backend, ready, other, lasted_ns } => {
                let lasted = Duration::from_nanos(lasted_ns).as_secs_f64();
                let what = if other == 0 {
                    format!("storm {storm}: {backend}: {ready} ready, {lasted:.2} s")
                } else {
                    format!("storm {storm}: {backend}: {ready} ready, {other} not, {lasted:.2} s")
                };
                self.line(&what);
            }
            Progress::Checked { backend, counts } => {
                let counts: Vec<String> =
                    counts.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
                self.line(&format!("{backend}: {}", counts.join(", ")));
            }
            Progress::CellEnded { done, of, text } => {
                self.line(&text);
                if let Some(bar) = &self.bar {
                    bar.set_message("portability");
                    bar.set_length(of.into());
                    bar.set_position(done.into());
                }
            }
            Progress::Warning(what) => self.warning(&what),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn warning(&self, what: &str) {
        self.line(&format!("{} {what}", paint(terminal::stderr_colours(), YELLOW, "warning:")));
    }

    fn line(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| terminal::say(line)),
            None => terminal::say(line),
        }
    }
}
