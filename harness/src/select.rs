//! From the names a user wrote to backends.

use std::collections::BTreeMap;

use runtime::fake::FakeBackend;
use runtime::oci::OciBackend;
use runtime::{Backend, vm};

use crate::failure::Failure;
use crate::{nearest, terminal};

/// A family that stands for one of its members.
const FAMILIES: [(&str, &str); 1] = [("vm", "vm:direct")];

/// Families that stand for those of their members that this host has what they need for.
const FAMILIES_FOUND: [&str; 2] = ["oci", "engine"];

/// The backends called `names`, in that order; `runtimes` are further OCI runtimes, `NAME=PATH`.
///
/// # Errors
/// A name that is no backend, with the nearest that is, or one given twice.
pub fn backends(
    names: &[String],
    options: &vm::Options,
    runtimes: &[String],
) -> Result<Vec<Box<dyn Backend>>, Failure> {
    let mut chosen: Vec<Box<dyn Backend>> = Vec::new();
    let mut wanted: Vec<Box<dyn Backend>> = Vec::new();
    for name in names.iter().map(|name| name.trim()) {
        if FAMILIES_FOUND.contains(&name) {
            wanted.extend(found(name, options, runtimes)?);
        } else {
            wanted.push(backend(name, options, runtimes)?);
        }
    }
    for backend in wanted {
        if chosen.iter().any(|other| other.id() == backend.id()) {
            return Err(Failure::Usage(format!("backend {} is asked for twice", backend.id())));
        }
        chosen.push(backend);
    }
    Ok(chosen)
}

/// `names` without families of which nothing can run here, and why not: what nobody asked for by name
/// is no reason to stop.
pub fn found_here(
    names: &[String],
    options: &vm::Options,
    runtimes: &[String],
) -> (Vec<String>, BTreeMap<String, String>) {
    let mut absent = BTreeMap::new();
    let mut here = names.to_vec();
    here.retain(|name| {
        let is_family = FAMILIES_FOUND.contains(&name.as_str());
        match is_family.then(|| found(name, options, runtimes)) {
            Some(Err(Failure::Missing(why))) => {
                absent.insert(name.clone(), why);
                false
            }
            _ => true,
        }
    });
    (here, absent)
}

/// The members of a family that can run here.
///
/// # Errors
/// Where none can, with what each lacks.
fn found(family: &str, options: &vm::Options, runtimes: &[String]) -> Result<Vec<Box<dyn Backend>>, Failure> {
    let mut lacking = Vec::new();
    let mut members = known(options, runtimes)?;
    members.retain(|member| member.id().split(':').next() == Some(family));
    members.retain(|member| match missing(member.as_ref()) {
        None => true,
        Some(why) => {
            lacking.push(format!("{}: {why}", member.id()));
            false
        }
    });
    if members.is_empty() {
        return Err(Failure::Missing(format!("nothing of {family} can run here: {}", lacking.join("; "))));
    }
    Ok(members)
}

/// All backends there are.
fn known(options: &vm::Options, runtimes: &[String]) -> Result<Vec<Box<dyn Backend>>, Failure> {
    let mut known = runtime::backends(options);
    for word in runtimes {
        let backend = OciBackend::from_word(word).map_err(Failure::Usage)?;
        known.retain(|other| other.id() != backend.id());
        known.push(Box::new(backend));
    }
    Ok(known)
}

/// The backend called `name`.
///
/// # Errors
/// A name that is no backend, with the nearest that is.
pub fn backend(name: &str, options: &vm::Options, runtimes: &[String]) -> Result<Box<dyn Backend>, Failure> {
    if let Some(script) = name.strip_prefix("fake") {
        // Hidden: for tests of this program.
        if script.is_empty() || script.starts_with(':') {
            let script = script.trim_start_matches(':').to_owned();
            return Ok(Box::new(FakeBackend { script }));
        }
    }
    if let Some(backend) = runtime::engine::with_runtime(name) {
        return Ok(backend);
    }
    let id = FAMILIES.iter().find(|(family, _)| *family == name).map_or(name, |(_, id)| id);
    // What an ordinary user can have of it; the table shows it under that name.
    let is_root = nix::unistd::geteuid().is_root();
    let becomes_rootless = id == "container" && !is_root;
    if becomes_rootless {
        terminal::say(
            "note: container is container:rootless here, for this is not root (with sudo it is container)",
        );
    }
    if id == "container:rootless" && is_root {
        let user = runtime::container::RootlessBackend::user();
        terminal::say(&format!("note: container:rootless is that of an ordinary user: {user}"));
    }
    let id = if becomes_rootless { "container:rootless" } else { id };
    let known = known(options, runtimes)?;
    let ids: Vec<String> = known.iter().map(|backend| backend.id()).collect();
    known.into_iter().find(|backend| backend.id() == id).ok_or_else(|| {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        Failure::Usage(nearest::unknown("backend", name, &ids))
    })
}

/// What of `backend` is missing on this host, in one line; `None` where nothing is.
pub fn missing(backend: &dyn Backend) -> Option<String> {
    let missing: Vec<String> = backend
        .requirements()
        .into_iter()
        .filter_map(|requirement| {
            let why = requirement.state.err()?;
            let fix = requirement.fix.map(|fix| format!(" (try: {fix})")).unwrap_or_default();
            Some(format!("{}: {why}{fix}", requirement.what))
        })
        .collect();
    (!missing.is_empty()).then(|| missing.join("; "))
}
