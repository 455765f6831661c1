//! From what the user asked for to a plan.

use std::path::Path;

use runtime::network::Kind;
use runtime::vm;
use scenarios::{Error, HostSize, Plan, SCENARIOS};
use toml::Table;

use crate::cli::RunArgs;
use crate::failure::Failure;
use crate::nearest;
use crate::settings::Settings;

/// What will be done.
pub struct Resolved {
    /// The plan, every key settled.
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
    let (mut default, mut chosen, file) = if args.scenario.ends_with(".toml") {
        read(Path::new(&args.scenario), host)?
    } else {
        let (plan, chosen) = Plan::sized_for(&args.scenario, host).map_err(|error| named(error, "run"))?;
        (plan, chosen, Table::new())
    };
    if args.quick {
        default.quicken();
        chosen.push(format!("quick: {}", default.would_do()));
    }
    check_names(settings)?;
    let mut changes = settings.changes()?;
    if !args.command.is_empty() {
        match settings.workload.as_deref() {
            None => drop(changes.insert("workload".into(), "command".into())),
            Some(workload) if workload == "command" || workload.starts_with("service=") => {}
            Some(workload) => {
                return Err(Failure::Usage(format!(
                    "a command is given behind --, but the workload is {workload}"
                )));
            }
        }
        changes.insert("command".into(), args.command.clone().into());
    }
    let plan = default.with(file).map_err(|error| named(error, &args.scenario))?;
    let keys = plan.keys();
    // bench.toml speaks to every scenario: what this one does not know is meant for another.
    changes.retain(|key, _| keys.contains(&key) || settings.is_flag(key));
    let mut plan = plan.with(changes).map_err(|error| named(error, plan.scenario()))?;
    // Sizes were chosen for the user where the user did not choose them.
    if plan != default_with_launch_of(&default, &plan) {
        chosen.clear();
    }
    plan.launch_mut().resolve_seed();
    plan.validate().map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(Resolved { plan, chosen, backends_named: settings.on.is_some() })
}

/// `default`, with what `plan` starts.
fn default_with_launch_of(default: &Plan, plan: &Plan) -> Plan {
    let mut same = default.clone();
    same.launch_mut().clone_from(plan.launch());
    same
}

/// An error of a plan as one of usage, with the nearest name.
fn named(error: Error, place: &str) -> Failure {
    Failure::Usage(match error {
        Error::NoScenario(word) => {
            let names: Vec<&str> =
                SCENARIOS.iter().map(|(name, _)| *name).chain([scenarios::claims::NAME]).collect();
            format!("{}, or a FILE.toml", nearest::unknown("scenario", &word, &names))
        }
        Error::UnknownKey { key, known } => format!("{place}: {}", nearest::unknown("key", &key, &known)),
        Error::Toml(error) => format!("{place}: {}", error.message()),
        other => other.to_string(),
    })
}

/// Names that have a nearest one to offer.
fn check_names(settings: &Settings) -> Result<(), Failure> {
    vm_options(settings)?;
    network(settings)?;
    settings.workload.as_deref().map_or(Ok(()), workload)
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
    let firmware = settings.firmware.as_deref().map_or(Ok(vm::FirmwareKind::default()), |word| {
        let unknown = || Failure::Usage(nearest::unknown("firmware", word, &vm::FirmwareKind::NAMES));
        vm::FirmwareKind::from_name(word).ok_or_else(unknown)
    })?;
    let clone = settings.clone.as_deref().map_or(Ok(vm::CloneKind::default()), |word| {
        let unknown = || Failure::Usage(nearest::unknown("kind of clone", word, &vm::CloneKind::NAMES));
        vm::CloneKind::from_name(word).ok_or_else(unknown)
    })?;
    let (kernel, disk) = (settings.kernel.clone(), settings.disk.clone());
    Ok(vm::Options { accel, machine, kernel, firmware, clone, disk, ..vm::Options::default() })
}

/// How instances are to be reached.
///
/// # Errors
/// A kind of network that does not exist.
pub fn network(settings: &Settings) -> Result<Kind, Failure> {
    settings.network.as_deref().map_or(Ok(Kind::default()), |word| {
        let unknown = || Failure::Usage(nearest::unknown("network", word, &Kind::NAMES));
        Kind::from_name(word).ok_or_else(unknown)
    })
}

/// The default plan a file is put over, what was chosen for it, and the file's keys.
fn read(path: &Path, host: &HostSize) -> Result<(Plan, Vec<String>, Table), Failure> {
    let wrong = |what: String| Failure::Usage(format!("{}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let mut file: Table = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let scenario = match file.remove("scenario") {
        None => {
            return Err(wrong(
                "has no key \"scenario\" (bench run SCENARIO --dry-run prints a whole file)".into(),
            ));
        }
        Some(toml::Value::String(word)) => word,
        Some(other) => return Err(wrong(format!("scenario is {other}, expected a name"))),
    };
    let (plan, chosen) =
        Plan::sized_for(&scenario, host).map_err(|error| wrong(named(error, &scenario).to_string()))?;
    Ok((plan, chosen, file))
}

/// Checks the name of a workload.
fn workload(text: &str) -> Result<(), Failure> {
    let names: Vec<&str> = guest::WORKLOADS.iter().chain(&guest::TASKS).map(|(name, _)| *name).collect();
    let known = names.iter().any(|name| name.split('=').next() == text.split('=').next());
    match text.parse::<runtime::Workload>() {
        Ok(_) => Ok(()),
        Err(error) if known => Err(Failure::Usage(error.to_string())),
        Err(_) => Err(Failure::Usage(nearest::unknown("workload", text, &names))),
    }
}
