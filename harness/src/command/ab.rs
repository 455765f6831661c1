//! `bench ab`: two launch configurations against each other in one session, in ABBA order.

use std::io::Write;
use std::path::{Path, PathBuf};

use results::LoadedRun;
use results::compare::{Comparison, Rules, Side, Verdict, compare};
use results::noise::{INSTANCES_OF_SHORT_STARTS, STORMS_OF_SHORT_STARTS};
use scenarios::Completion;

use crate::cli::RunArgs;
use crate::command::compare::rules;
use crate::command::run::{Measured, Unavailable, measure};
use crate::contender::Contender;
use crate::failure::Failure;
use crate::judging::AbArgs;
use crate::settings::Settings;
use crate::sides::cannot;
use crate::{export, host, scenario, select, terminal, verdicts};

/// Storms a side where nothing else is asked and starts are long: six metrics could be told apart.
const STORMS: u32 = 10;

/// Names of the sides.
pub const LABELS: [&str; 2] = ["A", "B"];

/// Measures, compares, and confirms what looks like a regression.
///
/// # Errors
/// Wrong usage, a backend that is missing, an interrupted session.
pub fn run(args: AbArgs, out: &mut impl Write) -> Result<u8, Failure> {
    let rules = rules()?;
    let (path, mut comparison) = session(&args, &args.settings, &rules)?;
    verdicts::print(&comparison, out)?;
    if let Some(storms) = args.confirm.filter(|_| comparison.has(Verdict::Regressed)) {
        terminal::say(&format!("confirming with {storms} fresh storms a side"));
        let mut settings = args.settings.clone();
        settings.storms = Some(storms);
        settings.out = args.settings.out.as_ref().map(|out| out.with_extension("confirm"));
        // Other storms, in another order; repeated with the same command line all the same.
        settings.seed = args.settings.seed.map(|seed| seed.wrapping_add(1));
        let (fresh, confirmed) = session(&args, &settings, &rules)?;
        writeln!(out, "\nfresh storms, on which the verdict rests ({}):", fresh.display())?;
        verdicts::print(&confirmed, out)?;
        comparison = confirmed;
    }
    export::comparison(&comparison, &args.export, out)?;
    writeln!(out, "{}", path.display())?;
    Ok(verdicts::exit_code(&comparison, args.strict))
}

fn session(args: &AbArgs, settings: &Settings, rules: &Rules) -> Result<(PathBuf, Comparison), Failure> {
    let (path, run) = storms(&[&args.a, &args.b], settings, 1)?;
    let (a, b) = (&args.a, &args.b);
    let group = if a == b { a.clone() } else { "B against A".to_owned() };
    let side =
        |label: &str, text: &str| Side::of_contender(&format!("{label} = {text}"), &run, label, &group);
    let comparison =
        compare(&side(LABELS[0], a), &side(LABELS[1], b), rules, run.run.seed).map_err(cannot)?;
    results::write_json(&path.join("comparison.json"), &comparison).map_err(cannot)?;
    Ok((path, comparison))
}

/// Carries out the storms of two configurations, `times` as many as are asked for.
///
/// # Errors
/// As [`run`].
pub fn storms(texts: &[&str; 2], settings: &Settings, times: u32) -> Result<(PathBuf, LoadedRun), Failure> {
    let mut settings = settings.clone().or_file(Path::new("."))?;
    if settings.on.is_some() && settings.is_flag("on") {
        return Err(Failure::Usage(
            "--on does not go with two configurations: they name their backends".into(),
        ));
    }
    settings.on = None;
    let mut chosen = Vec::new();
    if texts.iter().all(|text| is_short(text)) && settings.arrival.is_none() {
        // In a burst starts wait for each other, which hides what one takes: twice the noise and more.
        settings.arrival = Some("serial".into());
        settings.instances = settings.instances.or(Some(INSTANCES_OF_SHORT_STARTS));
        settings.storms = settings.storms.or(Some(STORMS_OF_SHORT_STARTS));
        chosen.push(format!(
            "{} storms a side of {} starts one after the other: enough to find a change of 5 % here as a rule \
             (--arrival burst to compare storms)",
            settings.storms.unwrap_or(STORMS),
            settings.instances.unwrap_or(INSTANCES_OF_SHORT_STARTS)
        ));
    }
    settings.storms = Some(settings.storms.unwrap_or(STORMS).saturating_mul(times));
    let args = RunArgs {
        scenario: "boot-storm".into(),
        settings: settings.clone(),
        quick: false,
        list: false,
        dry_run: false,
        command: Vec::new(),
    };
    let mut resolved = scenario::resolve(&args, &settings, &host::size())?;
    resolved.chosen = chosen;
    resolved.backends_named = true;
    let abba = toml::Table::from_iter([
        ("interleave".to_owned(), "abba".into()),
        ("on".to_owned(), labelled(texts).into()),
    ]);
    resolved.plan = resolved.plan.with(abba).map_err(|error| Failure::Cannot(error.to_string()))?;
    let options = resolved.plan.launch().vm_options().map_err(|error| Failure::Usage(error.to_string()))?;
    let mut backends: Vec<Box<dyn runtime::Backend>> = Vec::new();
    for (label, text) in LABELS.into_iter().zip(texts) {
        let contender = Contender::parse(label, text, &options)?;
        if let Some(why) = select::missing(&contender) {
            return Err(Failure::Missing(format!("{} cannot run here: {why}", contender.text)));
        }
        backends.push(Box::new(contender));
    }
    let asked_for = LABELS.map(str::to_owned).to_vec();
    let measured = measure(&resolved, asked_for, backends, Unavailable::new(), settings.out.clone())?;
    finish(measured)
}

/// Whether a start of this configuration takes milliseconds.
fn is_short(text: &str) -> bool {
    let backend = text.split(',').next().unwrap_or(text).trim();
    matches!(backend.split(':').next(), Some("process" | "container"))
}

fn labelled(texts: &[&str; 2]) -> Vec<String> {
    LABELS.iter().zip(texts).map(|(label, text)| format!("{label}={text}")).collect()
}

fn finish(measured: Measured) -> Result<(PathBuf, LoadedRun), Failure> {
    results::write_all(&measured.path).map_err(cannot)?;
    if measured.completion == Completion::Interrupted {
        return Err(Failure::Interrupted(format!(
            "interrupted: the session is incomplete, what was measured is in {}",
            measured.path.display()
        )));
    }
    let run = LoadedRun::load(&measured.path).map_err(cannot)?;
    if let Some((label, why)) = run.run.unavailable.iter().next() {
        return Err(Failure::Missing(format!("{label} could not run: {why}")));
    }
    Ok((measured.path, run))
}
