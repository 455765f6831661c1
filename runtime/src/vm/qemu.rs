//! The program QEMU on this host.

use std::path::{Path, PathBuf};

use crate::{Error, Requirement};

/// Program that is looked for on PATH.
pub(super) const PROGRAM: &str = "qemu-system-x86_64";

/// Where QEMU is.
pub(super) fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(PROGRAM)).find(|program| program.is_file())
}

/// The one asked for, or [`find`], or the error that says what to do.
pub(super) fn required(asked: Option<&Path>) -> Result<PathBuf, Error> {
    if let Some(program) = asked {
        return match program.is_file() {
            true => Ok(program.to_owned()),
            false => {
                Err(Error::Missing { what: format!("there is no QEMU {}", program.display()), fix: None })
            }
        };
    }
    find().ok_or_else(|| Error::Missing {
        what: format!("{PROGRAM} is not on PATH"),
        fix: Some("apt-get install qemu-system-x86".into()),
    })
}

/// First line of `--version`.
pub(super) fn version(program: &Path) -> Option<String> {
    let output = std::process::Command::new(program).arg("--version").output().ok()?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
}

/// What every VM backend needs.
pub(super) fn requirement(asked: Option<&Path>) -> Requirement {
    let state = match required(asked) {
        Ok(program) => {
            version(&program).ok_or_else(|| format!("{} does not tell its version", program.display()))
        }
        Err(Error::Missing { what, .. }) => Err(what),
        Err(error) => Err(error.to_string()),
    };
    let fix = state.is_err() && asked.is_none();
    Requirement { what: "QEMU".into(), fix: fix.then(|| "apt-get install qemu-system-x86".into()), state }
}
