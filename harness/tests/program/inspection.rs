//! `list` and `doctor`.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::{bench, say};

#[test]
fn list_names_everything_there_is() {
    let said = say("list");
    assert_eq!(said.code, Some(0));
    for name in ["boot-storm", "process", "container", "oci:runc", "vm:direct", "http", "memory=SIZE"] {
        assert!(
            said.out.lines().any(|line| line.split_whitespace().next() == Some(name)),
            "{name}: {said:?}"
        );
    }
    assert!(!said.out.contains("fake") && !said.out.contains('\x1b'), "{said:?}");
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut child =
        bench(folder.path()).arg("doctor").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The pipe is closed before anything is read.
    drop(child.stdout.take());
    let mut err = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        err.push_str(&line.unwrap());
    }
    assert!(child.wait().unwrap().success(), "{err}");
    assert_eq!(err, "");
}

#[test]
fn doctor_speaks_text_and_json() {
    let text = say("doctor");
    assert_eq!(text.code, Some(0));
    assert!(text.out.contains("cgroup_mode") && text.out.contains("container"), "{text:?}");
    let json = say("doctor --json");
    let report: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert!(report["host"]["kernel"].is_string());
    let backends = report["backends"].as_array().unwrap();
    assert!(backends.iter().any(|one| one["backend"] == "process" && one["usable"] == true), "{report}");
    for requirement in backends.iter().flat_map(|one| one["requirements"].as_array().unwrap()) {
        assert_ne!(requirement["found"].is_null(), requirement["problem"].is_null(), "{requirement}");
    }
    // A container has one of each kind the host has.
    let container = backends.iter().find(|one| one["backend"] == "container").unwrap();
    let all = container["requirements"].as_array().unwrap();
    let found = all.iter().find(|one| one["what"] == "namespaces").unwrap()["found"].as_str().unwrap();
    let found: Vec<&str> = found.split(", ").collect();
    for kind in report["host"]["namespaces"].as_array().unwrap() {
        assert!(found.contains(&kind.as_str().unwrap()), "{kind} is not in {found:?}");
    }
}

#[test]
fn version_and_help() {
    assert!(say("--version").out.starts_with("bench "));
    let help = say("--help");
    assert_eq!(help.code, Some(0));
    assert!(help.out.contains("77") && help.out.contains("bench.toml"));
}
