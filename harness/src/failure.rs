//! Why the program ends without having done what was asked, and with which exit code.

use std::io;

/// Exit code of a wrong command line or setting.
pub const USAGE: u8 = 2;
/// Exit code where something was tried and did not work.
pub const CANNOT: u8 = 1;
/// Exit code where something got worse.
pub const REGRESSED: u8 = 10;
/// Exit code where something leaks that was expected to be kept apart.
pub const NOT_ISOLATED: u8 = 11;
/// Exit code where storms cannot tell, and must (`--strict`).
pub const INCONCLUSIVE: u8 = 12;
/// Exit code where the sides cannot be compared, and must be (`--strict`).
pub const INCOMPARABLE: u8 = 13;
/// Exit code where a thing the user asked for is missing on this host.
pub const MISSING: u8 = 77;
/// Exit code of an interrupted run: 128 + SIGINT.
pub const INTERRUPTED: u8 = 130;

/// Why it ends.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line, environment or a file of settings asks for something that does not exist.
    #[error("{0}")]
    Usage(String),
    /// It was tried and did not work.
    #[error("{0}")]
    Cannot(String),
    /// The host has not what was asked for by name.
    #[error("{0}")]
    Missing(String),
    /// The user interrupted it.
    #[error("{0}")]
    Interrupted(String),
    /// Nobody reads the output any more.
    #[error("standard output is closed")]
    NobodyReads,
}

impl Failure {
    /// The exit code; 0 where the reader simply had enough, as in `bench list | head -1`.
    pub fn code(&self) -> u8 {
        match self {
            Failure::Usage(_) => USAGE,
            Failure::Cannot(_) => CANNOT,
            Failure::Missing(_) => MISSING,
            Failure::Interrupted(_) => INTERRUPTED,
            Failure::NobodyReads => 0,
        }
    }
}

/// Errors of input and output that reach the top as they are come from writing to standard output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::NobodyReads,
            _ => Failure::Cannot(format!("cannot write to standard output: {error}")),
        }
    }
}

impl From<runtime::Error> for Failure {
    fn from(error: runtime::Error) -> Failure {
        match error {
            runtime::Error::Missing { .. } => Failure::Missing(error.to_string()),
            _ => Failure::Cannot(error.to_string()),
        }
    }
}
