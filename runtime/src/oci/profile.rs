//! What is known of each runtime: where it is, what it must be told, what it cannot do.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Error, Requirement};

/// How long a runtime may take to tell its version.
const VERSION_TIMEOUT: Duration = Duration::from_secs(5);

/// How the guest's messages leave the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A socket passed as descriptor 3 (`--preserve-fds`).
    Descriptor,
    /// Standard output: for runtimes that pass no other descriptors. The kernel inside has a clock of its own.
    Output,
}

/// A runtime that is known by name.
struct Known {
    name: &'static str,
    /// Global options of its command line.
    flags: &'static [&'static str],
    way: Way,
    /// Whether it makes and removes the container's cgroups.
    makes_cgroups: bool,
    /// Whether it is given a user namespace with mapped ids.
    maps_ids: bool,
    /// Whether it reads a bundle and has commands for a container that runs.
    reads_bundle: bool,
    install: &'static str,
}

const KNOWN: [Known; 5] = [
    Known {
        name: "runc",
        flags: &[],
        way: Way::Descriptor,
        makes_cgroups: true,
        maps_ids: true,
        reads_bundle: true,
        install: "apt-get install runc",
    },
    Known {
        name: "crun",
        flags: &[],
        way: Way::Descriptor,
        makes_cgroups: true,
        maps_ids: true,
        reads_bundle: true,
        install: "apt-get install crun",
    },
    Known {
        name: "youki",
        flags: &[],
        way: Way::Descriptor,
        makes_cgroups: true,
        maps_ids: true,
        reads_bundle: true,
        install: "apt-get install libseccomp-dev && cargo install youki --features v1,v2,seccomp",
    },
    Known {
        name: "runsc",
        // Its cgroups need a layout that hybrid hosts do not have, so it has none here anywhere.
        flags: &["--ignore-cgroups"],
        way: Way::Output,
        makes_cgroups: false,
        // Which it refuses together with the host's network; its sandbox has one of its own.
        maps_ids: false,
        reads_bundle: true,
        install: "apt-get install runsc",
    },
    Known {
        name: "bwrap",
        flags: &[],
        way: Way::Descriptor,
        makes_cgroups: false,
        maps_ids: false,
        reads_bundle: false,
        install: "apt-get install bubblewrap",
    },
];

/// Names of the runtimes that are known.
pub fn names() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|known| known.name)
}

/// A runtime of this host.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    pub(super) name: String,
    pub(super) program: CString,
    pub(super) path: PathBuf,
    pub(super) version: String,
    /// Whether it filters system calls as a bundle says; `None` where it does not tell.
    pub(super) filters_calls: Option<bool>,
    pub(super) flags: Vec<String>,
    pub(super) way: Way,
    pub(super) makes_cgroups: bool,
    pub(super) maps_ids: bool,
    pub(super) reads_bundle: bool,
    /// Whether it can be asked for a time namespace.
    pub(super) offsets_time: bool,
}

/// A runtime as asked for, looked for when it is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) name: String,
    /// Where it is; looked for on PATH where not given.
    pub(super) path: Option<PathBuf>,
}

impl Wanted {
    /// Whether it is there, and its version.
    pub(super) fn requirement(&self) -> Requirement {
        let found = self.find();
        Requirement {
            what: self.name.clone(),
            fix: found.is_err().then(|| self.fix()).flatten(),
            state: found
                .map(|found| {
                    let lack = if found.filters_calls == Some(false) { ", without seccomp" } else { "" };
                    format!("{}{lack} ({})", found.version, found.path.display())
                })
                .map_err(|why| why.to_string()),
        }
    }

    /// Looks for it.
    ///
    /// # Errors
    /// Where it is missing or does not tell its version.
    pub(super) fn find(&self) -> Result<Profile, Error> {
        let path = match &self.path {
            Some(path) => std::path::absolute(path).map_err(Error::system("find the working directory"))?,
            None => on_path(&self.name)
                .ok_or_else(|| Error::Missing { what: format!("{} is not on PATH", self.name), fix: None })?,
        };
        let version = version(&path)?;
        let known = KNOWN.iter().find(|known| known.name == self.name);
        // Another build of gVisor under another name is gVisor still.
        let known = known
            .or_else(|| KNOWN.iter().find(|known| known.reads_bundle && version.starts_with(known.name)));
        Ok(Profile {
            name: self.name.clone(),
            // A program that nobody knows is not asked what it may not understand.
            offsets_time: known.is_some_and(|known| known.reads_bundle) && offers_time(&path),
            program: CString::new(path.as_os_str().as_bytes())
                .map_err(|error| Error::Invalid(error.to_string()))?,
            filters_calls: known
                .is_some_and(|known| known.reads_bundle)
                .then(|| filters_calls(&path))
                .flatten(),
            path,
            version,
            flags: known.map_or(&[][..], |known| known.flags).iter().map(|flag| (*flag).into()).collect(),
            way: known.map_or(Way::Descriptor, |known| known.way),
            makes_cgroups: known.is_none_or(|known| known.makes_cgroups),
            maps_ids: known.is_none_or(|known| known.maps_ids),
            reads_bundle: known.is_none_or(|known| known.reads_bundle),
        })
    }

    fn fix(&self) -> Option<String> {
        if self.path.is_some() {
            return Some("give the path of a runtime with --runtime NAME=PATH".into());
        }
        KNOWN.iter().find(|known| known.name == self.name).map(|known| known.install.into())
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // A user's PATH may lack the folders of root's programs.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Whether `features` names time namespaces (OCI runtime specification, features-linux.md, "namespaces"): runc
/// has them since 1.2, crun since it has that command. crun 1.8.1 without it takes them, and loses its
/// container to the end of the PID namespace's first process.
fn offers_time(path: &Path) -> bool {
    let Ok(done) = super::command::run(path, &["features"], VERSION_TIMEOUT) else { return false };
    let namespaces = done.said.split_once("\"namespaces\"").and_then(|(_, rest)| rest.split_once(']'));
    done.exit == crate::Exit::Code(0) && namespaces.is_some_and(|(list, _)| list.contains("\"time\""))
}

/// What `features` says of seccomp (runtime-spec, features-linux.md). A build without it says nothing of
/// a bundle that asks for a filter, and runs it without.
fn filters_calls(path: &Path) -> Option<bool> {
    let done = super::command::run(path, &["features"], VERSION_TIMEOUT).ok()?;
    let said: serde_json::Value = serde_json::from_str(&done.said).ok()?;
    filters_by(&said)
}

fn filters_by(features: &serde_json::Value) -> Option<bool> {
    let seccomp = features["linux"].as_object()?.get("seccomp")?;
    // One that knows the property and has nothing to put there.
    if seccomp.is_null() { Some(false) } else { seccomp["enabled"].as_bool() }
}

/// What `--version` says, in one line.
fn version(path: &Path) -> Result<String, Error> {
    let done = super::command::run(path, &["--version"], VERSION_TIMEOUT)?;
    let text = done.said.clone();
    let words: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).take(3).collect();
    if words.is_empty() || done.exit != crate::Exit::Code(0) {
        let text = words.join(", ");
        return Err(Error::Invalid(format!(
            "{} --version ends with {}: {text:?}",
            path.display(),
            done.exit
        )));
    }
    Ok(words.join(", ").chars().take(200).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_runtime_says_of_seccomp_is_believed() {
        // Of runc 1.1.5, of youki 0.7.0 built without its feature seccomp, of nobody; shortened.
        let told = |text| filters_by(&serde_json::from_str(text).expect("JSON"));
        let runc = r#"{"linux": {"seccomp": {"enabled": true, "actions": ["SCMP_ACT_ALLOW"]}}}"#;
        assert_eq!(told(runc), Some(true));
        assert_eq!(told(r#"{"linux": {"namespaces": ["user"], "seccomp": null}}"#), Some(false));
        assert_eq!(told(r#"{"linux": {"seccomp": {"enabled": false}}}"#), Some(false));
        assert_eq!(told(r#"{"linux": {}}"#), None);
        assert_eq!(told(r#"{"hooks": []}"#), None);
    }
}
