//! Reading a bundle's config.json: nothing in it is overlooked.
//!
//! A field is translated, or it is refused by its JSON path. Only annotations may go unheeded, and
//! what is not implemented but asks for nothing (`null`, `""`, `false`, an empty list or object). Where the specification
//! tells runtimes to ignore properties it does not know (config.md, "Extensibility"), this one refuses
//! them all the same: a misspelt limit must not become no limit.

mod field;
#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::{Process, Spec};
use serde_json::Value;

use crate::Error;

/// The newest version of the runtime specification whose fields are all known here.
pub const VERSION_MAX: &str = "1.3.0";
/// The oldest version accepted.
pub const VERSION_MIN: &str = "1.0.0";
/// Most bytes of a configuration: the largest seen (thousands of mounts) has a few hundred kilobytes.
const MAX_BYTES: u64 = 16 << 20;

/// A bundle whose configuration has been read and checked.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Its folder, absolute and without symbolic links.
    pub path: PathBuf,
    /// The folder that becomes the container's root, absolute and without symbolic links.
    pub rootfs: PathBuf,
    /// config.json.
    pub spec: Spec,
}

impl Bundle {
    /// Reads `path`/config.json.
    ///
    /// # Errors
    /// Where the folder, the file or the root file system cannot be read, or a field is refused.
    pub fn read(path: &Path) -> Result<Bundle, Error> {
        let path =
            path.canonicalize().map_err(Error::system(format!("find the bundle {}", path.display())))?;
        let spec = parse(&bytes_of(&path.join("config.json"))?)?;
        let root = spec.root().as_ref().ok_or_else(|| refuse("root", "is missing"))?;
        let rootfs = path.join(root.path());
        let rootfs = rootfs
            .canonicalize()
            .map_err(Error::system(format!("find root.path of config.json, {},", rootfs.display())))?;
        if !rootfs.is_dir() {
            return Err(refuse("root.path", format!("{} is no folder", rootfs.display())));
        }
        if rootfs == Path::new("/") {
            return Err(refuse("root.path", "is the host's own root"));
        }
        Ok(Bundle { path, rootfs, spec })
    }

    /// The process of the configuration.
    ///
    /// # Errors
    /// Where there is none.
    pub fn process(&self) -> Result<&Process, Error> {
        self.spec.process().as_ref().ok_or_else(|| refuse("process", "is missing"))
    }
}

/// A configuration from the bytes of a config.json.
///
/// # Errors
/// Where it is no JSON, of no known version, or has a field that is unknown, invalid or not implemented.
pub fn parse(bytes: &[u8]) -> Result<Spec, Error> {
    let value = json(bytes, "config.json")?;
    check_version(&value)?;
    field::check(&value, "")?;
    let spec: Spec = typed(value, "")?;
    check_values(&spec)?;
    Ok(spec)
}

/// A process on its own, as `exec --process` takes it: the `process` object of a config.json.
///
/// # Errors
/// As [`parse`].
pub fn parse_process(bytes: &[u8]) -> Result<Process, Error> {
    let value = json(bytes, "the process file")?;
    field::check(&value, "process")?;
    let process: Process = typed(value, "process")?;
    check_process(&process)?;
    Ok(process)
}

/// The process in the file at `path`.
///
/// # Errors
/// As [`parse_process`], or where the file cannot be read.
pub fn read_process(path: &Path) -> Result<Process, Error> {
    parse_process(&bytes_of(path)?)
}

/// The error of a field: its JSON path and what is wrong with it.
pub(super) fn refuse(field: impl Display, why: impl Display) -> Error {
    Error::Invalid(format!("config.json: {field}: {why}"))
}

fn bytes_of(path: &Path) -> Result<Vec<u8>, Error> {
    let action = || Error::system(format!("read {}", path.display()));
    let mut bytes = Vec::new();
    // A pipe in its place would never be written to.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(action())?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(action())?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::Invalid(format!("{} has more than {MAX_BYTES} bytes", path.display())));
    }
    Ok(bytes)
}

fn json(bytes: &[u8], what: &str) -> Result<Value, Error> {
    let mut value: Value = serde_json::from_slice(bytes)
        .map_err(|error| Error::Invalid(format!("{what} is no JSON: {error}")))?;
    if !value.is_object() {
        return Err(Error::Invalid(format!("{what} is no JSON object")));
    }
    without_nulls(&mut value);
    Ok(value)
}

/// Go writes an unset list or map as `null`, which means the same as its absence.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|_, member| !member.is_null());
            object.values_mut().for_each(without_nulls);
        }
        Value::Array(array) => array.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

fn typed<T: serde::de::DeserializeOwned>(value: Value, at: &str) -> Result<T, Error> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let dot = if at.is_empty() || path.starts_with('[') { "" } else { "." };
        refuse(format!("{at}{dot}{path}"), error.inner())
    })
}

fn check_version(value: &Value) -> Result<(), Error> {
    let version = value.get("ociVersion").ok_or_else(|| refuse("ociVersion", "is missing"))?;
    let version = version.as_str().ok_or_else(|| refuse("ociVersion", "is no string"))?;
    let numbers = |text: &str| -> Option<[u32; 3]> {
        // SemVer 2.0: what follows - or + orders within one version.
        let core = text.split(['-', '+']).next()?;
        let parts: Option<Vec<u32>> = core.split('.').map(|part| part.parse().ok()).collect();
        parts?.try_into().ok()
    };
    let wanted =
        numbers(version).ok_or_else(|| refuse("ociVersion", format!("{version:?} is no version")))?;
    if Some(wanted) > numbers(VERSION_MAX) || Some(wanted) < numbers(VERSION_MIN) {
        let known = format!("{version} is not among the known {VERSION_MIN} to {VERSION_MAX}");
        return Err(refuse("ociVersion", known));
    }
    Ok(())
}

/// What the types cannot say.
fn check_values(spec: &Spec) -> Result<(), Error> {
    if let Some(process) = spec.process() {
        check_process(process)?;
    }
    for (index, mount) in spec.mounts().iter().flatten().enumerate() {
        let at = format!("mounts[{index}].destination");
        // Relative ones are deprecated but valid (config.md, "Mounts"); both start at the root.
        if mount.destination().components().any(|part| part == Component::ParentDir) {
            return Err(refuse(at, "has .. in it"));
        }
        if mount.destination().as_os_str().is_empty() {
            return Err(refuse(at, "is missing"));
        }
    }
    let Some(hooks) = spec.hooks() else { return Ok(()) };
    #[allow(deprecated, reason = "the specification keeps it, and engines use it")]
    let kinds = [
        ("prestart", hooks.prestart()),
        ("createRuntime", hooks.create_runtime()),
        ("createContainer", hooks.create_container()),
        ("startContainer", hooks.start_container()),
        ("poststart", hooks.poststart()),
        ("poststop", hooks.poststop()),
    ];
    for (kind, hooks) in kinds {
        for (index, hook) in hooks.iter().flatten().enumerate() {
            let at = format!("hooks.{kind}[{index}]");
            if !hook.path().is_absolute() {
                return Err(refuse(format!("{at}.path"), "is not absolute"));
            }
            if hook.timeout().is_some_and(|seconds| seconds <= 0) {
                return Err(refuse(format!("{at}.timeout"), "is not greater than 0"));
            }
        }
    }
    Ok(())
}

fn check_process(process: &Process) -> Result<(), Error> {
    if !process.cwd().is_absolute() {
        return Err(refuse("process.cwd", format!("{:?} is not absolute", process.cwd())));
    }
    if process.args().as_ref().is_none_or(Vec::is_empty) {
        return Err(refuse("process.args", "is missing or empty"));
    }
    let mut seen = Vec::new();
    for (index, limit) in process.rlimits().iter().flatten().enumerate() {
        let at = format!("process.rlimits[{index}]");
        if seen.contains(&limit.typ()) {
            return Err(refuse(format!("{at}.type"), format!("{} is there twice", limit.typ())));
        }
        if limit.soft() > limit.hard() {
            return Err(refuse(format!("{at}.soft"), "is greater than hard"));
        }
        seen.push(limit.typ());
    }
    Ok(())
}
