//! What the scripts promise their callers.

use std::path::Path;
use std::process::Command;

fn with_engines(script: &str) -> Option<i32> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts");
    Command::new(scripts.join("with-engines"))
        .args(["sh", "-c", script])
        .env("ENGINES", "")
        .status()
        .expect("start scripts/with-engines")
        .code()
}

/// Clearing up finds nothing where no engine was started, which is no failure.
#[test]
fn a_command_beside_no_engine_keeps_its_status() {
    assert_eq!(with_engines("exit 0"), Some(0));
    assert_eq!(with_engines("exit 3"), Some(3));
}

/// In a network namespace of the test's own: what `script` does beside a Docker of its own, and the bridges there
/// are then. Another engine's is there from the beginning.
fn bridges_after(script: &str) -> Option<String> {
    const BESIDE: &str = r#"
PATH=$PATH:/usr/sbin:/sbin
command -v dockerd >/dev/null && command -v docker >/dev/null && command -v ip >/dev/null || exit 98
ip link set lo up && ip link add br-0123456789ab type bridge || exit 99
bridges() { ip -o link show type bridge | grep -oE '^[0-9]+: [^:@]+' | cut -d' ' -f2 | sort | tr '\n' ' '; }
export ENGINES=docker
"$0" sh -c "$1" >&2 || exit 97
bridges"#;
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: starting an engine needs root");
        return None;
    }
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/with-engines");
    let output =
        Command::new("unshare").args(["--net", "sh", "-c", BESIDE]).arg(scripts).arg(script).output();
    let output = output.expect("start unshare");
    if matches!(output.status.code(), Some(98 | 99)) {
        eprintln!("skipped: Docker, its client or a network namespace is not to be had here: {output:?}");
        return None;
    }
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Two networks: one called by its id, one by a name of the command's.
const NETWORKS: &str = "docker network create one && \
    docker network create --opt com.docker.network.bridge.name=bench-two two && \
    test $(ip -o link show type bridge | wc -l) = 3";

#[test]
fn networks_of_a_private_engine_go_with_it_and_those_of_others_stay() {
    let Some(bridges) = bridges_after(NETWORKS) else { return };
    assert_eq!(bridges, "br-0123456789ab ");
}

#[test]
fn the_network_of_an_engine_that_was_killed_goes_too() {
    let killed =
        "docker network create one && kill -KILL $(cat $(dirname ${DOCKER_HOST#unix://})/docker.pid)";
    let Some(bridges) = bridges_after(killed) else { return };
    assert_eq!(bridges, "br-0123456789ab ");
}
