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

/// [`find`], or the error that says what to do.
pub(super) fn required() -> Result<PathBuf, Error> {
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
pub(super) fn requirement() -> Requirement {
    let version = find().and_then(|program| version(&program));
    Requirement {
        what: "QEMU".into(),
        fix: version.is_none().then(|| "apt-get install qemu-system-x86".into()),
        state: version.ok_or_else(|| format!("{PROGRAM} is not on PATH")),
    }
}
