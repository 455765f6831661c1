//! What a host runs out of in the middle of a storm becomes failed attempts: the run goes on to its
//! end, each attempt is a row, and nothing stays behind. In a host of the test's own.

#[allow(dead_code, reason = "the other program that has it looks at what is left")]
mod own_host;

use std::collections::BTreeMap;
use std::process::Output;

use own_host::Groups;

/// Puts the shell into the host's groups, sets the one limit `$1`=`$2` where it is in one of them,
/// and runs the rest; 98 where no group has it.
const LIMITED: &str = r#"
limit=$1 value=$2; shift 2
for root in $(awk '/ - cgroup / { print $5 }' /proc/self/mountinfo | sort -u); do
    echo $$ >"$root/cgroup.procs" || exit 99
    [ ! -e "$root/$limit" ] || { echo "$value" >"$root/$limit" && found=1; } || exit 99
done
[ -n "$found" ] || exit 98
"$@" && "$0" clean >clean.out
"#;

/// Attempts of each storm, more than there is room for.
const INSTANCES: &str = "60";

/// A storm of `arguments` in a shell that begins with `script`; the rows by outcome, and the errors.
fn storm(name: &str, script: &str, words: &[&str], arguments: &[&str]) -> Option<(Output, Rows)> {
    let groups = Groups::new(name);
    if !groups.can_be_had() {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let bench = env!("CARGO_BIN_EXE_bench");
    let run = [bench, "run", "boot-storm", "--warmup", "0", "--seed", "1", "--out", "out"];
    let all: Vec<&str> = [&[bench][..], words, &run, arguments].concat();
    let output = groups.command(script, &all).current_dir(folder.path()).output().unwrap();
    if output.status.code() == Some(98) {
        eprintln!("skipped: {words:?} takes cgroups of version 1");
        return None;
    }
    let rows = Rows::read(&folder.path().join("out/attempts.csv"));
    let cleaned = std::fs::read_to_string(folder.path().join("clean.out")).unwrap_or_default();
    assert_eq!((output.status.code(), cleaned.as_str()), (Some(0), "nothing to clean\n"), "{output:?}");
    Some((output, rows))
}

#[derive(Debug)]
struct Rows(Vec<BTreeMap<String, String>>);

impl Rows {
    fn read(path: &std::path::Path) -> Rows {
        let mut rows = csv::Reader::from_path(path).unwrap();
        Rows(rows.deserialize().map(Result::unwrap).collect())
    }

    fn count(&self, storm: &str, outcome: &str) -> usize {
        self.0.iter().filter(|row| row["storm"] == storm && row["outcome"] == outcome).count()
    }

    /// As [`Rows::assert_whole`], and some failed in each storm.
    fn assert_cut(&self, attempts: usize, why: &[&str]) {
        self.assert_whole(attempts, why);
        for storm in ["0", "1"] {
            assert!(self.count(storm, "failed") > 0, "storm {storm}: {self:?}");
        }
    }

    /// Every attempt is a row, some were ready, and all that failed say one of `why`.
    fn assert_whole(&self, attempts: usize, why: &[&str]) {
        for storm in ["0", "1"] {
            let (ready, failed) = (self.count(storm, "ready"), self.count(storm, "failed"));
            assert!(ready > 0 && ready + failed == attempts, "storm {storm}: {self:?}");
        }
        for row in self.0.iter().filter(|row| row["outcome"] == "failed") {
            assert!(why.iter().any(|why| row["error"].contains(why)), "{row:?}");
        }
    }
}

#[test]
fn no_more_processes() {
    let arguments = ["--on", "container", "--instances", INSTANCES, "--storms", "2"];
    let Some((_, rows)) = storm("pids", LIMITED, &["pids.max", "40"], &arguments) else { return };
    rows.assert_cut(60, &["Resource temporarily unavailable"]);
}

#[test]
fn no_more_memory() {
    let arguments = ["--on", "container", "--instances", "16", "--storms", "2", "--workload", "memory=96MiB"];
    let words = ["memory.limit_in_bytes", "536870912"];
    let Some((_, rows)) = storm("memory", LIMITED, &words, &arguments) else { return };
    rows.assert_cut(16, &["signal 9", "Cannot allocate memory"]);
}

/// The run is larger than each of its instances, which end first all the same.
#[test]
fn no_more_memory_and_bench_is_the_largest() {
    // The kernel has ended somebody, whoever that was.
    let counted = r#"
[ "$code" = 0 ] || exit "$code"
for root in $(awk '/ - cgroup / { print $5 }' /proc/self/mountinfo | sort -u); do
    [ ! -e "$root/$limit" ] || grep -q '^oom_kill [1-9]' "$root/memory.oom_control" || exit 97
done"#;
    let script = LIMITED.replace("\"$0\" clean >clean.out\n", "\"$0\" clean >clean.out\ncode=$?") + counted;
    for backend in ["container", "process"] {
        let arguments = ["--on", backend, "--instances", "30", "--storms", "2", "--workload", "memory=24MiB"];
        let words = ["memory.limit_in_bytes", "201326592"];
        let Some((_, rows)) = storm(&format!("largest-{backend}"), &script, &words, &arguments) else {
            return;
        };
        rows.assert_whole(30, &["signal 9", "Cannot allocate memory"]);
    }
}

#[test]
fn no_more_descriptors() {
    let script = r#"ulimit -n 150; "$@" && "$0" clean >clean.out"#;
    let arguments = ["--on", "container", "--instances", INSTANCES, "--storms", "2"];
    let Some((_, rows)) = storm("files", script, &[], &arguments) else { return };
    rows.assert_cut(60, &["Too many open files"]);
}

/// Where the results have no more room the run ends and says so, and what was measured can be read.
#[test]
fn no_more_room_for_results() {
    let script = r#"
size=$1; shift
mkdir small && mount -t tmpfs -o "size=$size" none small || exit 99
"$@"; code=$?
cp -r small/out out && "$0" clean >clean.out || exit 98
exit $code"#;
    // From too little for one storm to enough for some.
    let mut kept = Vec::new();
    for size in ["24k", "52k", "96k"] {
        let groups = Groups::new(&format!("room-{size}"));
        if !groups.can_be_had() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let bench = env!("CARGO_BIN_EXE_bench");
        let run = ["run", "boot-storm", "--on", "container", "--warmup", "0", "--out", "small/out"];
        let words = [&[bench, size, bench], &run[..], &["--storms", "9", "--instances", INSTANCES]].concat();
        let output = groups.command(script, &words).current_dir(folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{size}: {said}");
        assert!(said.contains("No space left on device") && said.contains("are kept"), "{size}: {said}");
        let cleaned = std::fs::read_to_string(folder.path().join("clean.out")).unwrap();
        assert_eq!(cleaned, "nothing to clean\n", "{size}: {said}");
        // A row may be cut; the others are whole, and a report is made of them.
        let report = std::process::Command::new(bench);
        let report = { report }.args(["report", "out"]).current_dir(folder.path()).output().unwrap();
        assert!(report.status.success(), "{size}: {report:?}");
        let text = std::fs::read_to_string(folder.path().join("out/attempts.csv")).unwrap();
        let columns = text.lines().next().map_or(0, |line| line.split(',').count());
        let whole = text.lines().skip(1).filter(|line| line.split(',').count() == columns);
        kept.push(whole.filter(|line| line.contains(",ready,")).count());
    }
    assert!(kept.is_sorted() && kept[2] > 0, "{kept:?}");
}
