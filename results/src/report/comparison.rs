//! Base against head on one page.

use super::page::{Section, details, figure, list, page, table};
use crate::Error;
use crate::chart;
use crate::compare::{Change, Comparison, Level, SideRef, Verdict};
use crate::text::{escape, ratio};

/// The page.
///
/// # Errors
/// Where the chart cannot be drawn.
pub fn comparison(comparison: &Comparison) -> Result<String, Error> {
    let overall = comparison.overall();
    let title = format!("{}: {} against {}", overall.word(), comparison.head.label, comparison.base.label);
    let head = format!(
        "<h1>{}</h1>\n<p>{}</p>\n<p class=\"dim\">base: {}<br>head: {}</p>\n",
        escape(&title),
        escape(sentence(overall)),
        escape(&side(&comparison.base)),
        escape(&side(&comparison.head))
    );
    let charts: String = chart::changes(comparison)?.iter().map(|chart| figure(chart, "")).collect();
    let ignored: Vec<String> = comparison
        .ignored
        .iter()
        .map(|one| format!("{} {}: {}", one.backend, one.metric, one.reason))
        .collect();
    let method = format!(
        "<p>One value a {unit}. Permutation test on ranks, two-sided, adjusted over metrics (Holm) at α = {}; the change \
         is the median of all pairwise ratios (Hodges–Lehmann) with its 95 % bootstrap interval over {unit}s, then \
         instances. A change counts where p is below α, it is above both floors and its interval excludes the floor; \
         unchanged means that the interval lies within it. Seed {}.</p>\n",
        comparison.alpha,
        comparison.seed,
        unit = comparison.unit.plural().trim_end_matches('s')
    );
    let sections = [
        Section::new("verdicts", "Verdicts", verdicts(comparison)),
        Section::new("charts", "Changes", charts),
        Section::new("ignored", "Not judged", list(&ignored)),
        Section::new("notes", "Notes", list(&comparison.notes)),
        Section::new("method", "Method", method),
        Section::new("values", "Values", comparison.changes.iter().map(values).collect()),
    ];
    Ok(page(&title, &head, &sections))
}

fn sentence(overall: Verdict) -> &'static str {
    match overall {
        Verdict::Regressed => "At least one metric got worse by more than its floors.",
        Verdict::Incomparable => "Some of it is not of the same thing on both sides and was not judged.",
        Verdict::Inconclusive => "Nothing was shown to be worse, but some of it these storms cannot tell.",
        Verdict::Improved => "Something got better and nothing worse.",
        Verdict::Unchanged => "Every metric was shown to be within its floors.",
    }
}

fn side(side: &SideRef) -> String {
    let runs: Vec<String> =
        side.runs.iter().map(|run| format!("run {} of {}", run.id, run.began_at)).collect();
    format!("{} ({})", side.label, runs.join(", "))
}

fn verdicts(comparison: &Comparison) -> String {
    let show = |change: &Change, level: &Level| level.value.map_or("–".into(), |v| change.metric.show(v));
    let rows = comparison.changes.iter().map(|change| {
        let interval = match (change.ratio.value, change.ratio.low, change.ratio.high) {
            (Some(value), Some(low), Some(high)) => {
                format!("{} [{}, {}]", ratio(value), ratio(low), ratio(high))
            }
            (Some(value), ..) => ratio(value),
            _ => "–".into(),
        };
        vec![
            change.backend.clone(),
            change.metric.to_string(),
            show(change, &change.base),
            show(change, &change.head),
            interval,
            change.adjusted_p.map_or("–".into(), p_value),
            format!("{} + {}", change.base.n, change.head.n),
            format!("{}: {}", change.verdict.word(), change.why),
        ]
    });
    let heads =
        ["backend", "metric", "base", "head", "head ÷ base [95 %]", "p", comparison.unit.plural(), "verdict"];
    table(&heads, rows)
}

fn p_value(p: f64) -> String {
    if p < 0.0001 { "<0.0001".into() } else { format!("{p:.4}") }
}

fn values(change: &Change) -> String {
    let of = |level: &Level| {
        let shown = level.values.iter().map(|value| value.map_or("never".into(), |v| change.metric.show(v)));
        shown.collect::<Vec<String>>().join(", ")
    };
    let rows = [vec!["base".to_owned(), of(&change.base)], vec!["head".to_owned(), of(&change.head)]];
    details(&format!("{} {}", change.backend, change.metric), &table(&["side", "one value each"], rows))
}
