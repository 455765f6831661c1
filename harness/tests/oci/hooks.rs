//! Hooks: when, where, with what, and what their failure does.

use serde_json::{Value, json};

use super::Bundle;

const KINDS: [&str; 5] = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];

fn log_hooks(bundle: &Bundle, config: &mut Value) {
    let log = bundle.file("log");
    for kind in KINDS {
        let script = format!(
            "echo {kind} $(cat | grep -o '\"status\":\"[a-z]*\"') $(readlink /proc/self/ns/mnt) $(hostname) >> {}",
            log.display()
        );
        config["hooks"][kind] =
            json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"] }]);
    }
    // Found and executed inside.
    let inside =
        "echo startContainer $(cat | grep -o '\"pid\":[0-9]*') $(grep CapEff /proc/self/status) > /tmp/log";
    config["hooks"]["startContainer"] =
        json!([{ "path": "/bin/sh", "args": ["sh", "-c", inside], "env": ["PATH=/bin"] }]);
}

#[test]
fn each_runs_in_its_place_with_the_state() {
    let Some(bundle) = Bundle::new() else { return };
    bundle.configure(|config| {
        config["process"]["args"] =
            json!(["/bin/sh", "-c", "cat /tmp/log > /tmp/seen; while :; do sleep 0.05; done"]);
        config["hostname"] = json!("inside");
        log_hooks(&bundle, config);
    });
    bundle.oci("create ID").fine();
    let lines = |bundle: &Bundle| bundle.read("log").lines().map(str::to_owned).collect::<Vec<_>>();
    let before = lines(&bundle);
    assert_eq!(before.len(), 3, "{before:?}");
    bundle.oci("start ID").fine();
    bundle.until("the program saw the hook's file", || !bundle.read("rootfs/tmp/seen").is_empty());
    assert_eq!(bundle.read("rootfs/tmp/seen"), "startContainer \"pid\":1 CapEff: 0000000020000420\n");
    bundle.oci("delete --force ID").fine();
    let all = lines(&bundle);
    let kinds: Vec<&str> = all.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(kinds, KINDS);
    let host = std::fs::read_link("/proc/self/ns/mnt").unwrap();
    for line in &all {
        let fields: Vec<&str> = line.split(' ').collect();
        let is_inside = fields[0] == "createContainer";
        assert_eq!(fields[2] == host.to_str().unwrap(), !is_inside, "{line}");
        assert_eq!(fields[3] == "inside", is_inside, "{line}");
    }
    for (line, status) in all.iter().zip(["creating", "creating", "creating", "running", "stopped"]) {
        assert!(line.contains(&format!("\"status\":\"{status}\"")), "{line}");
    }
}

#[test]
fn a_failing_hook_ends_the_container() {
    let Some(bundle) = Bundle::new() else { return };
    for kind in ["prestart", "createRuntime", "createContainer"] {
        bundle.configure(|config| {
            log_hooks(&bundle, config);
            config["hooks"][kind] =
                json!([{ "path": "/bin/sh", "args": ["sh", "-c", "echo words; exit 3"] }]);
        });
        bundle
            .oci("create ID")
            .fails(&format!("hooks.{kind}[0] (/bin/sh) failed with exit code 3; it said: words"));
        // What is left of the lifecycle is still gone through.
        assert!(bundle.read("log").contains("poststop"), "{kind}");
        bundle.assert_gone();
    }
    for kind in ["startContainer", "poststart"] {
        bundle.configure(|config| {
            config["process"]["args"] = json!(["/bin/sleep", "60"]);
            config["hooks"][kind] = json!([{ "path": "/bin/sh", "args": ["sh", "-c", "exit 3"] }]);
        });
        bundle.oci("create ID").fine();
        bundle.oci("start ID").fails(&format!("hooks.{kind}[0] (/bin/sh) failed with exit code 3"));
        assert_eq!(bundle.status(), "stopped");
        bundle.oci("delete ID").fine();
    }
    // A poststop hook comes too late to change anything.
    bundle.configure(|config| {
        config["process"]["args"] = json!(["/bin/sh", "-c", "exit 9"]);
        config["hooks"]["poststop"] = json!([{ "path": "/bin/sh", "args": ["sh", "-c", "exit 3"] }]);
    });
    let said = bundle.oci("run ID");
    assert_eq!(said.code, Some(9), "{said:?}");
    assert!(said.err.contains("warning") && said.err.contains("hooks.poststop[0]"), "{said:?}");
    bundle.assert_gone();
}

#[test]
fn a_hook_that_takes_too_long_is_ended() {
    let Some(bundle) = Bundle::new() else { return };
    bundle.configure(|config| {
        config["hooks"]["createRuntime"] =
            json!([{ "path": "/bin/sh", "args": ["sh", "-c", "sleep 60"], "timeout": 1 }]);
    });
    bundle.oci("create ID").fails("hooks.createRuntime[0] (/bin/sh) did not end within 1 s");
    bundle.assert_gone();
}
