//! Capabilities that bench itself does not have: left out, and said so.

use std::process::{Command, Stdio};

use serde_json::json;

use super::{Bundle, Said, has};

#[test]
fn capabilities_that_cannot_be_given_are_left_out_with_a_warning() {
    let Some(bundle) = Bundle::new() else { return };
    if !has("setpriv") {
        return;
    }
    bundle.configure(|config| {
        config["process"]["args"] = json!(["/bin/sh", "-c", "grep -E 'CapEff|CapBnd' /proc/self/status"]);
        let all = json!(["CAP_KILL", "CAP_SYSLOG"]);
        config["process"]["capabilities"] = json!({ "bounding": all, "effective": all, "permitted": all });
    });
    let whole = bundle.oci("run ID").fine();
    assert_eq!((whole.out.matches("0000000400000020").count(), whole.err.as_str()), (2, ""), "{whole:?}");
    let ours = bundle.command(&format!("run {}", bundle.id));
    let mut command = Command::new("setpriv");
    command
        .args(["--bounding-set=-syslog", "--inh-caps=-syslog"])
        .arg(ours.get_program())
        .args(ours.get_args());
    let said: Said = command.current_dir(bundle.path()).stdin(Stdio::null()).output().unwrap().into();
    let said = said.fine();
    assert_eq!(said.out.matches("0000000000000020").count(), 2, "{said:?}");
    assert!(said.err.contains("warning") && said.err.contains("CAP_SYSLOG left out"), "{said:?}");
}
