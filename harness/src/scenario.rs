//! From what the user asked for to a plan.

use std::path::Path;

use runtime::vm;
use scenarios::boot_storm::{HostSize, Plan};

use crate::cli::RunArgs;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::{duration, nearest};

/// The scenarios and what they do.
pub const SCENARIOS: [(&str, &str); 1] = [(
    "boot-storm",
    "storms of instances on each backend: how long until they serve, and what the host feels",
)];

/// What will be done.
pub struct Resolved {
    /// Name of the scenario.
    pub scenario: &'static str,
    /// Its plan, every key settled.
    pub plan: Plan,
    /// What was chosen for the user, and why.
    pub chosen: Vec<String>,
    /// Whether the user asked for the backends by name: then none may be missing.
    pub backends_named: bool,
}

/// The plan of `args.scenario` with what is set in `settings` put over it.
///
/// # Errors
/// A scenario, key or value that does not exist, with the nearest that does.
pub fn resolve(args: &RunArgs, settings: &Settings, host: &HostSize) -> Result<Resolved, Failure> {
    let (mut plan, mut chosen) = Plan::sized_for(host).map_err(|error| Failure::Cannot(error.to_string()))?;
    let (default_instances, default_storms) = (plan.instances, plan.storms);
    let scenario = if args.scenario.ends_with(".toml") {
        let (scenario, from_file) = read(Path::new(&args.scenario), &plan)?;
        plan = from_file;
        scenario
    } else {
        named(&args.scenario)?
    };
    put_over(&mut plan, settings)?;
    vm_options(settings)?;
    if !args.command.is_empty() {
        if settings.workload.as_deref().is_some_and(|workload| workload != "command") {
            return Err(Failure::Usage(format!(
                "a command is given behind --, but the workload is {}",
                plan.workload
            )));
        }
        plan.workload = "command".into();
        plan.command = args.command.clone();
    }
    plan.resolve_seed();
    plan.validate().map_err(|error| Failure::Usage(error.to_string()))?;
    if (plan.instances, plan.storms) != (default_instances, default_storms) {
        chosen.clear();
    }
    Ok(Resolved { scenario, plan, chosen, backends_named: settings.on.is_some() })
}

/// What the user chose for virtual machines.
///
/// # Errors
/// An accelerator or machine that does not exist.
pub fn vm_options(settings: &Settings) -> Result<vm::Options, Failure> {
    let accel = settings.accel.as_deref().map_or(Ok(vm::Accel::default()), |word| {
        let unknown = || Failure::Usage(nearest::unknown("accelerator", word, &vm::Accel::NAMES));
        vm::Accel::from_name(word).ok_or_else(unknown)
    })?;
    let machine = settings.machine.as_deref().map_or(Ok(vm::Machine::default()), |word| {
        let unknown = || Failure::Usage(nearest::unknown("machine", word, &vm::Machine::NAMES));
        vm::Machine::from_name(word).ok_or_else(unknown)
    })?;
    Ok(vm::Options { accel, machine, kernel: settings.kernel.clone() })
}

fn named(word: &str) -> Result<&'static str, Failure> {
    let names = SCENARIOS.map(|(name, _)| name);
    names.into_iter().find(|name| *name == word).ok_or_else(|| {
        Failure::Usage(format!("{}, or a FILE.toml", nearest::unknown("scenario", word, &names)))
    })
}

/// Reads a plan; what the file leaves out is as in `default`.
fn read(path: &Path, default: &Plan) -> Result<(&'static str, Plan), Failure> {
    let wrong = |what: String| Failure::Usage(format!("{}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let mut file: toml::Table = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let scenario = match file.remove("scenario") {
        None => SCENARIOS[0].0,
        Some(toml::Value::String(word)) => named(&word).map_err(|error| wrong(error.to_string()))?,
        Some(other) => return Err(wrong(format!("scenario is {other}, expected a name"))),
    };
    let mut table = toml::Table::try_from(default).map_err(|error| wrong(error.to_string()))?;
    table.extend(file);
    let plan = table.try_into().map_err(|error: toml::de::Error| {
        let what = nearest::in_serde_message(error.message());
        wrong(what.unwrap_or_else(|| error.message().to_owned()))
    })?;
    Ok((scenario, plan))
}

fn put_over(plan: &mut Plan, settings: &Settings) -> Result<(), Failure> {
    let usage = |error: &dyn std::fmt::Display| Failure::Usage(error.to_string());
    fn set<T: Clone>(place: &mut T, value: &Option<T>) {
        if let Some(value) = value {
            *place = value.clone();
        }
    }
    set(&mut plan.on, &settings.on);
    set(&mut plan.instances, &settings.instances);
    set(&mut plan.storms, &settings.storms);
    set(&mut plan.warmup, &settings.warmup);
    set(&mut plan.image, &settings.image);
    set(&mut plan.accel, &settings.accel);
    set(&mut plan.machine, &settings.machine);
    set(&mut plan.seed, &settings.seed);
    if settings.kernel.is_some() {
        plan.kernel = settings.kernel.clone();
    }
    if let Some(text) = &settings.arrival {
        plan.arrival = text.parse().map_err(|error| usage(&error))?;
    }
    if let Some(text) = &settings.timeout {
        plan.timeout_s = duration::parse(text).map_err(|error| usage(&error))?.as_secs_f64();
    }
    if let Some(text) = &settings.workload {
        plan.workload = workload(text)?;
    }
    Ok(())
}

/// Checks the name of a workload.
fn workload(text: &str) -> Result<String, Failure> {
    let names: Vec<&str> = guest::WORKLOADS.iter().map(|(name, _)| *name).collect();
    let known = names.iter().any(|name| name.split('=').next() == text.split('=').next());
    match text.parse::<runtime::Workload>() {
        Ok(_) => Ok(text.to_owned()),
        Err(error) if known => Err(Failure::Usage(error.to_string())),
        Err(_) => Err(Failure::Usage(nearest::unknown("workload", text, &names))),
    }
}
