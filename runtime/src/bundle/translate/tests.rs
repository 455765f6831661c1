use serde_json::{Value, json};

use super::super::config::{Bundle, parse};
use super::*;
use crate::container::setup::{DeviceKind, MountSource, Reach};

/// A bundle of the configuration of `runc spec`, changed by `change`.
fn bundle(change: impl FnOnce(&mut Value)) -> Bundle {
    let mut config: Value = serde_json::from_str(include_str!("../config/runc-spec.json")).unwrap();
    change(&mut config);
    let spec = parse(&serde_json::to_vec(&config).unwrap()).unwrap();
    Bundle { path: "/b".into(), rootfs: "/b/rootfs".into(), spec }
}

fn translated(change: impl FnOnce(&mut Value)) -> Result<Setup, String> {
    let groups = [
        ("/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct/x"),
        ("/sys/fs/cgroup/pids", "/sys/fs/cgroup/pids/x"),
    ];
    let groups = groups.map(|(root, group)| (root.into(), group.into()));
    setup(&bundle(change), &groups).map_err(|error| error.to_string())
}

#[test]
fn the_usual_configuration_becomes_a_setup() {
    let setup = translated(|_| {}).unwrap();
    assert_eq!(setup.root.source, RootSource::Folder("/b/rootfs".into()));
    assert!(setup.root.read_only && setup.loopback && setup.process.no_new_privs);
    assert_eq!(setup.namespaces.user, Namespace::Host);
    assert_eq!(setup.namespaces.pid, Namespace::New);
    assert_eq!(setup.hostname.as_deref(), Some("runc"));
    let capabilities = setup.process.capabilities.unwrap();
    assert_eq!(capabilities.bounding, 1 << 29 | 1 << 5 | 1 << 10);
    // Without inheritable ones there can be no ambient ones, whatever the file says.
    assert_eq!((capabilities.inheritable, capabilities.ambient), (0, 0));
    let dev = setup.mounts.iter().find(|mount| mount.target == Path::new("/dev")).unwrap();
    let MountSource::Kind { kind, options, .. } = &dev.source else { panic!("{dev:?}") };
    assert_eq!((kind.as_str(), options.join(",")), ("tmpfs", "mode=755,size=65536k".into()));
    assert_eq!((dev.attributes.nosuid, dev.attributes.read_only), (Some(true), None));
    assert!(setup.devices.iter().any(|device| device.path == Path::new("/dev/null")
        && device.kind == DeviceKind::Character { major: 1, minor: 3 }));
}

#[test]
fn groups_are_shown_as_on_the_host() {
    let setup = translated(|_| {}).unwrap();
    let at = |path: &str| setup.mounts.iter().find(|mount| mount.target == Path::new(path));
    assert_eq!(at("/sys/fs/cgroup").unwrap().attributes.read_only, None);
    let MountSource::Bind { path, .. } = &at("/sys/fs/cgroup/cpu,cpuacct").unwrap().source else { panic!() };
    assert_eq!(path, Path::new("/sys/fs/cgroup/cpu,cpuacct/x"));
    assert!(setup.read_only.contains(&"/sys/fs/cgroup".into()));
    let link = setup.links.iter().find(|(_, path)| path == Path::new("/sys/fs/cgroup/cpuacct")).unwrap();
    assert_eq!(link.0.as_c_str(), c"cpu,cpuacct");
}

#[test]
fn bind_mounts_and_their_options() {
    let mount = |options: Value| {
        let setup = translated(|config| {
            config["mounts"] =
                json!([{ "destination": "/m", "type": "bind", "source": "data", "options": options }]);
        })?;
        Ok::<_, String>(setup.mounts.into_iter().next().unwrap())
    };
    let found = mount(json!(["rbind", "rro", "rprivate"])).unwrap();
    let MountSource::Bind { path, reach, .. } = &found.source else { panic!("{found:?}") };
    assert_eq!((path.as_path(), *reach), (Path::new("/b/data"), Reach::Tree));
    assert_eq!((found.attributes.read_only, found.attributes.reach), (Some(true), Reach::Tree));
    assert_eq!(found.propagation, Some((Propagation::Private, Reach::Tree)));
    let found = mount(json!(["bind", "ro", "nosuid"])).unwrap();
    assert_eq!((found.attributes.read_only, found.attributes.reach), (Some(true), Reach::One));
    assert!(
        mount(json!(["bind", "mode=755"]))
            .unwrap_err()
            .contains("mounts[0].options[1]: \"mode=755\" is no option")
    );
    assert!(
        mount(json!(["rbind", "ro", "rnoexec"]))
            .unwrap_err()
            .contains("mounts[0].options: has attributes both")
    );
    assert!(mount(json!(["bind", "idmap"])).unwrap_err().contains("mounts[0].options[1]: \"idmap\" is not"));
}

#[test]
fn what_would_reach_the_host_is_refused_by_name() {
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 15] = [
        (
            |config| config["linux"]["namespaces"] = json!([{ "type": "pid" }]),
            "linux.namespaces: has no mount",
        ),
        (
            |config| config["linux"]["namespaces"] = json!([{ "type": "mount" }]),
            "hostname: would be the host's",
        ),
        (
            |config| config["linux"]["namespaces"] = json!([{ "type": "pid" }, { "type": "pid" }]),
            "linux.namespaces[1].type: there are two of pid",
        ),
        (
            |config| config["linux"]["namespaces"] = json!([{ "type": "pid", "path": "x" }]),
            "linux.namespaces[0].path: x is not absolute",
        ),
        (
            |config| config["linux"]["sysctl"] = json!({ "vm.swappiness": "1" }),
            "linux.sysctl.vm.swappiness: belongs",
        ),
        (|config| config["linux"]["sysctl"] = json!({ "net/../vm": "1" }), "linux.sysctl.net/../vm: is no"),
        (
            |config| config["linux"]["uidMappings"] = json!([{ "containerID": 0, "hostID": 1, "size": 1 }]),
            "linux.uidMappings: needs a user namespace",
        ),
        (
            |config| config["linux"]["timeOffsets"] = json!({ "monotonic": { "secs": 1 } }),
            "linux.timeOffsets: needs a new time namespace",
        ),
        (|config| config["linux"]["rootfsPropagation"] = json!("both"), "linux.rootfsPropagation: \"both\""),
        (
            |config| {
                config["linux"]["devices"] =
                    json!([{ "path": "/dev/x", "type": "c", "major": -1, "minor": 0 }])
            },
            "linux.devices[0].major: -1",
        ),
        (|config| config["linux"]["maskedPaths"] = json!(["proc"]), "linux.maskedPaths[0]: proc is not"),
        (|config| config["process"]["user"]["umask"] = json!(0o1777), "process.user.umask"),
        (|config| config["process"]["oomScoreAdj"] = json!(1001), "process.oomScoreAdj"),
        (|config| config["process"]["env"] = json!(["A=\u{0}"]), "process.env[0]: has a NUL"),
        (
            |config| config["mounts"] = json!([{ "destination": "/", "type": "tmpfs" }]),
            "mounts[0].destination: is the root",
        ),
    ];
    for (change, wanted) in cases {
        let error = translated(change).expect_err(wanted);
        assert!(error.contains(wanted), "{wanted}: {error}");
    }
}

#[test]
fn devices_of_the_configuration_go_before_the_usual_ones() {
    let setup = translated(|config| {
        config["linux"]["devices"] = json!([
            { "path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600, "uid": 5 },
            { "path": "/dev/pipe", "type": "p" },
        ]);
    })
    .unwrap();
    let null: Vec<_> = setup.devices.iter().filter(|device| device.path == Path::new("/dev/null")).collect();
    assert_eq!((null.len(), null[0].mode, null[0].uid), (1, 0o600, 5));
    assert!(setup.devices.iter().any(|device| device.kind == DeviceKind::Fifo));
    let bound = translated(|config| {
        config["mounts"] = json!([{ "destination": "/dev", "source": "/dev", "options": ["rbind"] }]);
    });
    assert!(bound.unwrap().devices.is_empty());
}

#[test]
fn a_mount_that_follows_the_host_needs_a_root_that_does() {
    let with = |option: &str| {
        translated(|config| {
            config["mounts"] = json!([{ "destination": "/m", "source": "/m", "options": ["rbind", option] }]);
        })
        .unwrap()
        .root
        .propagation
    };
    assert_eq!(with("rprivate"), Propagation::Private);
    assert_eq!(with("rslave"), Propagation::Slave);
}
