//! `bench oci` as engines use it: bundles in, containers out. All of it needs root.

#![allow(missing_docs, reason = "a test has no readers of its interface")]

mod crash;
mod engines;
mod granting;
mod hooks;
mod hostile;
mod lifecycle;
mod misbehaving;
mod peers;
mod refusals;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A bundle with a shell and a few tools, and a folder for the runtime's state.
pub struct Bundle {
    place: tempfile::TempDir,
    pub id: String,
    commands: AtomicU32,
}

impl Bundle {
    /// `None`, and a word why, where containers cannot be made.
    pub fn new() -> Option<Bundle> {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: containers from bundles need root");
            return None;
        }
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let place = tempfile::tempdir().unwrap();
        let rootfs = place.path().join("rootfs");
        for folder in ["dev", "proc", "sys", "tmp", "etc"] {
            std::fs::create_dir_all(rootfs.join(folder)).unwrap();
        }
        let script = r#"for tool in sh cat grep sleep id ls readlink touch hostname wc mkfifo; do
            path=$(readlink -f "$(command -v $tool)"); mkdir -p "$0/bin"; cp "$path" "$0/bin/$tool"
            for library in $(ldd "$path" | grep -o '/[^ ]*'); do
                mkdir -p "$0$(dirname $library)"; cp -Ln "$library" "$0$library" 2>/dev/null
            done
        done; true"#;
        assert!(Command::new("/bin/sh").args(["-c", script]).arg(&rootfs).status().unwrap().success());
        let id = format!("bench-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let bundle = Bundle { place, id, commands: AtomicU32::new(0) };
        bundle.configure(|_| {});
        Some(bundle)
    }

    pub fn path(&self) -> &Path {
        self.place.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// Writes config.json: what `runc spec` would, running `sh`, changed by `change`.
    pub fn configure(&self, change: impl FnOnce(&mut Value)) {
        let usual = include_str!("../../../runtime/src/bundle/config/runc-spec.json");
        let mut config: Value = serde_json::from_str(usual).unwrap();
        config["root"]["readonly"] = json!(false);
        change(&mut config);
        std::fs::write(self.file("config.json"), serde_json::to_vec(&config).unwrap()).unwrap();
    }

    /// Lets it run `script`.
    pub fn script(&self, script: &str) {
        self.configure(|config| config["process"]["args"] = json!(["/bin/sh", "-c", script]));
    }

    /// `bench-oci` with the bundle's own state folder; the words are split at blanks.
    pub fn command(&self, words: &str) -> Command {
        let link = self.file("bench-oci");
        if !link.exists() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_bench"), &link).unwrap();
        }
        let mut command = Command::new(link);
        command.arg("--root").arg(self.file("state")).args(words.split_whitespace());
        command.current_dir(self.path()).stdin(Stdio::null());
        command
    }

    /// Runs it; `ID` among the words stands for the container's name. Output goes to files: a
    /// container that keeps a pipe open would keep the test waiting. Each time to others, since a
    /// container that was left running goes on writing to those it began with.
    pub fn oci(&self, words: &str) -> Said {
        let words = words.replace("ID", &self.id);
        let count = self.commands.fetch_add(1, Ordering::Relaxed);
        let (out, err) = (format!("out{count}"), format!("err{count}"));
        let mut command = self.command(&words);
        command.stdout(std::fs::File::create(self.file(&out)).unwrap());
        command.stderr(std::fs::File::create(self.file(&err)).unwrap());
        let status = command.status().unwrap();
        let said = Said { code: status.code(), out: self.read(&out), err: self.read(&err) };
        assert!(!said.err.contains("panicked"), "{said:?}");
        said
    }

    /// `bench clean` where the bundle's state folder is the usual one, in a mount namespace in which
    /// nothing else is to be cleaned.
    pub fn clean(&self) -> String {
        let script = r#"mount -t tmpfs none /run && mkdir /run/bench-oci && mount --bind "$1" /run/bench-oci && \
            for root in $(awk '/ - cgroup2? / { print $5 }' /proc/self/mountinfo | sort -u); do \
                mkdir -p "$root/bench" && mount -t tmpfs none "$root/bench" || exit 99; done; exec "$0" clean"#;
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--net", "sh", "-c", script, env!("CARGO_BIN_EXE_bench")])
            .arg(self.file("state"));
        let said: Said = command.output().unwrap().into();
        said.fine().out
    }

    pub fn state(&self) -> Value {
        serde_json::from_str(&self.oci("state ID").fine().out).unwrap()
    }

    pub fn status(&self) -> String {
        self.state()["status"].as_str().unwrap().to_owned()
    }

    pub fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !holds() {
            assert!(Instant::now() < deadline, "not within 30 s: {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Groups of the container, in all hierarchies.
    pub fn groups(&self) -> Vec<PathBuf> {
        let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let lines = text.lines().filter(|line| line.contains(" - cgroup"));
        let groups =
            lines.map(|line| Path::new(line.split(' ').nth(4).unwrap()).join("bench-oci").join(&self.id));
        groups.filter(|group| group.exists()).collect()
    }

    /// The program has its three descriptors, and no other.
    pub fn assert_no_host_descriptors(&self) {
        let pid = self.state()["pid"].to_string();
        let list = || std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        let mut numbers: Vec<_> = list().map(|entry| entry.file_name().into_string().unwrap()).collect();
        numbers.sort();
        assert_eq!(numbers, ["0", "1", "2"]);
    }

    /// Nothing of the container is left: no state, no group, no process.
    pub fn assert_gone(&self) {
        let states = std::fs::read_dir(self.file("state")).map_or(0, Iterator::count);
        assert_eq!(states, 0, "state is left");
        assert_eq!(self.groups(), Vec::<PathBuf>::new());
        let own = self.path().to_string_lossy().into_owned();
        let left: Vec<_> = std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter(|entry| {
                let link = |name: &str| std::fs::read_link(entry.path().join(name)).unwrap_or_default();
                link("root").starts_with(&own) || link("cwd").starts_with(&own)
            })
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = self.command(&format!("delete --force {}", self.id)).output();
    }
}

/// Exit code and output, in a form that shows well in a failed assertion.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    #[track_caller]
    pub fn fine(self) -> Said {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    #[track_caller]
    pub fn fails(self, words: &str) -> Said {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert!(self.err.contains(words), "{words}: {self:?}");
        self
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Said {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// Whether a program can be started here; a word where not.
pub fn has(program: &str) -> bool {
    let found =
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}
