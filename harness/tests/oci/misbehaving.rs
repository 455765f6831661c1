//! Runtimes that misbehave, in one run beside one that does not: a row each, and nothing left.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// What each does instead of running a container; all tell a version.
const SCRIPTS: [(&str, &str, &str); 4] = [
    ("crashes", "echo the disk is on fire >&2; kill -SEGV $$", "signal 11"),
    ("hangs", "case \"$*\" in *' run '*) sleep 1003;; *) exit 1;; esac", "not there after"),
    ("garbage", "head -c 300000 /dev/urandom; exit 5", "exit status 5"),
    ("leaves", LEAVES, "exit status 0"),
];
/// Makes the container's cgroup and goes.
const LEAVES: &str = r#"while [ $# -gt 0 ]; do [ "$1" = --bundle ] && bundle=$2; shift; done
    [ -n "$bundle" ] || exit 0
    path=$(sed 's/.*"cgroupsPath":"\([^"]*\)".*/\1/' "$bundle/config.json")
    root=$(grep -m1 ' - cgroup ' /proc/self/mountinfo | cut -d' ' -f5)
    mkdir -p "${root:-/sys/fs/cgroup}$path""#;

fn runtime(folder: &Path, name: &str, script: &str) -> String {
    let path = folder.join(name);
    let text = format!("#!/bin/sh\n[ \"$1\" = --version ] && {{ echo {name} 1; exit; }}\n{script}\n");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("{name}={}", path.display())
}

fn cgroups() -> Vec<String> {
    let found = Command::new("find").args(["/sys/fs/cgroup", "-path", "*/bench/*", "-type", "d"]).output();
    String::from_utf8_lossy(&found.unwrap().stdout).lines().map(str::to_owned).collect()
}

#[test]
fn each_has_its_row_and_nothing_stays() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: OCI runtimes with mapped ids need root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let words: Vec<String> =
        SCRIPTS.iter().map(|(name, script, _)| runtime(folder.path(), name, script)).collect();
    let names: Vec<String> = SCRIPTS.iter().map(|(name, ..)| format!("oci:{name}")).collect();
    let run = |on: &str, out: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
        command.current_dir(folder.path()).args(["run", "boot-storm", "--instances", "1", "--storms", "1"]);
        command.args(["--warmup", "0", "--timeout", "3s", "--workload", "ready", "--on", on, "--out", out]);
        command.args(words.iter().flat_map(|word| ["--runtime", word]));
        command.output().unwrap()
    };
    let said = run(&format!("{},container", names.join(",")), "run");
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    let rows: Vec<HashMap<String, String>> = csv::Reader::from_path(folder.path().join("run/attempts.csv"))
        .unwrap()
        .deserialize()
        .map(Result::unwrap)
        .collect();
    for (name, _, error) in SCRIPTS {
        let row = rows.iter().find(|row| row["backend"] == format!("oci:{name}")).unwrap();
        let outcome = if name == "hangs" { "timeout" } else { "failed" };
        assert_eq!(row["outcome"], outcome, "{name}: {row:?}");
        assert!(row["error"].contains(error), "{name}: {row:?}\n{text}");
    }
    let good = rows.iter().find(|row| row["backend"] == "container").unwrap();
    assert_eq!(good["outcome"], "ready", "{good:?}");
    let id: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("run/run.json")).unwrap()).unwrap();
    let id = id["id"].as_str().unwrap();
    let left: Vec<String> = cgroups().into_iter().filter(|path| path.contains(&format!("/{id}"))).collect();
    assert!(left.is_empty(), "{left:?}");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(id) && !Path::new("/run/bench").join(id).exists());
    // One that is missing is said before anything is started.
    let missing = run("oci:nosuch,container", "missing");
    assert_eq!(missing.status.code(), Some(2), "{missing:?}");
    let gone = Command::new(env!("CARGO_BIN_EXE_bench"))
        .current_dir(folder.path())
        .args([
            "run",
            "boot-storm",
            "--on",
            "oci:gone,container",
            "--runtime",
            "gone=/nowhere/gone",
            "--out",
            "gone",
        ])
        .output()
        .unwrap();
    assert_eq!(gone.status.code(), Some(77), "{gone:?}");
    assert!(String::from_utf8_lossy(&gone.stderr).contains("/nowhere/gone"), "{gone:?}");
}
