//! `bench oci` killed with SIGKILL at any step: `delete --force` finds what is left, and the status is true.

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use super::Bundle;

/// Kills `words` after `delay`, then looks, then cleans.
fn kill_after(bundle: &Bundle, words: &str, delay: Duration) -> String {
    let mut child = bundle
        .command(&words.replace("ID", &bundle.id))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(delay);
    let _ = child.kill();
    child.wait().unwrap();
    let status = match bundle.oci("state ID") {
        said if said.code == Some(0) => bundle.status(),
        said => said.err,
    };
    bundle.oci("delete --force ID").fine();
    bundle.assert_gone();
    status
}

#[test]
fn create_killed_at_any_moment_leaves_nothing_that_delete_does_not_find() {
    let Some(bundle) = Bundle::new() else { return };
    bundle.script("while :; do sleep 0.05; done");
    let mut seen = Vec::new();
    for step in 0..24 {
        let status = kill_after(&bundle, "create ID", Duration::from_micros(step * 1_500));
        let known = ["created", "stopped", "does not exist", "was never created"];
        assert!(known.iter().any(|one| status.contains(one)), "{status}");
        seen.push(status);
    }
    seen.dedup();
    assert!(seen.len() > 1, "the moments were all the same: {seen:?}");
}

#[test]
fn create_killed_inside_a_hook_takes_its_init_with_it() {
    let Some(bundle) = Bundle::new() else { return };
    bundle.configure(|config| {
        let script = format!("cat > {}; sleep 60", bundle.file("begun").display());
        config["hooks"]["createRuntime"] = json!([{ "path": "/bin/sh", "args": ["sh", "-c", script] }]);
    });
    let mut child = bundle.command(&format!("create {}", bundle.id)).stderr(Stdio::null()).spawn().unwrap();
    bundle.until("the hook", || !bundle.read("begun").is_empty());
    assert_eq!(bundle.status(), "creating");
    child.kill().unwrap();
    child.wait().unwrap();
    bundle.until("stopped", || bundle.status() == "stopped");
    bundle.oci("delete ID").fine();
    let state: serde_json::Value = serde_json::from_str(&bundle.read("begun")).unwrap();
    // The hook itself is its own master, but ends with this test.
    let init = state["pid"].as_i64().unwrap();
    bundle.until("init's end", || !std::path::Path::new(&format!("/proc/{init}/ns")).exists());
    end_children(bundle.path());
    bundle.assert_gone();
}

#[test]
fn bench_clean_removes_what_nobody_is_left_to_delete() {
    let Some(bundle) = Bundle::new() else { return };
    bundle.script("while :; do sleep 0.05; done");
    bundle.oci("run --detach ID").fine();
    let mut child =
        bundle.command(&format!("run {}-stays", bundle.id)).stdout(Stdio::null()).spawn().unwrap();
    let stays = |words: &str| bundle.oci(&words.replace("ID", "ID-stays"));
    bundle.until("running", || stays("state ID").out.contains("running"));
    child.kill().unwrap();
    child.wait().unwrap();
    let removed = bundle.clean();
    assert_eq!(removed, format!("removed the container {}-stays\n", bundle.id));
    // One that an engine would delete is left to it.
    assert_eq!(bundle.status(), "running");
    assert_eq!(bundle.clean(), "nothing to clean\n");
}

/// Ends what stands in the folder: the hook, whose parent is gone.
fn end_children(folder: &std::path::Path) {
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let cwd = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(pid) = pid.filter(|_| cwd == folder) {
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
    }
    std::thread::sleep(Duration::from_millis(100));
}

#[test]
fn start_and_run_killed_at_any_moment_leave_a_true_status() {
    let Some(bundle) = Bundle::new() else { return };
    bundle.script("while :; do sleep 0.05; done");
    for step in 0..8 {
        bundle.oci("create ID").fine();
        let status = kill_after(&bundle, "start ID", Duration::from_micros(step * 1_500));
        assert!(["created", "running"].contains(&status.as_str()), "{status}");
        kill_after(&bundle, "run ID", Duration::from_micros(step * 4_000));
    }
}
