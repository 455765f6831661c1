//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::settings::Settings;

/// Starts the same workload as virtual machines, as containers and as bare processes, on one host
/// and one clock, and answers with evidence.
#[derive(Debug, Parser)]
#[command(name = "bench", version, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = "\
Settings: a flag wins over the environment (BENCH_ON, BENCH_INSTANCES, …), that over bench.toml in the
working directory (the same names as keys), that over the default.
Exit codes: 0 fine, 1 could not do it, 2 wrong usage, 77 something asked for by name is missing here,
130 interrupted.")]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Carry out a scenario and report what happened
    Run(Box<RunArgs>),
    /// Say what this host can run, what is missing, and the command that fixes it
    Doctor(DoctorArgs),
    /// List scenarios, backends and workloads
    List,
    /// Make the charts and the report of runs again
    Report(ReportArgs),
    /// Start one instance, run a command in it and show its output
    Exec(Box<ExecArgs>),
    /// End and remove what killed runs have left on this host
    Clean,
}

/// Arguments of `bench run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Scenario (see bench list), or a TOML file with a plan
    #[arg(value_name = "SCENARIO|FILE.toml")]
    pub scenario: String,

    #[command(flatten)]
    pub settings: Settings,

    /// Print the plan and what would be run, and run nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Program and arguments for the workload `command`
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<String>,
}

/// Arguments of `bench doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `bench report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Run folders
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
}

/// Arguments of `bench exec`.
#[derive(Debug, Args)]
pub struct ExecArgs {
    /// Backend to start the instance with
    pub backend: String,

    /// Image the command comes in
    #[arg(long, env = "BENCH_IMAGE", value_name = "REF")]
    pub image: Option<String>,

    /// Accelerator of virtual machines: auto, kvm or tcg
    #[arg(long, env = "BENCH_ACCEL", value_name = "A")]
    pub accel: Option<String>,

    /// Machine QEMU models: microvm, pc or q35
    #[arg(long, env = "BENCH_MACHINE", value_name = "M")]
    pub machine: Option<String>,

    /// Kernel of virtual machines (found on the host where not given)
    #[arg(long, env = "BENCH_KERNEL", value_name = "FILE")]
    pub kernel: Option<PathBuf>,

    /// Deadline of the command, as 90s or 2m
    #[arg(long, env = "BENCH_TIMEOUT", value_name = "T")]
    pub timeout: Option<String>,

    /// Program and arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<String>,
}
