//! `bench clean` after a run that was killed.
//!
//! Cleaning concerns all runs of a host, so the test has a host of its own: a mount namespace in
//! which /run is empty and each cgroup hierarchy shows a group of the test's as its root, and a
//! network namespace. It is a program apart because its load would disturb the timing of other tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Binds the group `$1` of each hierarchy over its root and runs the rest.
const OWN_HOST: &str = r#"
group=$1; shift
for root in $(awk '/ - cgroup2? / { print $5 }' /proc/self/mountinfo | sort -u); do
    mkdir -p "$root/$group" || exit 99
    # Nothing can be put into a group without processors; its children start without, too.
    for file in cpuset.cpus cpuset.mems; do
        [ ! -e "$root/$group/$file" ] || cat "$root/$file" >"$root/$group/$file" || exit 99
    done
    mount --bind "$root/$group" "$root" || exit 99
done
mount -t tmpfs -o mode=755 none /run || exit 99
ip link set lo up || exit 99
exec "$@"
"#;

/// The groups of the test, removed with it.
struct Groups(String);

impl Groups {
    fn roots(&self) -> Vec<PathBuf> {
        let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let lines = text.lines().filter(|line| line.contains(" - cgroup"));
        let mut roots: Vec<_> =
            lines.map(|line| Path::new(line.split(' ').nth(4).unwrap()).join(&self.0)).collect();
        roots.sort();
        roots.dedup();
        roots
    }

    /// Groups of runs, in all hierarchies.
    fn runs(&self) -> Vec<PathBuf> {
        let listed = self.roots().into_iter().filter_map(|root| std::fs::read_dir(root.join("bench")).ok());
        listed
            .flat_map(|entries| entries.flatten())
            .filter(|entry| entry.file_type().unwrap().is_dir())
            .map(|entry| entry.path())
            .collect()
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for root in self.roots() {
            let _ = std::fs::remove_dir(root.join("bench"));
            let _ = std::fs::remove_dir(root);
        }
    }
}

/// Processes below `ancestor`, by process and the time it started.
fn descendants(ancestor: u32) -> BTreeMap<u32, String> {
    let mut parents = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if let Some((parent, started)) = stat(pid) {
            parents.insert(pid, (parent, started));
        }
    }
    let is_below = |mut pid: u32| {
        while let Some((parent, _)) = parents.get(&pid) {
            if *parent == ancestor {
                return true;
            }
            pid = *parent;
        }
        false
    };
    parents.iter().filter(|(pid, _)| is_below(**pid)).map(|(pid, (_, at))| (*pid, at.clone())).collect()
}

/// Parent and start time of a process that is not a zombie.
fn stat(pid: u32) -> Option<(u32, String)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may have blanks.
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    (fields[0] != "Z").then_some(())?;
    Some((fields[1].parse().ok()?, fields[19].to_owned()))
}

/// How many times a run is killed, and so many more where BENCH_TEST_KILLS says.
const KILLS: u32 = 4;

/// What is kept of a host that a run may add to: mounts and network interfaces.
const LOOK: &str = r#"{ cut -d ' ' -f 5 /proc/self/mountinfo; cut -d : -f 1 /proc/self/net/dev; } | sort"#;

/// Runs in an own host what each round needs: `$1` says what is started, `$2` its network.
const ROUND: &str = r#"
look() { LOOK; }
look >before
"$0" run boot-storm --on $1 --network $2 --storms 50 --warmup 0 --instances 30 --arrival rate=20/s \
    --out out >run.out 2>&1 &
echo $! >pid
wait $!
"$0" clean >clean.out 2>clean.err
echo $? >code
ls -A /run/bench >after 2>/dev/null
"$0" clean >again.out
look >behind
"#;

#[test]
fn runs_killed_at_random_moments_leave_nothing_after_clean() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: containers' cgroups and a mount namespace need root");
        return;
    }
    let groups = Groups(format!("bench-test-clean-{}", std::process::id()));
    let own = Command::new("unshare")
        .args(["--mount", "--net", "sh", "-c", OWN_HOST, "sh", &groups.0, "true"])
        .output();
    if !own.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this host lets nobody make a mount namespace with cgroups: {own:?}");
        return;
    }
    let kills = std::env::var("BENCH_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    // As moments: spread over preparation and the first storms, no two alike.
    let moments =
        (0..kills).map(|round| 150 + (u64::from(round) * 1337 + u64::from(std::process::id())) % 6000);
    let mut backends = "process,container".to_owned();
    for family in ["vm", "oci"] {
        let dry = Command::new(env!("CARGO_BIN_EXE_bench"))
            .args(["run", "boot-storm", "--on", family, "--dry-run"])
            .output()
            .unwrap();
        if dry.status.success() {
            backends += &format!(",{family}");
        } else {
            eprintln!("without {family}: {}", String::from_utf8_lossy(&dry.stderr));
        }
    }
    let network = |delay_ms: &u64| if delay_ms.is_multiple_of(2) { "bridge" } else { "loopback" };
    let cut_storms =
        moments.filter(|delay_ms| one_round(&groups, &backends, network(delay_ms), *delay_ms)).count();
    eprintln!("{kills} runs killed, {cut_storms} of them with instances alive");
    assert!(cut_storms > 0, "no run was killed in the middle of a storm");
}

/// Kills a run after `delay_ms`; whether something it had started was alive then.
fn one_round(groups: &Groups, backends: &str, network: &str, delay_ms: u64) -> bool {
    let folder = tempfile::tempdir().unwrap();
    // A shell that stays in the namespace: what is killed and what cleans share its /run.
    let script = ROUND.replace("LOOK", LOOK);
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "sh", "-c", OWN_HOST, "sh", &groups.0, "sh", "-c", &script]);
    command
        .args([env!("CARGO_BIN_EXE_bench"), backends, network])
        .current_dir(folder.path())
        .stderr(Stdio::null());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("BENCH_")) {
        command.env_remove(name);
    }
    let mut shell = command.spawn().unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    let deadline = Instant::now() + Duration::from_secs(60);
    let pid = loop {
        if let Ok(pid) = read("pid").trim().parse::<u32>() {
            break pid;
        }
        assert!(Instant::now() < deadline && shell.try_wait().unwrap().is_none(), "{}", read("run.out"));
        std::thread::sleep(Duration::from_millis(5));
    };
    std::thread::sleep(Duration::from_millis(delay_ms));
    let started = descendants(pid);
    let of_run = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(of_run, nix::sys::signal::Signal::SIGKILL).unwrap();
    shell.wait().unwrap();

    let told = format!("killed after {delay_ms} ms ({network}): {}{}", read("run.out"), read("clean.err"));
    assert_eq!(read("code"), "0\n", "{told}");
    assert_eq!(read("after"), "", "{told}");
    assert_eq!(read("again.out"), "nothing to clean\n", "{told}");
    assert_eq!(read("before"), read("behind"), "{told}");
    assert_eq!(groups.runs(), Vec::<PathBuf>::new(), "{told}");
    let alive: Vec<_> =
        started.iter().filter(|(pid, at)| stat(**pid).is_some_and(|now| now.1 == **at)).collect();
    assert!(alive.is_empty(), "{alive:?}: {told}");
    if folder.path().join("out/run.json").exists() {
        let report = Command::new(env!("CARGO_BIN_EXE_bench"))
            .args(["report", "out"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(report.status.success(), "{report:?}: {told}");
    }
    !started.is_empty()
}
