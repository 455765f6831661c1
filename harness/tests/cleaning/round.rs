//! One run in a host of its own that is killed, and what is looked at afterwards.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::own_host::Groups;

/// What is kept of a host that a run may add to: mounts and network interfaces.
const LOOK: &str = r#"{ cut -d ' ' -f 5 /proc/self/mountinfo; cut -d : -f 1 /proc/self/net/dev; } | sort"#;

/// How long a process may take to end that the kernel ends with its parent (PR_SET_PDEATHSIG), where the host
/// has much to do. `bench clean` knows of no such, as of the programs that only say which version they are.
const DYING: Duration = Duration::from_secs(3);

/// Runs in an own host what each round needs: `$1` says what is started, the rest by what.
const ROUND: &str = r#"
look() { LOOK; }
arguments="$1"; shift
look >before
"$@" "$0" run $arguments --out out >run.out 2>&1 &
echo $! >pid
wait $!
"$0" clean >clean.out 2>clean.err
echo $? >code
ls -A /run/bench >after 2>/dev/null
"$0" clean >again.out
look >behind
"#;

/// Processes below `ancestor`, by process and the time it started.
pub fn descendants(ancestor: u32) -> BTreeMap<u32, String> {
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

fn command_line(pid: u32) -> String {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).replace('\0', " ")
}

/// Lines that came. Some may have gone: a mount of another test's goes where it removes the folder under it.
fn added(before: &str, behind: &str) -> Vec<String> {
    let mut before: Vec<&str> = before.lines().collect();
    let mut is_new = |line: &&str| match before.iter().position(|known| known == line) {
        Some(at) => {
            before.swap_remove(at);
            false
        }
        None => true,
    };
    behind.lines().filter(|line| is_new(line)).map(str::to_owned).collect()
}

pub fn kill(pid: u32) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
}

/// A run in a host of its own, and what is looked at there.
pub struct Round {
    folder: tempfile::TempDir,
    shell: std::process::Child,
    pub pid: u32,
}

impl Round {
    /// `words` are the arguments of the run, in one, and by what it is run.
    pub fn begin(groups: &Groups, words: &[&str]) -> Round {
        let folder = tempfile::tempdir().unwrap();
        // A shell that stays in the namespace: what is killed and what cleans share its /run.
        let script = ROUND.replace("LOOK", LOOK);
        let mut command = groups.command(&script, &[&[env!("CARGO_BIN_EXE_bench")], words].concat());
        let shell = command.current_dir(folder.path()).stderr(Stdio::null()).spawn().unwrap();
        let mut round = Round { folder, shell, pid: 0 };
        let deadline = Instant::now() + Duration::from_secs(60);
        while round.pid == 0 {
            round.pid = round.read("pid").trim().parse().unwrap_or_default();
            let lives = round.shell.try_wait().unwrap().is_none();
            assert!(Instant::now() < deadline && lives, "{}", round.read("run.out"));
            std::thread::sleep(Duration::from_millis(5));
        }
        round
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// Waits until it has been cleaned, and looks.
    pub fn assert_cleaned(mut self, groups: &Groups, started: &BTreeMap<u32, String>, when: &str) {
        self.shell.wait().unwrap();
        let read = |name: &str| self.read(name);
        let told = format!("{when}: {}{}", read("run.out"), read("clean.err"));
        assert_eq!(read("code"), "0\n", "{told}");
        assert_eq!(read("after"), "", "{told}");
        assert_eq!(read("again.out"), "nothing to clean\n", "{told}");
        assert_eq!(added(&read("before"), &read("behind")), Vec::<String>::new(), "{told}");
        assert_eq!(groups.runs(), Vec::<PathBuf>::new(), "{told}");
        let deadline = Instant::now() + DYING;
        let alive = || started.iter().filter(|(pid, at)| stat(**pid).is_some_and(|now| now.1 == **at));
        while alive().next().is_some() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let alive: Vec<_> = alive().map(|(pid, _)| (pid, command_line(*pid))).collect();
        assert!(alive.is_empty(), "{alive:?}: {told}");
        if self.folder.path().join("out/run.json").exists() {
            let report = Command::new(env!("CARGO_BIN_EXE_bench"))
                .args(["report", "out"])
                .current_dir(self.folder.path())
                .output()
                .unwrap();
            assert!(report.status.success(), "{report:?}: {told}");
        }
    }
}
