//! `bench oci`: the native container runtime with the command line of an OCI runtime.

pub mod args;
mod log;

use std::io::Write;

use runtime::bundle::{self, CreateOptions, ExecOptions, Root};

use crate::failure::Failure;
use crate::{terminal, time};
use args::{CreateArgs, ExecArgs, ListArgs, ListFormat, OciArgs, OciCommand};

/// Carries out the command; the exit code is the program's where one was waited for.
///
/// # Errors
/// What could not be done; it is in the log file too.
pub fn run(args: OciArgs, out: &mut impl Write) -> Result<u8, Failure> {
    let (file, format) = (args.log.clone(), args.log_format);
    carry_out(args, out).inspect_err(|failure| {
        if let Some(file) = file {
            log::error(&file, format, &failure.to_string());
        }
    })
}

fn carry_out(args: OciArgs, out: &mut impl Write) -> Result<u8, Failure> {
    if args.systemd_cgroup {
        let instead = "use the cgroup driver cgroupfs (Docker: native.cgroupdriver=cgroupfs; Podman: --cgroup-manager=cgroupfs)";
        return Err(Failure::Cannot(format!("--systemd-cgroup is not implemented: {instead}")));
    }
    let root = Root::new(args.root.as_deref());
    match args.command {
        OciCommand::Create(create) => {
            let options = enter(&create)?;
            warn(&bundle::create(&root, &create.id, &create.bundle, &options)?);
        }
        OciCommand::Run(run) => {
            let options = enter(&run.create)?;
            let (code, warnings) =
                bundle::run(&root, &run.create.id, &run.create.bundle, &options, run.detach)?;
            warn(&warnings);
            return Ok(code);
        }
        OciCommand::Start(container) => {
            bundle::sealed::ensure()?;
            bundle::start(&root, &container.id)?;
        }
        OciCommand::Exec(exec) => {
            refuse_terminal(exec.tty, exec.console_socket.is_some())?;
            bundle::sealed::ensure()?;
            let (code, warnings) = bundle::exec(&root, &exec.id, &exec_options(&exec)?)?;
            warn(&warnings);
            return Ok(code);
        }
        OciCommand::State(container) => print(out, &bundle::state(&root, &container.id)?)?,
        OciCommand::Kill(kill) => {
            let signal = bundle::signal::parse(&kill.signal)?;
            bundle::kill(&root, &kill.id, signal, kill.all)?;
        }
        OciCommand::Delete(delete) => warn(&bundle::delete(&root, &delete.id, delete.force)?),
        OciCommand::Pause(container) => bundle::pause(&root, &container.id)?,
        OciCommand::Resume(container) => bundle::resume(&root, &container.id)?,
        OciCommand::Ps(ps) => {
            let processes = bundle::processes(&root, &ps.id)?;
            match ps.format {
                ListFormat::Json => print(out, &processes)?,
                ListFormat::Table => processes.iter().try_for_each(|pid| writeln!(out, "{pid}"))?,
            }
        }
        OciCommand::List(list) => print_list(out, &root, &list)?,
        OciCommand::Features => print(out, &bundle::features())?,
    }
    Ok(0)
}

/// What `create` and `run` have in common, before anything is made.
fn enter(args: &CreateArgs) -> Result<CreateOptions, Failure> {
    refuse_terminal(false, args.console_socket.is_some())?;
    if args.no_pivot {
        let why = "without pivot_root(2) a process inside can leave its root";
        return Err(Failure::Cannot(format!("--no-pivot is refused: {why}")));
    }
    bundle::sealed::ensure()?;
    Ok(CreateOptions {
        pid_file: args.pid_file.clone(),
        preserve_fds: args.preserve_fds,
        keep_keyring: args.no_new_keyring,
        stays: false,
        created: time::now_utc(),
    })
}

fn refuse_terminal(tty: bool, console_socket: bool) -> Result<(), Failure> {
    let what = match (tty, console_socket) {
        (_, true) => "--console-socket",
        (true, false) => "--tty",
        (false, false) => return Ok(()),
    };
    let instead = "set process.terminal to false (Docker and Podman: without -t)";
    Err(Failure::Cannot(format!("{what} is refused, since terminals are not implemented: {instead}")))
}

fn exec_options(args: &ExecArgs) -> Result<ExecOptions, Failure> {
    let number = |text: &str| {
        text.parse().map_err(|_| {
            Failure::Usage(format!("{text:?} is no user or group id: names are the image's, give numbers"))
        })
    };
    let user = match args.user.as_deref().map(|user| user.split_once(':').unwrap_or((user, ""))) {
        None => None,
        Some((uid, "")) => Some((number(uid)?, None)),
        Some((uid, gid)) => Some((number(uid)?, Some(number(gid)?))),
    };
    Ok(ExecOptions {
        process: args.process.clone(),
        args: args.command.clone(),
        cwd: args.cwd.clone(),
        env: args.env.clone(),
        user,
        detach: args.detach,
        pid_file: args.pid_file.clone(),
        preserve_fds: args.preserve_fds,
    })
}

fn print_list(out: &mut impl Write, root: &Root, args: &ListArgs) -> Result<(), Failure> {
    let states = bundle::list(root)?;
    if args.format == ListFormat::Json {
        return print(out, &states);
    }
    if !args.quiet {
        writeln!(out, "{:<24} {:>8} {:<10} {:<20} BUNDLE", "ID", "PID", "STATUS", "CREATED")?;
    }
    for state in states {
        if args.quiet {
            writeln!(out, "{}", state.id)?;
        } else {
            let (pid, status, bundle) = (state.pid, state.status.to_string(), state.bundle.display());
            writeln!(out, "{:<24} {pid:>8} {status:<10} {:<20} {bundle}", state.id, state.created)?;
        }
    }
    Ok(())
}

fn print(out: &mut impl Write, value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::Cannot(error.to_string()))?;
    writeln!(out, "{text}")?;
    Ok(())
}

fn warn(warnings: &[String]) {
    warnings.iter().for_each(|warning| terminal::say_warning(warning));
}
