//! bubblewrap in the place of a runtime: it reads no bundle, so what the bundle says is said to it in
//! words (bwrap(1)).
//!
//! What it has no words for is left out: cgroups and so limits, a sysfs of its own (the host's is shown, read
//! only), and a map of more than one id: the container's root is the user that starts it, without rights
//! outside. Nor has it commands for a container that runs: it cannot be paused.

use std::path::Path;

use serde_json::Value;

/// The command line that starts what `config` describes, with the filter of system calls to be read from
/// descriptor `filter`.
pub(super) fn words(config: &Value, filter: usize) -> Vec<String> {
    let mut words: Vec<String> =
        ["bwrap", "--unshare-user", "--uid", "0", "--gid", "0"].map(str::to_owned).into();
    let mut say = |new: &[&str]| words.extend(new.iter().map(|word| (*word).to_owned()));
    for namespace in texts(&config["linux"]["namespaces"], Some("type")) {
        match namespace {
            "pid" => say(&["--unshare-pid", "--as-pid-1"]),
            "network" => say(&["--unshare-net"]),
            "uts" => {
                say(&["--unshare-uts", "--hostname", config["hostname"].as_str().unwrap_or("container")])
            }
            "ipc" => say(&["--unshare-ipc"]),
            "cgroup" => say(&["--unshare-cgroup"]),
            // It always makes a mount namespace; the user namespace is above.
            _ => {}
        }
    }
    let process = &config["process"];
    say(&["--die-with-parent", "--clearenv", "--chdir", process["cwd"].as_str().unwrap_or("/")]);
    for (name, value) in texts(&process["env"], None).filter_map(|variable| variable.split_once('=')) {
        say(&["--setenv", name, value]);
    }
    say(&["--cap-drop", "ALL"]);
    texts(&process["capabilities"]["bounding"], None).for_each(|capability| say(&["--cap-add", capability]));
    say(&["--seccomp", &filter.to_string()]);
    let root = config["root"]["path"].as_str().unwrap_or_default();
    let is_read_only = config["root"]["readonly"].as_bool().unwrap_or(true);
    say(&[if is_read_only { "--ro-bind" } else { "--bind" }, root, "/"]);
    for mount in config["mounts"].as_array().into_iter().flatten() {
        let of = |key: &str| mount[key].as_str().unwrap_or_default();
        match (of("type"), of("destination")) {
            ("proc", target) => say(&["--proc", target]),
            // With the usual devices and a devpts.
            ("tmpfs", "/dev") => say(&["--dev", "/dev"]),
            ("devpts", _) => {}
            ("tmpfs", target) => say(&["--perms", "1777", "--tmpfs", target]),
            ("mqueue", target) => say(&["--mqueue", target]),
            ("sysfs", target) => say(&["--ro-bind", "/sys", target]),
            ("bind", target) => say(&["--ro-bind", of("source"), target]),
            _ => {}
        }
    }
    for path in texts(&config["linux"]["readonlyPaths"], None).filter(|path| Path::new(path).exists()) {
        say(&["--ro-bind", path, path]);
    }
    for path in texts(&config["linux"]["maskedPaths"], None) {
        match Path::new(path).metadata() {
            Ok(found) if found.is_dir() => say(&["--tmpfs", path, "--remount-ro", path]),
            Ok(_) => say(&["--ro-bind", "/dev/null", path]),
            Err(_) => {}
        }
    }
    say(&["--"]);
    texts(&process["args"], None).for_each(|word| say(&[word]));
    words
}

/// The texts of a list, or of a key of what is in it.
fn texts<'a>(list: &'a Value, key: Option<&'a str>) -> impl Iterator<Item = &'a str> {
    let all = list.as_array().into_iter().flatten();
    all.filter_map(move |one| key.map_or(Some(one), |key| one.get(key))?.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_bundle_says_is_said_in_words() {
        let config = json!({
            "hostname": "one",
            "root": { "path": "/stage/root", "readonly": true },
            "process": {
                "args": ["/guest", "fd:3"], "env": ["PATH=/"], "cwd": "/",
                "capabilities": { "bounding": ["CAP_KILL"] },
            },
            "mounts": [
                { "destination": "/proc", "type": "proc" },
                { "destination": "/dev", "type": "tmpfs" },
                { "destination": "/dev/pts", "type": "devpts" },
                { "destination": "/guest", "type": "bind", "source": "/stage/guest" },
            ],
            "linux": {
                "namespaces": [{ "type": "pid" }, { "type": "network" }, { "type": "mount" }, { "type": "uts" }],
                "maskedPaths": ["/proc", "/no/such/path", "/dev/null"],
                "readonlyPaths": ["/proc/sys"],
            },
        });
        let said = words(&config, 4).join(" ");
        let expected = "bwrap --unshare-user --uid 0 --gid 0 --unshare-pid --as-pid-1 --unshare-net --unshare-uts \
             --hostname one --die-with-parent --clearenv --chdir / --setenv PATH / --cap-drop ALL --cap-add CAP_KILL \
             --seccomp 4 --ro-bind /stage/root / --proc /proc --dev /dev --ro-bind /stage/guest /guest \
             --ro-bind /proc/sys /proc/sys --tmpfs /proc --remount-ro /proc --ro-bind /dev/null /dev/null -- /guest fd:3";
        assert_eq!(said, expected);
    }
}
