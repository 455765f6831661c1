//! `bench run --network bridge`: containers and virtual machines on one bridge, two runs side by
//! side, and a host that is afterwards as it was. In a network namespace in the host's place.

use std::path::Path;
use std::process::{Command, Stdio};

/// Two runs at once in a host whose interfaces, addresses and settings are looked at before and after.
const TWO_RUNS: &str = r#"
ip link set lo up || exit 99
look() { cat /proc/net/route /proc/net/dev /proc/sys/net/ipv4/ip_forward | sed 's/\(:\).*/\1/' | sort; ip -4 address | grep inet; }
look >before
for run in one two; do
    "$0" run boot-storm --on $1 --network bridge --storms 1 --warmup 0 --instances 3 --out $run >$run.out 2>&1 &
    eval "$run=\$!"
done
wait $one; echo $? >one.code
wait $two; echo $? >two.code
look >after
"#;

#[test]
fn two_runs_serve_on_bridges_of_their_own_and_leave_nothing() {
    let can = Command::new("unshare").args(["--net", "ip", "link", "set", "lo", "up"]).output();
    if !nix::unistd::geteuid().is_root() || !can.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: a network namespace needs root and the ip program: {can:?}");
        return;
    }
    let dry = bench(Path::new("."), &["run", "boot-storm", "--on", "vm", "--dry-run"]);
    let backends = if dry.status.success() {
        "container,vm:direct,vm:restore"
    } else {
        eprintln!("without virtual machines: {}", String::from_utf8_lossy(&dry.stderr));
        "container"
    };
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", TWO_RUNS, env!("CARGO_BIN_EXE_bench"), backends]);
    let status = command.current_dir(folder.path()).stderr(Stdio::null()).status().unwrap();
    assert!(status.success());
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    for run in ["one", "two"] {
        assert_eq!(read(&format!("{run}.code")), "0\n", "{}", read(&format!("{run}.out")));
        let path = folder.path().join(run).join("attempts.csv");
        let mut rows = csv::Reader::from_path(path).unwrap();
        let rows: Vec<std::collections::HashMap<String, String>> =
            rows.deserialize().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 3 * backends.split(',').count(), "{rows:?}");
        assert!(rows.iter().all(|row| !row["serving_ns"].is_empty()), "{rows:?}");
    }
    assert_eq!(read("before"), read("after"));
}

#[test]
fn a_network_that_does_not_exist_or_does_not_serve_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let said = |network: &str| {
        let output = bench(folder.path(), &["run", "boot-storm", "--network", network, "--dry-run"]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(said("brigde").contains("did you mean \"bridge\"?"), "{}", said("brigde"));
    assert!(said("none").contains("http"), "{}", said("none"));
}

fn bench(folder: &Path, arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("BENCH_")) {
        command.env_remove(name);
    }
    command.args(arguments).current_dir(folder).output().unwrap()
}
