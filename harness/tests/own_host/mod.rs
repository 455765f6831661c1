//! A host of a test's own: a mount namespace in which /run is empty and each cgroup hierarchy shows
//! a group of the test's as its root, and a network namespace.

use std::path::{Path, PathBuf};
use std::process::Command;

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

/// Settings in the environment, and what tests are told there, are no run's.
pub fn without_settings(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("BENCH_")) {
        command.env_remove(name);
    }
    command
}

/// The groups of the test, removed with it.
pub struct Groups(String);

impl Groups {
    /// `name` is unique among the tests that run at once.
    pub fn new(name: &str) -> Groups {
        Groups(format!("bench-test-{name}-{}", std::process::id()))
    }

    /// Whether this host lets somebody make such a host; says why not.
    pub fn can_be_had(&self) -> bool {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: cgroups and a mount namespace need root");
            return false;
        }
        let own = self.command("true", &["sh"]).output();
        let can = own.as_ref().is_ok_and(|output| output.status.success());
        if !can {
            eprintln!("skipped: this host lets nobody make a mount namespace with cgroups: {own:?}");
        }
        can
    }

    /// A shell in such a host that carries out `script`, with `$0`, `$1` … from `words`.
    pub fn command(&self, script: &str, words: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--net", "sh", "-c", OWN_HOST, "sh", &self.0, "sh", "-c", script]);
        command.args(words);
        without_settings(&mut command);
        command
    }

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
    pub fn runs(&self) -> Vec<PathBuf> {
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
