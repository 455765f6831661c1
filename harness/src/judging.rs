//! The command line of what judges: `compare`, `ab`, `aa`, `history`, `baseline`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use results::compare::Quantity;

use crate::export::Export;
use crate::settings::Settings;

/// Arguments of `bench compare`.
#[derive(Debug, Args)]
#[command(
    after_help = "A side is a run folder, a folder of run folders, a baseline file, or baseline[:NAME]."
)]
pub struct CompareArgs {
    /// What is compared with
    pub base: String,

    /// What is compared
    pub head: String,

    /// Also fail where storms cannot tell (12) or the sides cannot be compared (13)
    #[arg(long)]
    pub strict: bool,

    /// Also write FORMAT to FILE, or to standard output (repeatable)
    #[arg(long, value_name = "FORMAT[=FILE]")]
    pub export: Vec<Export>,
}

/// Arguments of `bench ab`.
#[derive(Debug, Args)]
#[command(after_help = "\
A configuration is a backend with options of its own: vm:direct,machine=q35,accel=tcg. Options: accel,
machine, kernel, firmware, clone, disk, qemu, image, memory, cpus, pids. B is judged against A; storms alternate ABBA.")]
pub struct AbArgs {
    /// Base: BACKEND[,KEY=VALUE…]
    #[arg(value_name = "A")]
    pub a: String,

    /// Head: BACKEND[,KEY=VALUE…]
    #[arg(value_name = "B")]
    pub b: String,

    #[command(flatten)]
    pub settings: Settings,

    /// Confirm a suspected regression with K fresh storms a side, and judge by those
    #[arg(long, value_name = "K")]
    pub confirm: Option<u32>,

    /// Also fail where the storms cannot tell (12)
    #[arg(long)]
    pub strict: bool,

    /// Also write FORMAT to FILE, or to standard output (repeatable)
    #[arg(long, value_name = "FORMAT[=FILE]")]
    pub export: Vec<Export>,
}

/// Arguments of `bench aa`.
#[derive(Debug, Args)]
pub struct AaArgs {
    /// What is measured twice: BACKEND[,KEY=VALUE…]
    #[arg(value_name = "CONFIGURATION")]
    pub configuration: String,

    #[command(flatten)]
    pub settings: Settings,

    /// Pairs to compare, each of --storms storms a side
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub pairs: u32,
}

/// Arguments of `bench history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Folder of run folders
    #[arg(value_name = "DIR", default_value = crate::command::run::RESULTS)]
    pub folder: PathBuf,

    /// Only this metric
    #[arg(long, value_parser = metric)]
    pub metric: Option<Quantity>,

    /// Only backends of this pattern, as vm:*
    #[arg(long, value_name = "PATTERN")]
    pub backend: Option<String>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Exit with 10 where a newest run is beyond its fence on the bad side, with 12 where none has a fence
    #[arg(long)]
    pub strict: bool,

    /// Also write FORMAT to FILE, or to standard output (repeatable)
    #[arg(long, value_name = "FORMAT[=FILE]")]
    pub export: Vec<Export>,
}

/// Arguments of `bench baseline`.
#[derive(Debug, Args)]
pub struct BaselineArgs {
    /// What to do
    #[command(subcommand)]
    pub command: BaselineCommand,
}

/// What to do with baselines, which are kept in bench-baselines/.
#[derive(Debug, Subcommand)]
pub enum BaselineCommand {
    /// Write down the storms of runs as a baseline
    Save {
        /// Its name
        name: String,
        /// Run folders, or folders of them
        #[arg(required = true, value_name = "RUN")]
        runs: Vec<PathBuf>,
        /// Write over one of this name
        #[arg(long)]
        replace: bool,
    },
    /// Make one the baseline that `bench compare baseline …` takes
    Promote {
        /// Its name
        name: String,
    },
    /// List them
    List,
}

/// Arguments of `bench claims`.
#[derive(Debug, Args)]
pub struct ClaimsArgs {
    /// Run folders, or folders of them (default: bench-results/)
    #[arg(value_name = "RUN")]
    pub runs: Vec<PathBuf>,
}

/// Arguments of `bench explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Metric, claim or verdict; without it all names are listed
    #[arg(value_name = "METRIC|CLAIM|VERDICT")]
    pub name: Option<String>,
}

/// Arguments of `bench completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Shell
    pub shell: clap_complete::Shell,
}

fn metric(text: &str) -> Result<Quantity, String> {
    let names = Quantity::ALL.map(Quantity::name);
    Quantity::from_name(text).ok_or_else(|| crate::nearest::unknown("metric", text, &names))
}
