//! `bench aa`: the same configuration twice, blind: what this host calls a change where there is none.

use std::io::Write;

use results::noise::{Assessment, assess};
use results::text::{duration, percent};

use crate::command::ab;
use crate::command::compare::rules;
use crate::failure::Failure;
use crate::judging::AaArgs;

/// Storms a side of a pair where nothing else is asked.
const STORMS: u32 = 6;

/// Measures pairs of the same, and prints what was found and which floors that suggests.
///
/// # Errors
/// As `bench ab`.
pub fn run(args: AaArgs, out: &mut impl Write) -> Result<u8, Failure> {
    if args.pairs == 0 {
        return Err(Failure::Usage("--pairs 0: at least one pair is needed".into()));
    }
    let rules = rules()?;
    let mut settings = args.settings.clone();
    let storms = settings.storms.unwrap_or(STORMS);
    settings.storms = Some(storms);
    let (path, run) = ab::storms(&[&args.configuration; 2], &settings, args.pairs)?;
    let assessment = assess(&run, ab::LABELS, storms as usize, &rules).map_err(crate::sides::cannot)?;
    results::write_json(&path.join("noise.json"), &assessment).map_err(crate::sides::cannot)?;
    print(&args.configuration, &assessment, out)?;
    writeln!(out, "{}", path.display())?;
    Ok(0)
}

fn print(configuration: &str, found: &Assessment, out: &mut impl Write) -> Result<(), Failure> {
    writeln!(
        out,
        "{configuration} against itself: {} pairs of {} storms a side, {} comparisons",
        found.pairs, found.storms, found.comparisons
    )?;
    writeln!(
        out,
        "false alarms: {} verdicts of a change ({}; with 95 % confidence at most {}), {} with p < {}",
        found.false_verdicts,
        percent(found.false_verdicts as f64 / found.comparisons.max(1) as f64),
        percent(found.false_verdicts_at_most),
        found.significant,
        found.alpha
    )?;
    for metric in &found.metrics {
        writeln!(
            out,
            "{}: storms differ by {} (standard deviation), instances within one by {}; pairs differed by up to {}; \
             drift between neighbours {}",
            metric.metric,
            percent(metric.between_storms),
            percent(metric.within_storms),
            percent(metric.largest_change),
            percent(metric.between_neighbours),
        )?;
        writeln!(
            out,
            "  an interval of {} storms a side is about ±{}; a change of 5 % needs about {} storms a side",
            found.storms,
            percent(metric.half_interval),
            metric.storms_for_five_per_cent.map_or("very many".to_owned(), |storms| storms.to_string()),
        )?;
        writeln!(
            out,
            "  floors this suggests (bench.toml):\n    [[compare.floor]]\n    metric = \"{}\"\n    relative = {:.3}\n    \
             absolute_ns = {:.0} # {}\n    reason = \"bench aa: the same twice differed by less\"",
            metric.metric,
            metric.relative_floor,
            metric.absolute_floor_ns,
            duration(metric.absolute_floor_ns)
        )?;
    }
    Ok(())
}
