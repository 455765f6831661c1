//! What is not carried out is refused by name, and nothing is made of it.

use serde_json::{Value, json};

use super::Bundle;

#[test]
fn refused_fields_are_named_and_nothing_is_left() {
    let Some(bundle) = Bundle::new() else { return };
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 7] = [
        (
            |config| config["process"]["terminal"] = json!(true),
            "config.json: process.terminal: terminals are",
        ),
        (|config| config["process"]["apparmorProfile"] = json!("x"), "config.json: process.apparmorProfile:"),
        (
            |config| config["linux"]["personality"] = json!({ "domain": "LINUX32" }),
            "config.json: linux.personality:",
        ),
        (
            |config| config["linux"]["sysctl"] = json!({ "vm.swappiness": "1" }),
            "config.json: linux.sysctl.vm.swap",
        ),
        (|config| config["linux"]["cgroupsPath"] = json!("a.slice:b:c"), "config.json: linux.cgroupsPath:"),
        (
            |config| config["process"]["args"] = json!(["/nonexistent"]),
            "process.args[0]: exec: \"/nonexistent\": no such",
        ),
        (|config| config["linux"]["unheardOf"] = json!(1), "config.json: linux.unheardOf: is no known field"),
    ];
    for (change, words) in cases {
        bundle.configure(change);
        bundle.oci("create ID").fails(words);
        bundle.assert_gone();
    }
}

#[test]
fn flags_that_are_not_carried_out_are_refused_in_words() {
    let Some(bundle) = Bundle::new() else { return };
    bundle.oci("create --console-socket /tmp/x ID").fails("--console-socket is refused");
    bundle.oci("create --no-pivot ID").fails("--no-pivot is refused");
    bundle.oci("--systemd-cgroup create ID").fails("--systemd-cgroup is not implemented");
    bundle.oci("create --preserve-fds 40 ID").fails("is to inherit it");
    bundle.oci("create --bundle nowhere ID").fails("find the bundle nowhere");
    bundle.oci("create a/b").fails("is not 1 to 255 of letters");
    bundle.assert_gone();
}

#[test]
fn a_pipe_in_the_place_of_a_file_holds_nobody_up() {
    let Some(bundle) = Bundle::new() else { return };
    let pipe = bundle.file("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    bundle.configure(|config| {
        config["linux"]["namespaces"] = json!([{ "type": "mount" }, { "type": "uts", "path": pipe }]);
    });
    bundle.oci("create ID").fails("is not a namespace of kind uts");
    std::fs::rename(&pipe, bundle.file("config.json")).unwrap();
    bundle.oci("create ID").fails("config.json is no JSON");
}

#[test]
fn errors_are_in_the_log_as_engines_read_it() {
    let Some(bundle) = Bundle::new() else { return };
    bundle.oci("--log log --log-format json state ID").fails("does not exist");
    let line: Value = serde_json::from_str(bundle.read("log").trim()).unwrap();
    assert_eq!(line["level"], "error");
    assert!(line["msg"].as_str().unwrap().contains("does not exist"), "{line}");
}

#[test]
fn a_group_that_is_somebody_elses_is_left_alone() {
    let Some(bundle) = Bundle::new() else { return };
    bundle.script("while :; do sleep 0.05; done");
    bundle.oci("run --detach ID").fine();
    let group = format!("/bench-oci/{}", bundle.id);
    bundle.configure(|config| config["linux"]["cgroupsPath"] = json!(group));
    bundle.oci("create ID-other").fails("linux.cgroupsPath: ");
    assert_eq!(bundle.status(), "running");
}
