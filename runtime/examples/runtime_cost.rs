//! Start → exit of OCI runtimes as this project measures it, beside hyperfine(1) on the same bundle in
//! the same minutes: what the harness adds to, or leaves out of, a runtime's own time.
//!
//! ```text
//! cargo run --release --package runtime --example runtime_cost -- [SECONDS [RUNTIME…]]
//! ```
//! Needs root, hyperfine, and the runtimes (runc and crun where none is named). Rounds go on for so many
//! seconds with each runtime, 25 where nothing is said. A round is hyperfine, ours, ours, hyperfine: what
//! drifts slowly, and what one leaves to the next, meets both alike. Each turn begins with a start that
//! does not count and has as many that do. Both begin with the clock in front of the spawn; hyperfine's
//! end when it has waited for the process, ours with the stamp of the thread that waits for it, as
//! those of every backend do. On hosts that mix
//! both kinds of cgroups crun needs the v2 controllers covered, in a mount namespace of its own:
//!
//! ```text
//! unshare -m sh -c 'mount --bind /dev/null /sys/fs/cgroup/unified/cgroup.controllers && exec …'
//! ```

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use runtime::clock::now_ns;
use runtime::watch::{Source, Watch};
use runtime::{Event, EventSink, Exit, InstanceName};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::sync::mpsc::unbounded_channel;

/// Starts of a turn that count, behind one that does not.
const RUNS: usize = 3;
/// Rounds there are at least: fewer say nothing of how they differ.
const FEWEST: usize = 5;
/// Student's 97.5 % quantile for 4 to 30 degrees of freedom (*Biometrika* 6, 1908).
const T: [f64; 27] = [
    2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101,
    2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];
/// How the guest program ends that is given no plan.
const STATUS: i32 = 2;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let seconds: f64 = arguments.next().and_then(|word| word.parse().ok()).unwrap_or(25.0);
    let mut names: Vec<String> = arguments.collect();
    if names.is_empty() {
        names = vec!["runc".into(), "crun".into()];
    }
    if !rustix::process::geteuid().is_root() {
        return println!("skipped: needs root");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let bundle = folder.path().join("bundle");
    write_bundle(&bundle);
    let watch = Watch::start().expect("stamper");
    for name in names {
        let id = format!("bench-cost-{name}-{}", std::process::id());
        let (mut ratios, mut ours_all, mut theirs_all) = (Vec::new(), Vec::new(), Vec::new());
        let until_ns = now_ns() + (seconds * 1e9) as u64;
        while now_ns() < until_ns || ratios.len() < FEWEST {
            let mut theirs = hyperfine(&name, &bundle, &id, folder.path());
            let turn = || (0..=RUNS).map(|_| ours(&watch, &name, &bundle, &id)).skip(1);
            let mut ours: Vec<f64> = turn().collect();
            ours.extend(turn());
            theirs.extend(hyperfine(&name, &bundle, &id, folder.path()));
            ratios.push((median(&ours) / median(&theirs)).ln());
            ours_all.extend(ours);
            theirs_all.extend(theirs);
        }
        // Ratios of rounds are as often twice as half: their logarithms are what is symmetric.
        let rounds = ratios.len();
        let mean = ratios.iter().sum::<f64>() / rounds as f64;
        let variance = ratios.iter().map(|ratio| (ratio - mean).powi(2)).sum::<f64>() / (rounds - 1) as f64;
        let half = T[(rounds - FEWEST).min(T.len() - 1)] * (variance / rounds as f64).sqrt();
        println!(
            "{name}: ours {:.2} ms, hyperfine -N {:.2} ms (medians of {} starts each); ours / hyperfine {:.3}, \
             95 % interval {:.3} to {:.3} ({rounds} rounds)",
            median(&ours_all) * 1e3,
            median(&theirs_all) * 1e3,
            ours_all.len(),
            mean.exp(),
            (mean - half).exp(),
            (mean + half).exp(),
        );
    }
}

/// Seconds from in front of the spawn to the stamped end.
fn ours(watch: &Watch, name: &str, bundle: &Path, id: &str) -> f64 {
    let (sender, mut events) = unbounded_channel();
    let sink = EventSink::new(InstanceName { storm: 0, index: 0 }, sender);
    let began_ns = now_ns();
    let mut child = Command::new(name)
        .args(["run", "--bundle"])
        .arg(bundle)
        .arg(id)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).expect("pidfd");
    watch.add(Source::Exit(pidfd), sink).expect("watched");
    let ended = loop {
        let stamped = events.blocking_recv().expect("an end");
        if let Event::Exited(exit) = stamped.event {
            assert_eq!(exit, Exit::Code(STATUS), "{name} did not run the program");
            break stamped.at_ns;
        }
    };
    // Reaped by the watch already, or now.
    let _ = child.wait();
    (ended - began_ns) as f64 / 1e9
}

/// Seconds of each of hyperfine's runs.
fn hyperfine(name: &str, bundle: &Path, id: &str, folder: &Path) -> Vec<f64> {
    let path = folder.join("hyperfine.json");
    let line = format!("{name} run --bundle {} {id}", bundle.display());
    let output = Command::new("hyperfine")
        .args(["-N", "--style", "none", "--ignore-failure", "--warmup", "1", "--runs"])
        .arg(RUNS.to_string())
        .arg("--export-json")
        .arg(&path)
        .arg(line)
        .output()
        .expect("hyperfine is not installed (apt-get install hyperfine)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: serde_json::Value =
        serde_json::from_slice(&fs::read(&path).expect("read")).expect("its export");
    let found = &found["results"][0];
    let codes = found["exit_codes"].as_array().expect("exit codes");
    assert!(codes.iter().all(|code| *code == STATUS), "{name} did not run the program: {codes:?}");
    found["times"].as_array().expect("times").iter().filter_map(serde_json::Value::as_f64).collect()
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0
}

/// Seven namespaces, mapped ids, a read-only root with the guest program.
fn write_bundle(bundle: &Path) {
    let root = bundle.join("rootfs");
    for folder in ["proc", "dev", "sys"] {
        fs::create_dir_all(root.join(folder)).expect("made");
    }
    let program = root.join("guest");
    fs::write(&program, runtime::guest_program_bytes()).expect("written");
    for path in [bundle, &root, &program] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("mode");
    }
    if let Some(above) = bundle.parent() {
        fs::set_permissions(above, fs::Permissions::from_mode(0o755)).expect("mode");
    }
    let namespaces = ["pid", "network", "ipc", "uts", "mount", "user", "cgroup"];
    let namespaces: Vec<_> = namespaces.iter().map(|kind| serde_json::json!({ "type": kind })).collect();
    let map = serde_json::json!([{ "containerID": 0, "hostID": 1_000_000_000u32, "size": 65_536 }]);
    let mount = |destination: &str, kind: &str| serde_json::json!({ "destination": destination, "type": kind, "source": kind, "options": ["nosuid", "noexec"] });
    let config = serde_json::json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": ["/guest", "fd:1"],
            "env": ["PATH=/"],
            "cwd": "/",
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "cost",
        "mounts": [mount("/proc", "proc"), mount("/dev", "tmpfs")],
        "linux": { "namespaces": namespaces, "uidMappings": map, "gidMappings": map },
    });
    fs::write(bundle.join("config.json"), config.to_string()).expect("written");
}
