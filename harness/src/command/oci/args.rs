//! The command line of an OCI runtime, as engines and conformance suites use it.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Arguments of `bench oci`; of the program itself where it is called `bench-oci`.
#[derive(Debug, Args)]
pub struct OciArgs {
    /// Folder in which containers are kept
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,

    /// File to which errors are written too
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,

    /// Form of that file
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,

    /// Refused: cgroups are made as files, not by systemd
    #[arg(long)]
    pub systemd_cgroup: bool,

    /// Accepted as other runtimes do; there is nothing more to tell
    #[arg(long)]
    pub debug: bool,

    /// What to do
    #[command(subcommand)]
    pub command: OciCommand,
}

/// Form of the log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// `time="…" level=error msg="…"`
    Text,
    /// One JSON object a line
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum OciCommand {
    /// Make a container from a bundle, all but its program
    Create(CreateArgs),
    /// Begin the program of a created container
    Start(IdArgs),
    /// Print the state of a container as JSON
    State(IdArgs),
    /// Send a signal to a container's init
    Kill(KillArgs),
    /// Remove a container that has stopped
    Delete(DeleteArgs),
    /// Create, start, wait for the end, delete
    Run(RunArgs),
    /// Execute one more process in a container
    Exec(ExecArgs),
    /// Stop all processes of a container where they are
    Pause(IdArgs),
    /// Let the processes of a paused container go on
    Resume(IdArgs),
    /// List the processes of a container
    Ps(PsArgs),
    /// List the containers
    List(ListArgs),
    /// Print what this runtime can do as JSON
    Features,
}

/// A container.
#[derive(Debug, Args)]
pub struct IdArgs {
    /// Name of the container
    #[arg(value_name = "ID")]
    pub id: String,
}

/// Arguments of `create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Name of the new container
    #[arg(value_name = "ID")]
    pub id: String,

    /// Folder with config.json
    #[arg(short, long, default_value = ".", value_name = "DIR")]
    pub bundle: PathBuf,

    /// File that gets the process id of init
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,

    /// How many descriptors from 3 on the program inherits
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub preserve_fds: u32,

    /// Leave the session keyring as it is
    #[arg(long)]
    pub no_new_keyring: bool,

    /// Refused: terminals are not implemented
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,

    /// Refused: without pivot_root(2) the root is no boundary
    #[arg(long)]
    pub no_pivot: bool,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub create: CreateArgs,

    /// Return as soon as the program has begun; the container stays until it is deleted
    #[arg(short, long)]
    pub detach: bool,
}

/// Arguments of `kill`.
#[derive(Debug, Args)]
pub struct KillArgs {
    /// Name of the container
    #[arg(value_name = "ID")]
    pub id: String,

    /// Signal, by name or number
    #[arg(default_value = "TERM", value_name = "SIGNAL")]
    pub signal: String,

    /// Send it to all processes of the container
    #[arg(short, long)]
    pub all: bool,
}

/// Arguments of `delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Name of the container
    #[arg(value_name = "ID")]
    pub id: String,

    /// Kill it first, whatever its status; one that does not exist is no error
    #[arg(short, long)]
    pub force: bool,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Form of the list
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub format: ListFormat,

    /// Names only
    #[arg(short, long)]
    pub quiet: bool,
}

/// Arguments of `ps`.
#[derive(Debug, Args)]
pub struct PsArgs {
    /// Name of the container
    #[arg(value_name = "ID")]
    pub id: String,

    /// Form of the list
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub format: ListFormat,
}

/// Form of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// Lines for people
    Table,
    /// A JSON list
    Json,
}

/// Arguments of `exec`.
#[derive(Debug, Args)]
pub struct ExecArgs {
    /// Name of the container
    #[arg(value_name = "ID")]
    pub id: String,

    /// File with the `process` object of a configuration
    #[arg(short, long, value_name = "FILE", conflicts_with = "command")]
    pub process: Option<PathBuf>,

    /// Working directory
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<PathBuf>,

    /// One more environment variable
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,

    /// User, as UID or UID:GID
    #[arg(short, long, value_name = "UID[:GID]")]
    pub user: Option<String>,

    /// Return as soon as the program has begun
    #[arg(short, long)]
    pub detach: bool,

    /// File that gets the process id
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,

    /// How many descriptors from 3 on the program inherits
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub preserve_fds: u32,

    /// Refused: terminals are not implemented
    #[arg(short, long)]
    pub tty: bool,

    /// Refused: terminals are not implemented
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,

    /// Program and arguments
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "CMD",
        required_unless_present = "process"
    )]
    pub command: Vec<String>,
}
