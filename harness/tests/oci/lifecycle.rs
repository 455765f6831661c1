//! create, start, state, kill, delete, exec, run.

use serde_json::json;

use super::Bundle;

#[test]
fn a_container_is_created_started_killed_and_deleted() {
    let Some(bundle) = Bundle::new() else { return };
    bundle.script("trap 'echo got term; exit 7' TERM; echo up; while :; do sleep 0.05; done");
    bundle.oci("create --pid-file pid ID").fine();
    let state = bundle.state();
    assert_eq!((state["status"].as_str(), state["id"].as_str()), (Some("created"), Some(bundle.id.as_str())));
    assert_eq!(state["bundle"].as_str(), bundle.path().canonicalize().unwrap().to_str());
    assert_eq!(state["pid"].to_string(), bundle.read("pid"));
    assert!(!bundle.groups().is_empty());
    bundle.oci("create ID").fails("exists already");
    bundle.oci("delete ID").fails("it is created, not stopped");
    bundle.oci("start ID").fine();
    assert_eq!(bundle.status(), "running");
    bundle.oci("start ID").fails("it is running, not created");
    bundle.oci("delete ID").fails("it is running, not stopped");
    bundle.oci("kill ID USR9").fails("is no signal");
    // The trap is set once it has spoken; it is not heard here, but seen by what it starts.
    bundle.until("its sleep", || bundle.oci("ps ID").out.lines().count() > 1);
    bundle.oci("kill ID SIGTERM").fine();
    bundle.until("stopped", || bundle.status() == "stopped");
    assert_eq!(bundle.state()["pid"], 0);
    bundle.oci("kill ID 9").fails("container not running");
    bundle.oci("kill --all ID 9").fine();
    bundle.oci("exec ID /bin/true").fails("it is stopped");
    bundle.oci("delete ID").fine();
    bundle.oci("delete ID").fails("does not exist");
    bundle.oci("delete --force ID").fine();
    bundle.oci("state ID").fails("does not exist");
    bundle.assert_gone();
}

#[test]
fn run_gives_the_programs_output_and_exit_code() {
    let Some(bundle) = Bundle::new() else { return };
    let script = "echo $$ $HOME; hostname; id -u; grep CapEff /proc/self/status; \
        (echo x > /proc/sys/kernel/hostname) 2>/dev/null || echo read-only; ls /proc/self/fd | wc -l; exit 42";
    bundle.script(script);
    let said = bundle.oci("run ID");
    assert_eq!(said.code, Some(42), "{said:?}");
    let lines: Vec<&str> = said.out.lines().collect();
    // 0, 1, 2 and that of the folder being listed.
    assert_eq!(lines, ["1 /", "runc", "0", "CapEff:\t0000000020000420", "read-only", "4"]);
    bundle.script("kill -9 $$");
    // An init shields itself from its own signals; one from outside ends it.
    assert_eq!(bundle.oci("run ID").code, Some(0));
    bundle.assert_gone();
}

#[test]
fn exec_joins_with_the_rights_of_the_container() {
    let Some(bundle) = Bundle::new() else { return };
    bundle.script("while :; do sleep 0.05; done");
    bundle.oci("run --detach ID").fine();
    let said = bundle.oci("exec --env WORD=x ID /bin/sh -c exec");
    assert_eq!(said.code, Some(0), "{said:?}");
    let script =
        "test $$ != 1 && readlink /proc/1/ns/pid /proc/self/ns/pid; grep CapEff /proc/self/status; exit 5";
    std::fs::write(bundle.file("rootfs/script"), script).unwrap();
    let said = bundle.oci("exec ID /bin/sh /script");
    assert_eq!(said.code, Some(5), "{said:?}");
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(lines[0], lines[1]);
    assert_eq!(lines[2], "CapEff:\t0000000020000420");
    let process =
        json!({ "args": ["/bin/sh", "-c", "id -u; exit 6"], "cwd": "/tmp", "user": { "uid": 5, "gid": 6 } });
    std::fs::write(bundle.file("process.json"), process.to_string()).unwrap();
    let said = bundle.oci("exec --process process.json ID");
    assert_eq!((said.code, said.out.as_str()), (Some(6), "5\n"), "{said:?}");
    bundle.oci("exec ID nosuch").fails("executable file not found in $PATH");
    // One that is left alone outlives the command that began it.
    bundle.oci("exec --detach --pid-file pid ID /bin/sleep 60").fine();
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(bundle.oci("ps ID").out.lines().any(|line| line == bundle.read("pid")));
    bundle.oci("pause ID").fine();
    bundle.oci("delete --force ID").fine();
    bundle.assert_gone();
}

#[test]
fn two_starts_at_once_begin_it_once() {
    let Some(bundle) = Bundle::new() else { return };
    bundle.script("echo begun >> /tmp/begun; while :; do sleep 0.05; done");
    bundle.oci("create ID").fine();
    let started: Vec<_> = (0..4)
        .map(|_| {
            bundle
                .command(&format!("start {}", bundle.id))
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    let codes: Vec<_> = started.into_iter().map(|mut child| child.wait().unwrap().code()).collect();
    assert_eq!(codes.iter().filter(|code| **code == Some(0)).count(), 1, "{codes:?}");
    bundle.until("begun", || bundle.read("rootfs/tmp/begun") == "begun\n");
}

#[test]
fn later_changes_to_the_configuration_have_no_effect() {
    let Some(bundle) = Bundle::new() else { return };
    bundle.script("echo first > /tmp/which");
    bundle.oci("create ID").fine();
    bundle.script("echo second > /tmp/which");
    bundle.oci("start ID").fine();
    bundle.until("stopped", || bundle.status() == "stopped");
    assert_eq!(bundle.read("rootfs/tmp/which"), "first\n");
}

#[test]
fn limits_and_devices_are_in_force() {
    let Some(bundle) = Bundle::new() else { return };
    bundle.configure(|config| {
        let script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done 2>/dev/null; echo x > /dev/null && echo null; \
            cat /dev/mem 2>&1 | grep -c 'not permitted'";
        config["process"]["args"] = json!(["/bin/sh", "-c", script]);
        config["process"]["capabilities"]["bounding"] = json!(["CAP_SYS_RAWIO", "CAP_MKNOD"]);
        config["process"]["capabilities"]["permitted"] = json!(["CAP_SYS_RAWIO", "CAP_MKNOD"]);
        config["process"]["capabilities"]["effective"] = json!(["CAP_SYS_RAWIO", "CAP_MKNOD"]);
        config["linux"]["resources"]["pids"] = json!({ "limit": 20 });
        config["linux"]["devices"] = json!([{ "path": "/dev/mem", "type": "c", "major": 1, "minor": 1 }]);
    });
    let said = bundle.oci("run ID").fine();
    assert_eq!(said.out, "null\n1\n", "{said:?}");
}
