use serde_json::{Value, json};

use super::*;

fn least() -> Value {
    json!({
        "ociVersion": "1.0.2",
        "root": { "path": "rootfs" },
        "process": { "cwd": "/", "args": ["/bin/true"], "user": { "uid": 0, "gid": 0 } },
    })
}

fn parsed(value: &Value) -> Result<Spec, String> {
    parse(&serde_json::to_vec(value).unwrap()).map_err(|error| error.to_string())
}

/// Sets what `pointer` (RFC 6901) points at, making the objects on the way.
fn with(pointer: &str, value: Value) -> Value {
    let mut config = least();
    let mut place = &mut config;
    for key in pointer.split('/').skip(1) {
        place = match key.parse::<usize>() {
            Ok(index) => {
                if place.is_null() {
                    *place = json!([]);
                }
                let list = place.as_array_mut().unwrap();
                list.resize(list.len().max(index + 1), json!({}));
                &mut list[index]
            }
            Err(_) => &mut place[key],
        };
    }
    *place = value;
    config
}

#[test]
fn the_least_configuration_is_accepted() {
    parsed(&least()).unwrap();
}

// What `runc spec` 1.1.5 writes, with "terminal": false.
#[test]
fn what_runc_spec_writes_is_accepted() {
    parse(include_bytes!("runc-spec.json")).unwrap();
}

#[test]
fn a_refused_field_is_named() {
    let cases = [
        ("/process/terminal", json!(true), "config.json: process.terminal: terminals are not implemented"),
        ("/process/apparmorProfile", json!("docker-default"), "process.apparmorProfile: AppArmor"),
        ("/process/scheduler/policy", json!("SCHED_IDLE"), "process.scheduler: is not"),
        ("/linux/resources/memory/kernel", json!(1), "linux.resources.memory.kernel: was removed"),
        ("/linux/resources/memory/swappiness", json!(5), "linux.resources.memory.swappiness: is not"),
        (
            "/linux/resources/blockIO/weightDevice/0/weight",
            json!(5),
            "linux.resources.blockIO.weightDevice: is",
        ),
        ("/linux/resources/rdma/mlx5_1/hcaHandles", json!(1), "linux.resources.rdma: is not"),
        ("/linux/resources/memory/limti", json!(1), "linux.resources.memory.limti: is no known field"),
        ("/linux/resources/memory/limti", json!(false), "linux.resources.memory.limti: is no known field"),
        ("/mounts/1/uidMappings/0/size", json!(1), "mounts[1].uidMappings: mounts with mapped ids"),
        ("/process.args", json!(["x"]), "process.args: is no known field"),
        ("/windows/hyperv", json!({"utilityVMPath": "x"}), "windows: is for another"),
        ("/unknown", json!("unknown"), "unknown: is no known field"),
        ("/linux/namespaces", json!("pid"), "linux.namespaces: is no list"),
        ("/linux", json!("pid"), "linux: is no object"),
        ("/linux/namespaces/0", json!({"type": "pidd"}), "linux.namespaces[0].type: unknown variant `pidd`"),
        ("/process/cwd", json!("tmp"), "process.cwd: \"tmp\" is not absolute"),
        ("/process/args", json!([]), "process.args: is missing or empty"),
        ("/process/args/0", json!(5), "process.args[0]: invalid type"),
        ("/process/capabilities/bounding/0", json!("CAP_TEST"), "process.capabilities.bounding[0]"),
        ("/process/user/uid", json!(-1), "process.user.uid: invalid value"),
        (
            "/process/rlimits/0",
            json!({"type": "RLIMIT_TEST", "soft": 1, "hard": 1}),
            "process.rlimits[0].type",
        ),
        (
            "/process/rlimits/0",
            json!({"type": "RLIMIT_CPU", "soft": 2, "hard": 1}),
            "process.rlimits[0].soft: is greater",
        ),
        ("/mounts/0/destination", json!("/a/../../b"), "mounts[0].destination: has .. in it"),
        ("/hooks/prestart/0/path", json!("bin/true"), "hooks.prestart[0].path: is not absolute"),
        (
            "/hooks/poststop/0",
            json!({"path": "/x", "timeout": 0}),
            "hooks.poststop[0].timeout: is not greater",
        ),
        ("/ociVersion", json!("2.0.0"), "ociVersion: 2.0.0 is not among"),
        ("/ociVersion", json!("0.9"), "ociVersion: \"0.9\" is no version"),
        ("/ociVersion", json!(1), "ociVersion: is no string"),
    ];
    for (pointer, value, wanted) in cases {
        let error = parsed(&with(pointer, value)).expect_err(pointer);
        assert!(error.contains(wanted), "{pointer}: {error}");
    }
}

#[test]
fn what_asks_for_nothing_is_no_reason_to_refuse() {
    for (pointer, value) in [
        ("/process/terminal", json!(false)),
        ("/process/apparmorProfile", json!("")),
        ("/linux/intelRdt", json!({})),
        ("/linux/resources/memory/disableOOMKiller", json!(false)),
        ("/linux/mountLabel", json!("")),
        ("/mounts", Value::Null),
        ("/linux/resources/devices", Value::Null),
        ("/annotations/org.example.some", json!("thing")),
        ("/linux/sysctl/net.ipv4.ip_forward", json!("1")),
        ("/process/consoleSize", json!({"height": 0, "width": 0})),
    ] {
        parsed(&with(pointer, value)).expect(pointer);
    }
}

#[test]
fn what_is_no_configuration_is_refused() {
    let deep = "[".repeat(100_000);
    for text in ["", "{", "[]", "null", "{}", r#"{"ociVersion": "1.0.0", "process": 1}"#, &deep] {
        assert!(parse(text.as_bytes()).is_err(), "{text:.20}");
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
        let _ = parse_process(&bytes);
    }
}
