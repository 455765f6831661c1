//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::command::oci::args::OciArgs;
use crate::export::Export;
use crate::judging::{
    AaArgs, AbArgs, BaselineArgs, ClaimsArgs, CompareArgs, CompletionsArgs, ExplainArgs, HistoryArgs,
};
use crate::settings::Settings;

/// What `bench oci --version` says, in the form engines expect.
const OCI_VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\nspec: 1.3.0");

/// Starts the same workload as virtual machines, as containers and as bare processes, on one host
/// and one clock, and answers with evidence.
#[derive(Debug, Parser)]
#[command(name = "bench", version, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = "\
Settings: a flag wins over the environment (BENCH_ON, BENCH_INSTANCES, …), that over bench.toml in the
working directory (the same names as keys), that over the default.
Exit codes: 0 fine, 1 could not do it, 2 wrong usage, 10 a regression, 11 a leak, with --strict also 12 inconclusive
and 13 incomparable, 77 something asked for by name is missing here, 130 interrupted.")]
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
    /// Compare runs, folders of runs or baselines: a verdict for each metric
    Compare(CompareArgs),
    /// Measure two launch configurations against each other in one session
    Ab(Box<AbArgs>),
    /// Measure the same twice: what this host calls a change where there is none
    Aa(Box<AaArgs>),
    /// Say whether the newest run is odd, and since when
    History(HistoryArgs),
    /// Keep, choose and list what is compared with
    Baseline(BaselineArgs),
    /// List the claims under test, their state and the evidence
    Claims(ClaimsArgs),
    /// Say what a metric, claim or verdict is and how it is computed
    Explain(ExplainArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Print the manual page (bench man | man -l -)
    Man,
    /// Start one instance, run a command in it and show its output
    Exec(Box<ExecArgs>),
    /// Bring in, make, show, hand on and remove images
    #[command(subcommand)]
    Image(ImageCommand),
    /// End and remove what killed runs have left on this host
    Clean,
    /// Run OCI bundles, with the command line of an OCI runtime (also as `bench-oci`)
    #[command(version = OCI_VERSION, disable_version_flag = false)]
    Oci(Box<OciArgs>),
}

/// What to do with images.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Bring an image in, verify and unpack it; prints its digest
    Import(ImageImportArgs),
    /// Make an image of Debian packages (mmdebstrap, the host's own package sources)
    Build(ImageBuildArgs),
    /// List what is in the store
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what an image is made of and what it starts
    Inspect {
        /// Path, name or digest
        image: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove images and what no other needs; of several names, only the one given
    Rm {
        /// Names or digests
        #[arg(required = true)]
        images: Vec<String>,
    },
    /// Write an image to a file, its manifest, configuration and layers as they came
    Export {
        /// Path, name or digest
        image: String,
        /// What others are to take it as
        #[arg(long, value_enum, default_value = "oci")]
        format: ImageFormat,
        /// File (folder for oci-folder); - for standard output
        file: PathBuf,
    },
}

/// Arguments of `bench image import`.
#[derive(Debug, Args)]
pub struct ImageImportArgs {
    /// OCI layout, docker save archive, App Container Image or root file system (folder or archive; PATH:TAG
    /// for one of several), or docker://HOST/NAME:TAG
    pub image: String,

    /// Name to call it by, beside those it came with
    #[arg(long)]
    pub name: Option<String>,

    /// Make the device nodes it contains instead of refusing it (root only)
    #[arg(long)]
    pub devices: bool,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `bench image build`.
#[derive(Debug, Args)]
pub struct ImageBuildArgs {
    /// Packages, as apt takes them
    #[arg(long, required = true, value_delimiter = ',', value_name = "NAME,…")]
    pub packages: Vec<String>,

    /// Name to call it by (otherwise after its packages)
    #[arg(long)]
    pub name: Option<String>,

    /// Another release than the host's, by its code name
    #[arg(long)]
    pub suite: Option<String>,

    /// How much of a Debian it is built upon
    #[arg(long, default_value = "minbase", value_parser = clap::builder::PossibleValuesParser::new(runtime::image::VARIANTS))]
    pub variant: String,

    /// Add what a virtual machine needs to boot it: systemd, udev, dbus
    #[arg(long)]
    pub include_init: bool,

    /// Command that arguments do not replace: a JSON array, or a line for /bin/sh
    #[arg(long, value_name = "CMD")]
    pub entrypoint: Option<String>,

    /// Command: a JSON array, or a line for /bin/sh
    #[arg(long, value_name = "CMD")]
    pub cmd: Option<String>,

    /// Environment variable; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,

    /// User (and :group) it runs as
    #[arg(long)]
    pub user: Option<String>,

    /// Folder it starts in
    #[arg(long, value_name = "DIR")]
    pub workdir: Option<String>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What an image is handed on as.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum ImageFormat {
    /// A tar of an OCI layout
    Oci,
    /// An OCI layout as a folder, which must not exist
    OciFolder,
    /// What docker load and podman load take
    Docker,
}

/// Arguments of `bench run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Scenario (see bench list), or a TOML file with a plan
    #[arg(value_name = "SCENARIO|FILE.toml")]
    pub scenario: String,

    #[command(flatten)]
    pub settings: Settings,

    /// As few repetitions as still answer the question
    #[arg(long)]
    pub quick: bool,

    /// isolation: list the checks that would be asked, and run nothing
    #[arg(long)]
    pub list: bool,

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

    /// Also write each chart as a picture of pixels, beside its SVG
    #[arg(long)]
    pub png: bool,

    /// Also write FORMAT to FILE, or to standard output (repeatable)
    #[arg(long, value_name = "FORMAT[=FILE]")]
    pub export: Vec<Export>,
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

    /// Another OCI runtime to be found as oci:NAME; may be repeated
    #[arg(long, env = "BENCH_RUNTIME", value_name = "NAME=PATH", value_delimiter = ',')]
    pub runtime: Option<Vec<String>>,

    /// How the instance is reached: none, loopback or bridge
    #[arg(long, env = "BENCH_NETWORK", value_name = "N")]
    pub network: Option<String>,

    /// Deadline of the command, as 90s or 2m
    #[arg(long, env = "BENCH_TIMEOUT", value_name = "T")]
    pub timeout: Option<String>,

    /// Instead of a command: what the instance finds of its image and its surroundings
    #[arg(long, conflicts_with = "command")]
    pub report: bool,

    /// Program and arguments
    #[arg(last = true, required_unless_present = "report", value_name = "CMD")]
    pub command: Vec<String>,
}
