//! An image as an OCI bundle: its configuration turned into a runtime configuration
//! (OCI image specification, conversion.md; OCI runtime specification, config.md).

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci_spec::runtime::Spec;
use serde_json::{Value, json};

use super::{Error, Image, user};

/// What of a bundle is not the image's to say.
#[derive(Clone, Debug, Default)]
pub struct BundleOptions {
    /// Where the runtime finds the files: absolute, or relative to the bundle. Not given, the
    /// image's own files, which must not be written to.
    pub rootfs: Option<PathBuf>,
    /// Program and arguments in place of the image's.
    pub arguments: Option<Vec<String>>,
    /// `NAME=value`, after the image's and winning over it.
    pub environment: Vec<String>,
    /// Host name inside.
    pub hostname: Option<String>,
    /// Nothing can be written outside of mounts.
    pub is_read_only: bool,
}

/// What engines leave a container that asks for nothing: enough for packaged services to drop
/// their own privileges, nothing that reaches the host.
const CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];
const MASKED: [&str; 10] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The runtime configuration of one container of this image, to be written as `config.json`.
///
/// Folders the image declares as volumes stay in its root: that root is an instance's own and is
/// thrown away with it, so data never reaches the image.
///
/// # Errors
/// The image has no command and none is given, names a user it does not have, or has no files
/// (the built-in one: see [`Image::with_files`]).
pub fn bundle_config(image: &Image, options: &BundleOptions) -> Result<Spec, Error> {
    let what = format!("image {}", image.reference);
    let rootfs = options.rootfs.as_ref().or(image.rootfs.as_ref());
    let rootfs = rootfs.ok_or_else(|| Error::malformed(&what, "has no files to make a bundle of"))?;
    let arguments = options.arguments.as_ref().unwrap_or(&image.command);
    if arguments.is_empty() {
        return Err(Error::malformed(&what, "has no command: give a program to run"));
    }
    let working_directory = match image.working_directory.as_str() {
        absolute if absolute.starts_with('/') => absolute.to_owned(),
        relative => format!("/{relative}"),
    };
    let identity = user::identity(image.rootfs.as_deref(), &image.user)?;
    let namespaces =
        ["pid", "network", "ipc", "uts", "mount", "cgroup"].map(|kind| json!({ "type": kind })).to_vec();
    let spec = json!({
        "ociVersion": "1.0.2",
        "root": { "path": rootfs, "readonly": options.is_read_only },
        "hostname": options.hostname,
        "process": {
            "terminal": false,
            "user": {
                "uid": identity.uid, "gid": identity.gid, "additionalGids": identity.additional_gids,
            },
            "args": arguments,
            "env": environment(&image.environment, &options.environment),
            "cwd": working_directory,
            "capabilities": {
                "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES,
                "inheritable": [], "ambient": [],
            },
            "noNewPrivileges": true,
        },
        "mounts": mounts(),
        "annotations": annotations(image),
        "linux": {
            "namespaces": namespaces,
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
        },
    });
    serde_json::from_value(without_nulls(spec)).map_err(|error| Error::malformed(what, error))
}

/// The image's environment with what is added to it; the last of two values of a name counts.
fn environment(image: &[String], added: &[String]) -> Vec<String> {
    let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    let mut found: Vec<String> = Vec::new();
    let path = [PATH.to_owned()];
    for variable in path.iter().chain(image).chain(added) {
        match found.iter_mut().find(|known| name(known) == name(variable)) {
            Some(known) => known.clone_from(variable),
            None => found.push(variable.clone()),
        }
    }
    found
}

fn mounts() -> Value {
    let mount = |destination: &str, kind: &str, options: &[&str]| {
        let source = if kind == "bind" { destination } else { kind };
        json!({ "destination": destination, "type": kind, "source": source, "options": options })
    };
    let safe = ["nosuid", "noexec", "nodev"];
    json!([
        mount("/proc", "proc", &safe),
        mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
        mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", &safe),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
    ])
}

/// conversion.md, "Annotation Fields"; a label of the same name wins.
fn annotations(image: &Image) -> BTreeMap<String, String> {
    let details = &image.details;
    let ports = (!details.exposed_ports.is_empty()).then(|| details.exposed_ports.join(","));
    let fields = [
        ("os", Some(details.os.clone()).filter(|os| !os.is_empty())),
        ("architecture", Some(details.architecture.clone()).filter(|name| !name.is_empty())),
        ("author", details.author.clone()),
        ("created", details.created.clone()),
        ("stopSignal", details.stop_signal.clone()),
        ("exposedPorts", ports),
    ];
    let mut annotations: BTreeMap<String, String> = fields
        .into_iter()
        .filter_map(|(name, value)| Some((format!("org.opencontainers.image.{name}"), value?)))
        .collect();
    annotations.extend(details.labels.clone());
    annotations
}

/// An absent field is not the same as a null one to every reader.
fn without_nulls(mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        fields.retain(|_, field| !field.is_null());
    }
    value
}
