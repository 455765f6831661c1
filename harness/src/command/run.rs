//! `bench run`: settle the plan, carry it out, write the folder, print the table.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use results::record::{Run, SCHEMA_VERSION};
use results::{RunFolder, Summary};
use runtime::Backend;
use runtime::image::{self, Image};
use scenarios::{Completion, Progress, Stage, Stop};

use crate::cli::RunArgs;
use crate::failure::{self, Failure};
use crate::progress::Display;
use crate::rows::FolderRows;
use crate::scenario::{self, Resolved};
use crate::session::Session;
use crate::{command, host, interrupt, select, terminal, time};

/// Where runs go unless `--out` says otherwise.
pub const RESULTS: &str = "bench-results";

/// Carries out what the command line asks for.
///
/// # Errors
/// Wrong usage, a backend asked for by name that is missing, a folder that cannot be written.
pub fn run(args: RunArgs, out: &mut impl Write) -> Result<u8, Failure> {
    let settings = args.settings.clone().or_file(Path::new("."))?;
    if args.scenario == scenarios::claims::NAME {
        return command::trial::run(&args, &settings, out);
    }
    let resolved = scenario::resolve(&args, &settings, &host::size())?;
    let options = resolved.plan.launch().vm_options().map_err(|error| Failure::Usage(error.to_string()))?;
    let launch = resolved.plan.launch();
    let (names, absent) = match resolved.backends_named {
        true => (launch.on.clone(), Unavailable::new()),
        false => select::found_here(&launch.on, &options, &launch.runtime),
    };
    let backends = select::backends(&names, &options, &launch.runtime)?;
    let asked_for: Vec<String> = backends.iter().map(|backend| backend.id()).collect();
    let (backends, mut unavailable) = present(backends, resolved.backends_named)?;
    unavailable.extend(absent);
    if args.list {
        return list_checks(&resolved, out);
    }
    if args.dry_run {
        return dry_run(&resolved, &backends, &unavailable, out);
    }
    let measured = measure(&resolved, asked_for, backends, unavailable, settings.out.clone())?;
    let summary = command::report::write(&measured.path, out)?;
    verdict(&summary, measured.completion, resolved.backends_named)
}

/// The checks a plan asks.
fn list_checks(resolved: &Resolved, out: &mut impl Write) -> Result<u8, Failure> {
    let scenarios::Plan::Isolation(plan) = &resolved.plan else {
        return Err(Failure::Usage("only isolation has checks to list".into()));
    };
    for check in plan.checks() {
        writeln!(out, "{:<26} {:<14} {}", check.id, check.claim, check.question)?;
    }
    Ok(0)
}

/// Splits off the backends this host has not what they need for; by name, each is required.
///
/// # Errors
/// The first one that is missing, where they were asked for by name.
pub fn present(
    backends: Vec<Box<dyn Backend>>,
    named: bool,
) -> Result<(Vec<Box<dyn Backend>>, Unavailable), Failure> {
    let mut unavailable = Unavailable::new();
    let mut present = Vec::new();
    for backend in backends {
        match select::missing(backend.as_ref()) {
            None => present.push(backend),
            Some(why) if named => {
                let id = backend.id();
                return Err(Failure::Missing(format!("{id} cannot run here: {why} (see bench doctor)")));
            }
            Some(why) => {
                unavailable.insert(backend.id(), why);
            }
        }
    }
    Ok((present, unavailable))
}

/// Backends left out, with the reason.
pub type Unavailable = BTreeMap<String, String>;

/// Prints the plan as a file `bench run` takes, and what would run.
fn dry_run(
    resolved: &Resolved,
    backends: &[Box<dyn Backend>],
    unavailable: &Unavailable,
    out: &mut impl Write,
) -> Result<u8, Failure> {
    let text = resolved.plan.to_table().map_err(|error| Failure::Cannot(error.to_string()))?;
    for chosen in &resolved.chosen {
        writeln!(out, "# chosen: {chosen}")?;
    }
    for backend in backends {
        writeln!(out, "# would run: {}: {}", backend.id(), resolved.plan.would_do())?;
    }
    for (backend, why) in unavailable {
        writeln!(out, "# would leave out: {backend}: {why}")?;
    }
    write!(out, "scenario = {:?}\n{text}", resolved.plan.scenario())?;
    Ok(0)
}

/// What was measured.
pub struct Measured {
    /// Its folder.
    pub path: PathBuf,
    /// How it ended.
    pub completion: Completion,
}

/// Carries out a plan and writes its folder: `asked_out`, or a new one where it is `None`.
///
/// # Errors
/// A folder that cannot be written, or a scenario that cannot be carried out.
pub fn measure(
    resolved: &Resolved,
    asked_for: Vec<String>,
    backends: Vec<Box<dyn Backend>>,
    unavailable: Unavailable,
    asked_out: Option<PathBuf>,
) -> Result<Measured, Failure> {
    let network = resolved.plan.launch().network_kind();
    let session = Session::begin(network.map_err(|error| Failure::Usage(error.to_string()))?)?;
    let image = image(&resolved.plan.launch().image, &session.context.cache_dir)?;
    let mut run = describe(resolved, asked_for, unavailable, &session);
    let named = asked_out.is_some();
    let path = asked_out
        .unwrap_or_else(|| results::default_path(Path::new(RESULTS), &run.began_at, &run.scenario, &run.id));
    let folder = RunFolder::create(&path, &run).map_err(|error| Failure::Cannot(error.to_string()))?;
    if !named {
        point_latest(&path, &mut run);
    }
    let stop = Stop::new();
    interrupt::listen(&stop)?;
    let mut display = Display::new();
    for chosen in &resolved.chosen {
        display.show(Progress::Chosen(chosen.clone()));
    }
    for (backend, reason) in &run.unavailable {
        display.show(Progress::Unavailable { backend: backend.clone(), reason: reason.clone() });
    }
    let mut rows = FolderRows::new(&folder);
    let done = resolved.plan.run(Stage {
        backends,
        context: &session.context,
        image: &image,
        rows: &mut rows,
        run: &mut run,
        stop: &stop,
        progress: &mut |progress| display.show(progress),
    });
    display.finish();
    let completion = done.map_err(|error| {
        if resolved.backends_named && matches!(error, scenarios::Error::NothingToRun(_)) {
            return Failure::Missing(error.to_string());
        }
        Failure::Cannot(format!("{error}; what was measured until then is in {}", path.display()))
    })?;
    drop(session);
    Ok(Measured { path, completion })
}

/// The exit code of a run that came to an end.
fn verdict(summary: &Summary, completion: Completion, named: bool) -> Result<u8, Failure> {
    if completion == Completion::Interrupted {
        return Err(Failure::Interrupted("interrupted: the run is incomplete".into()));
    }
    if named && let Some((backend, why)) = summary.unavailable.iter().next() {
        return Err(Failure::Missing(format!("{backend} was asked for and could not run: {why}")));
    }
    if !summary.isolation.is_empty() {
        let leaks = summary.isolation.iter().filter(|one| !one.failures.is_empty());
        let leaks: Vec<String> =
            leaks.map(|one| format!("{}: {}", one.backend, one.failures.join(", "))).collect();
        if leaks.is_empty() {
            return Ok(0);
        }
        terminal::say_error(&format!("expected to be kept apart, and is not: {}", leaks.join("; ")));
        return Ok(failure::NOT_ISOLATED);
    }
    if summary.portability.is_some() {
        // What does not work somewhere is what was asked.
        return Ok(0);
    }
    match summary.backends.iter().find(|backend| backend.counted.ready == 0) {
        Some(backend) => {
            let name = &backend.backend;
            terminal::say_error(&format!("not one instance of {name} came up: attempts.csv says why"));
            Ok(failure::CANNOT)
        }
        None => Ok(0),
    }
}

fn describe(resolved: &Resolved, backends: Vec<String>, unavailable: Unavailable, session: &Session) -> Run {
    let (plan, warnings) = match serde_json::to_value(&resolved.plan) {
        Ok(plan) => (plan, Vec::new()),
        Err(error) => (serde_json::Value::Null, vec![format!("the plan could not be recorded: {error}")]),
    };
    let host = host_of(resolved, &backends, session);
    Run {
        schema_version: SCHEMA_VERSION,
        id: session.context.run_id.clone(),
        scenario: resolved.plan.scenario().to_owned(),
        began_at: time::now_utc(),
        epoch_ns: runtime::clock::now_ns(),
        plan,
        seed: resolved.plan.launch().seed,
        argv: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
        versions: host::versions(),
        host,
        configs: BTreeMap::new(),
        backends,
        unavailable,
        warmup_storms: Vec::new(),
        self_test: BTreeMap::new(),
        warnings,
        complete: false,
    }
}

/// The host, with the accelerator where virtual machines are among what is tried.
fn host_of(
    resolved: &Resolved,
    backends: &[String],
    session: &Session,
) -> BTreeMap<String, serde_json::Value> {
    let mut host = host::fingerprint(Path::new("/"));
    if backends.iter().any(|id| id.starts_with("vm:")) {
        let choice =
            resolved.plan.launch().vm_options().map_err(|error| error.to_string()).and_then(|options| {
                runtime::vm::accelerator(&options, &session.context.cache_dir)
                    .map_err(|error| error.to_string())
            });
        let (accelerator, how) = match choice {
            Ok(choice) => (Some(choice.accel.name()), choice.how),
            Err(error) => (None, error),
        };
        host.insert("accelerator".into(), accelerator.into());
        host.insert("accelerator_chosen_by".into(), how.into());
    }
    host
}

/// A run that cannot be pointed at is still a run.
fn point_latest(path: &Path, run: &mut Run) {
    if let Err(error) = results::point_latest(path) {
        terminal::say_warning(&error.to_string());
        run.warnings.push(error.to_string());
    }
}

/// The image called `reference`.
///
/// # Errors
/// Where there is none.
pub fn image(reference: &str, cache_dir: &Path) -> Result<Image, Failure> {
    if reference == "builtin" {
        return Ok(Image::builtin());
    }
    let store = super::image::store(cache_dir)?;
    Image::resolve(reference, &store).map_err(|error| match error {
        // What is neither a file nor known is a slip of the pen; what is there and broken is not.
        image::Error::NotFound { .. } => {
            let listed = store.list().unwrap_or_default();
            let mut names: Vec<&str> = listed.iter().flat_map(|i| &i.names).map(String::as_str).collect();
            names.push("builtin");
            Failure::Usage(crate::nearest::unknown("image", reference, &names))
        }
        error => Failure::Cannot(error.to_string()),
    })
}
