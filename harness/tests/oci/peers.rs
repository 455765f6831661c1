//! The same bundles through other people's runtimes: same exit codes, same state, same inside.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{Bundle, Said, has};

/// Runs a peer on the bundle; `None` where it cannot run here.
fn peer(bundle: &Bundle, words: &str) -> Said {
    let words = words.replace("ID", &bundle.id);
    let mut words = words.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    command.arg("--root").arg(bundle.file("peer-state")).args(words).current_dir(bundle.path());
    command.stdin(Stdio::null()).output().unwrap().into()
}

/// What can be told from the inside and must be the same.
const LOOK: &str = "id; grep -E 'Cap|NoNew|Seccomp:' /proc/self/status; ls /dev; ls /proc/self/fd; pwd; hostname; \
    grep -v cgroup /proc/self/mountinfo | while read a b c d target options rest; do \
    case $options in ro*) echo ro $target;; *) echo rw $target;; esac; done; \
    wc -c < /proc/timer_list; (echo 1 > /proc/sys/kernel/hostname) 2>&1 | grep -c Read-only";

#[test]
fn the_inside_and_the_exit_code_are_those_of_runc() {
    let Some(bundle) = Bundle::new() else { return };
    if !has("runc") {
        return;
    }
    for script in [LOOK, "exit 42", "kill -TERM $$; exit 3", "nosuchcommand"] {
        bundle.script(script);
        let (ours, theirs) = (bundle.oci("run ID"), peer(&bundle, "runc run ID"));
        assert_eq!((ours.code, &ours.out), (theirs.code, &theirs.out), "{script}\n{ours:?}\n{theirs:?}");
    }
    bundle.configure(|config| {
        config["process"]["args"] = json!(["/bin/sh", "-c", LOOK]);
        config["process"]["user"] = json!({ "uid": 1000, "gid": 1001, "additionalGids": [5, 6] });
        config["process"]["noNewPrivileges"] = json!(false);
        config["root"]["readonly"] = json!(true);
        config["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{ "names": ["chmod"], "action": "SCMP_ACT_ERRNO" }] });
        config["mounts"].as_array_mut().unwrap().push(json!({ "destination": "/b", "type": "bind",
            "source": "rootfs/etc", "options": ["rbind", "ro"] }));
    });
    let (ours, theirs) = (bundle.oci("run ID"), peer(&bundle, "runc run ID"));
    // The kernel lists mounts by their numbers, and what is bound is opened before the rest is made.
    let lines = |said: &Said| {
        let mut lines: Vec<String> = said.out.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!((ours.code, lines(&ours)), (theirs.code, lines(&theirs)), "{ours:?}\n{theirs:?}");
}

#[test]
fn the_state_has_the_members_of_runcs() {
    let Some(bundle) = Bundle::new() else { return };
    if !has("runc") {
        return;
    }
    bundle.configure(|config| {
        config["process"]["args"] = json!(["/bin/sleep", "60"]);
        config["annotations"] = json!({ "a": "b" });
    });
    let state = |said: Said| -> Value { serde_json::from_str(&said.fine().out).unwrap() };
    let folder = bundle.file("to-file");
    let quiet = |mut command: Command| {
        let file = std::fs::File::create(&folder).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file).stdin(Stdio::null()).status().unwrap()
    };
    let mut theirs = Command::new("runc");
    theirs
        .arg("--root")
        .arg(bundle.file("peer-state"))
        .args(["create", &bundle.id])
        .current_dir(bundle.path());
    assert!(quiet(theirs).success(), "{}", bundle.read("to-file"));
    let runcs = state(peer(&bundle, "runc state ID"));
    peer(&bundle, "runc delete --force ID").fine();
    bundle.oci("create ID").fine();
    let ours = bundle.state();
    for (member, value) in runcs.as_object().unwrap() {
        let own = &ours[member];
        match member.as_str() {
            "pid" => assert!(own.as_i64() > Some(0)),
            "created" => assert_eq!(own.as_str().map(str::len), Some("2026-01-01T00:00:00Z".len())),
            "ociVersion" => assert!(own.is_string()),
            "bundle" | "rootfs" => assert_eq!(
                Path::new(own.as_str().unwrap()),
                Path::new(value.as_str().unwrap()).canonicalize().unwrap(),
            ),
            _ => assert_eq!(own, value, "{member}"),
        }
    }
}

#[test]
fn a_bundle_of_umoci_runs() {
    let Some(bundle) = Bundle::new() else { return };
    if !has("umoci") {
        return;
    }
    let run = |arguments: &str| {
        let words = arguments.split_whitespace();
        let said: Said =
            Command::new("umoci").args(words).current_dir(bundle.path()).output().unwrap().into();
        said.fine();
    };
    run("init --layout image");
    run("new --image image:x");
    run("unpack --image image:x unpacked");
    for folder in ["bin", "lib", "lib64", "usr"] {
        let from = bundle.file("rootfs").join(folder);
        if from.exists() {
            let to = bundle.file("unpacked/rootfs");
            assert!(Command::new("cp").arg("-a").args([&from, &to]).status().unwrap().success());
        }
    }
    let path = bundle.file("unpacked/config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["/bin/sh", "-c", "echo hello; exit 4"]);
    std::fs::write(&path, config.to_string()).unwrap();
    let said = bundle.oci("run --bundle unpacked ID");
    assert_eq!((said.code, said.out.as_str()), (Some(4), "hello\n"), "{said:?}");
}
