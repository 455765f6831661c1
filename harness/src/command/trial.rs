//! `bench run claims`: the runs that decide the claims, one after the other, into one folder.

use std::io::Write;
use std::path::{Path, PathBuf};

use results::claims::Verdict;
use results::dossier::{self, DOSSIER_JSON, DOSSIER_SCHEMA_VERSION, Dossier};
use runtime::image::BuildOptions;
use runtime::{Backend, vm};
use scenarios::claims::{self, Part, PartImage};
use scenarios::{Completion, Plan};

use crate::cli::RunArgs;
use crate::command::run::{RESULTS, Unavailable, measure, present};
use crate::failure::Failure;
use crate::scenario::Resolved;
use crate::settings::Settings;
use crate::{command, host, select, session, sides, terminal, time};

/// Carries all parts out, writes `dossier.json` after each, then claims and report.
///
/// # Errors
/// Wrong usage, or a folder that cannot be written. A part that cannot be carried out is no error but
/// is in the dossier with its reason.
pub fn run(args: &RunArgs, settings: &Settings, out: &mut impl Write) -> Result<u8, Failure> {
    let changes = changes(args, settings)?;
    let parts = claims::parts().map_err(|error| Failure::Cannot(error.to_string()))?;
    let settled = parts
        .iter()
        .map(|part| settle(part, args.quick, settings, changes.clone()).map(|plan| (part, plan)))
        .collect::<Result<Vec<_>, _>>()?;
    if args.dry_run {
        for (part, plan) in &settled {
            let plan = plan.as_ref().map_or_else(|why| format!("left out: {why}"), Plan::would_do);
            writeln!(out, "{:<12} bench run {}: {plan}", part.name, part.scenario)?;
        }
        return Ok(0);
    }
    let id = session::fresh_id();
    let began_at = time::now_utc();
    let path = settings
        .out
        .clone()
        .unwrap_or_else(|| results::default_path(Path::new(RESULTS), &began_at, claims::NAME, &id));
    let mut dossier = Dossier {
        schema_version: DOSSIER_SCHEMA_VERSION,
        id,
        began_at,
        argv: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
        parts: Vec::new(),
        complete: false,
    };
    make_folder(&path)?;
    for (number, (part, plan)) in settled.into_iter().enumerate() {
        let name = format!("{:02}-{}", number + 1, part.name);
        terminal::say(&format!("\n{name}: {}", part.question));
        let done = plan.and_then(|plan| carry_out(part, plan, path.join(&name)));
        let reason = match done {
            Ok(Completion::Complete) => String::new(),
            Ok(Completion::Interrupted) => "interrupted".to_owned(),
            Err(why) => {
                terminal::say_warning(&format!("{name}: {why}"));
                why
            }
        };
        let interrupted = reason == "interrupted";
        let (scenario, question) = (part.scenario.clone(), part.question.clone());
        dossier.parts.push(dossier::Part { name, scenario, question, reason });
        write(&path, &dossier)?;
        if interrupted {
            dossier::write_all(&path).map_err(sides::cannot)?;
            return Err(Failure::Interrupted(format!(
                "interrupted: what was measured is in {}",
                path.display()
            )));
        }
    }
    dossier.complete = true;
    write(&path, &dossier)?;
    if settings.out.is_none() {
        results::point_latest(&path).unwrap_or_else(|error| terminal::say_warning(&error.to_string()));
    }
    report(&path, out)
}

/// Writes what is derived of the dossier in `path`, and prints each claim with its verdict.
///
/// # Errors
/// Files or standard output that cannot be written.
pub fn report(path: &Path, out: &mut impl Write) -> Result<u8, Failure> {
    let loaded = dossier::write_all(path).map_err(sides::cannot)?;
    for decided in &loaded.decisions.claims {
        command::claims::print(&decided.finding, &decided.finding.evidence, out)?;
    }
    for part in loaded.dossier.parts.iter().filter(|part| !part.reason.is_empty()) {
        writeln!(out, "left out: {} ({})", part.name, part.reason)?;
    }
    let count =
        |word: &str| loaded.decisions.claims.iter().filter(|one| one.finding.verdict.word() == word).count();
    let counts = [Verdict::Supported, Verdict::Refuted, Verdict::Mixed, Verdict::default()]
        .map(|verdict| format!("{} {}", count(verdict.word()), verdict.word()));
    writeln!(out, "{}", counts.join(", "))?;
    writeln!(out, "{}", path.join("report.html").display())?;
    Ok(0)
}

/// What the user set that makes sense for every part.
fn changes(args: &RunArgs, settings: &Settings) -> Result<toml::Table, Failure> {
    if !args.command.is_empty() {
        return Err(Failure::Usage("a command behind -- does not go with claims".into()));
    }
    let mut changes = settings.changes()?;
    if let Some(key) = changes.keys().find(|key| settings.is_flag(key) && !claims::is_common(key)) {
        return Err(Failure::Usage(format!(
            "--{key} does not go with claims, whose parts have sizes of their own (--quick makes them small)"
        )));
    }
    changes.retain(|key, _| settings.is_flag(key) && key != "on");
    Ok(changes)
}

/// The plan of a part, or why it is left out.
fn settle(
    part: &Part,
    quick: bool,
    settings: &Settings,
    mut changes: toml::Table,
) -> Result<Result<Plan, String>, Failure> {
    let plan = |changes| {
        let plan = part.plan(&host::size(), quick, changes);
        plan.map_err(|error| Failure::Usage(format!("{}: {error}", part.name)))
    };
    let settled = plan(changes.clone())?;
    let Some(chosen) = settings.on.as_ref().filter(|_| settings.is_flag("on")) else {
        return Ok(Ok(settled));
    };
    let on = within(&settled.launch().on, chosen);
    if on.is_empty() {
        return Ok(Err(format!("none of its backends ({}) is chosen", settled.launch().on.join(", "))));
    }
    changes.insert("on".into(), on.into());
    plan(changes).map(Ok)
}

/// Those of `part` that `chosen` names, or of whose family it names some.
fn within(part: &[String], chosen: &[String]) -> Vec<String> {
    let family = |name: &str| name.split(':').next().unwrap_or(name).to_owned();
    let mut on: Vec<String> = Vec::new();
    for name in part {
        if chosen.contains(name) || chosen.iter().any(|one| !one.contains(':') && *one == family(name)) {
            on.push(name.clone());
        } else {
            let members = chosen.iter().filter(|one| one.contains(':') && family(one) == *name);
            on.extend(members.cloned());
        }
    }
    on
}

/// Runs one part into `path`; an error is why it could not be.
fn carry_out(part: &Part, plan: Plan, path: PathBuf) -> Result<Completion, String> {
    let mut plan = plan;
    if let Some(image) = &part.image {
        plan.launch_mut().image = made(image)?;
    }
    let options = plan.launch().vm_options().map_err(|error| error.to_string())?;
    let (backends, unavailable) = available(&plan, &options).map_err(|failure| failure.to_string())?;
    if backends.is_empty() {
        let reasons = unavailable.iter().map(|(name, why)| format!("{name}: {why}"));
        return Err(reasons.collect::<Vec<_>>().join("; "));
    }
    let asked_for = backends.iter().map(|backend| backend.id()).chain(unavailable.keys().cloned()).collect();
    let resolved = Resolved { plan, chosen: Vec::new(), backends_named: false };
    let measured = measure(&resolved, asked_for, backends, unavailable, Some(path));
    measured.map(|measured| measured.completion).map_err(|failure| failure.to_string())
}

/// The backends of a plan that this host can run, and why not the others; a family of which there
/// is none is one of those.
fn available(plan: &Plan, options: &vm::Options) -> Result<(Vec<Box<dyn Backend>>, Unavailable), Failure> {
    let (mut all, mut unavailable) = (Vec::new(), Unavailable::new());
    for name in &plan.launch().on {
        match select::backends(std::slice::from_ref(name), options, &plan.launch().runtime) {
            Ok(found) => all.extend(found),
            Err(Failure::Missing(why)) => drop(unavailable.insert(name.clone(), why)),
            Err(failure) => return Err(failure),
        }
    }
    let (there, missing) = present(all, false)?;
    unavailable.extend(missing);
    Ok((there, unavailable))
}

/// The image a part needs, made where it is not there yet.
fn made(image: &PartImage) -> Result<String, String> {
    let store = command::image::store(&runtime::cache_dir()).map_err(|failure| failure.to_string())?;
    let listed = store.list().map_err(|error| error.to_string())?;
    if !listed.iter().any(|one| one.names.contains(&image.name)) {
        terminal::say(&format!("making the image {} of {}", image.name, image.packages.join(", ")));
        let options = BuildOptions {
            packages: image.packages.clone(),
            name: Some(image.name.clone()),
            includes_init: true,
            ..BuildOptions::default()
        };
        store.build(&options, &mut terminal::say).map_err(|error| error.to_string())?;
    }
    Ok(image.name.clone())
}

fn make_folder(path: &Path) -> Result<(), Failure> {
    let occupied = std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
    if occupied {
        return Err(Failure::Cannot(format!("the folder {} is not empty", path.display())));
    }
    std::fs::create_dir_all(path)
        .map_err(|error| Failure::Cannot(format!("cannot make the folder {}: {error}", path.display())))
}

fn write(path: &Path, dossier: &Dossier) -> Result<(), Failure> {
    results::write_json(&path.join(DOSSIER_JSON), dossier).map_err(sides::cannot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_keeps_those_of_its_backends_that_are_chosen() {
        let part = ["process", "oci", "vm:direct", "vm:restore"].map(str::to_owned);
        let chosen =
            |names: &[&str]| within(&part, &names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(chosen(&["vm"]), ["vm:direct", "vm:restore"]);
        assert_eq!(chosen(&["vm:restore", "process"]), ["process", "vm:restore"]);
        assert_eq!(chosen(&["oci:runc", "oci:crun"]), ["oci:runc", "oci:crun"]);
        assert!(chosen(&["engine"]).is_empty());
    }
}
