//! `bench exec`: starts one instance, runs a command in it, shows its output.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use guest::Plan;
use runtime::{Event, EventSink, Instance, InstanceName, LaunchSpec, Limits, Stamped, Workload};
use scenarios::Stop;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, timeout_at};

use crate::cli::ExecArgs;
use crate::command::run;
use crate::failure::{Failure, INTERRUPTED};
use crate::session::Session;
use crate::settings::Settings;
use crate::{duration, interrupt, scenario, select, terminal};

/// How long a command may take where nothing else is asked.
const TIMEOUT: Duration = Duration::from_secs(120);

/// How often it is looked whether the user wants to stop.
const STOP_INTERVAL: Duration = Duration::from_millis(50);

/// Runs the command; the exit code is the command's.
///
/// # Errors
/// Wrong usage, a backend that is missing, an instance that does not come up.
pub fn run(args: ExecArgs, out: &mut impl Write) -> Result<u8, Failure> {
    let settings = Settings {
        image: args.image,
        accel: args.accel,
        machine: args.machine,
        kernel: args.kernel,
        runtime: args.runtime,
        network: args.network,
        timeout: args.timeout,
        ..Settings::default()
    };
    let settings = settings.or_file(Path::new("."))?;
    let timeout = match &settings.timeout {
        None => TIMEOUT,
        Some(text) => duration::parse(text).map_err(Failure::Usage)?,
    };
    let backend = select::backend(
        &args.backend,
        &scenario::vm_options(&settings)?,
        settings.runtime.as_deref().unwrap_or_default(),
    )?;
    if let Some(why) = select::missing(backend.as_ref()) {
        return Err(Failure::Missing(format!("{} cannot run here: {why}", backend.id())));
    }
    let stop = Stop::new();
    interrupt::listen(&stop)?;
    let session = Session::begin(scenario::network(&settings)?)?;
    let image = run::image(settings.image.as_deref().unwrap_or("builtin"), &session.context.cache_dir)?;
    let prepared = backend.prepare(&session.context, &image)?;
    let plan = if args.report {
        scenarios::portability::report_plan()
    } else {
        let mut plan = Plan::new(Workload::Command { argv: args.command });
        plan.environment.clone_from(&image.environment);
        plan.working_directory.clone_from(&image.working_directory);
        plan
    };
    prepared.get_ready(&plan, &Limits::default())?;
    let name = InstanceName { storm: 0, index: 0 };
    let spec = LaunchSpec { name: name.clone(), plan, limits: Limits::default() };
    let (sender, mut events) = unbounded_channel();
    let mut instance = prepared.launch(&spec, EventSink::new(name, sender))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|error| Failure::Cannot(format!("cannot start the event loop: {error}")))?;
    let deadline = Instant::now() + timeout;
    let ended = runtime.block_on(follow(&mut events, deadline, &stop, out));
    end(instance.as_mut())?;
    ended
}

/// Passes the command's output on until it ends.
async fn follow(
    events: &mut UnboundedReceiver<Stamped>,
    deadline: Instant,
    stop: &Stop,
    out: &mut impl Write,
) -> Result<u8, Failure> {
    let mut last_words = String::new();
    loop {
        if stop.requested() {
            return Ok(INTERRUPTED);
        }
        if Instant::now() >= deadline {
            return Err(Failure::Cannot(format!("the command did not end in time{}", said(&last_words))));
        }
        let event = match timeout_at(deadline.min(Instant::now() + STOP_INTERVAL), events.recv()).await {
            Err(_) => continue,
            Ok(None) => return Err(Failure::Cannot("the instance went away".into())),
            Ok(Some(stamped)) => stamped.event,
        };
        match event {
            Event::Log(line) => {
                writeln!(out, "{line}")?;
                out.flush()?;
                last_words = line;
            }
            Event::CommandExited(code) => return Ok(u8::try_from(code).unwrap_or(u8::MAX)),
            Event::Failed(why) => return Err(Failure::Cannot(why)),
            Event::Exited(exit) => {
                let what = format!("the instance ended before the command did: {exit}{}", said(&last_words));
                return Err(Failure::Cannot(what));
            }
            Event::Mark(_)
            | Event::Ready
            | Event::Listening(_)
            | Event::Serving
            | Event::Done(_)
            | Event::Measured(..)
            | Event::Parked
            | Event::Became(_)
            | Event::Firmware(_)
            | Event::Observed(_) => {}
        }
    }
}

fn said(last_words: &str) -> String {
    if last_words.is_empty() { String::new() } else { format!("; its last words: {last_words}") }
}

fn end(instance: &mut dyn Instance) -> Result<(), Failure> {
    instance.stop().map(|exit| {
        if !matches!(exit, runtime::Exit::Code(0) | runtime::Exit::Signal(_)) {
            terminal::say(&format!("instance: {exit}"));
        }
    })?;
    Ok(())
}
