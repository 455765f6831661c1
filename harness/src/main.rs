//! `bench`: parse → settle options → carry out the command → report → exit code.

mod cli;
mod command;
mod contender;
mod duration;
mod export;
mod failure;
mod host;
mod interrupt;
mod judging;
mod nearest;
mod progress;
mod rows;
mod scenario;
mod select;
mod session;
mod settings;
mod sides;
mod table;
mod terminal;
mod time;
mod verdicts;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use failure::Failure;

fn main() -> ExitCode {
    let cli = Cli::parse_from(arguments());
    let mut out = std::io::stdout().lock();
    let done = match cli.command {
        Command::Run(args) => command::run::run(*args, &mut out),
        Command::Doctor(args) => command::doctor::run(&args, &mut out),
        Command::List => command::list::run(&mut out),
        Command::Report(args) => command::report::run(&args, &mut out),
        Command::Compare(args) => command::compare::run(&args, &mut out),
        Command::Ab(args) => command::ab::run(*args, &mut out),
        Command::Aa(args) => command::aa::run(*args, &mut out),
        Command::History(args) => command::history::run(&args, &mut out),
        Command::Claims(args) => command::claims::run(&args, &mut out),
        Command::Explain(args) => command::explain::run(&args, &mut out),
        Command::Completions(args) => command::shell::completions(&args, &mut out),
        Command::Man => command::shell::man(&mut out),
        Command::Baseline(args) => command::baseline::run(&args.command, &mut out),
        Command::Exec(args) => command::exec::run(*args, &mut out),
        Command::Image(command) => command::image::run(command, &mut out),
        Command::Clean => command::clean::run(&mut out),
        Command::Oci(args) => command::oci::run(*args, &mut out),
    };
    match done.and_then(|code| Ok(out.flush().map(|()| code)?)) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            if !matches!(failure, Failure::NobodyReads) {
                terminal::say_error(&failure.to_string());
            }
            ExitCode::from(failure.code())
        }
    }
}

/// The command line. Called `bench-oci` the program is the OCI runtime: engines want a program to
/// call, without words before theirs.
fn arguments() -> Vec<OsString> {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let name = arguments.first().and_then(|path| std::path::Path::new(path).file_name());
    if name.is_some_and(|name| name == "bench-oci") {
        arguments.insert(1, "oci".into());
    }
    arguments
}
