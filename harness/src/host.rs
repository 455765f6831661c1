//! The fingerprint of the host: what another host must share for its numbers to be comparable.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use scenarios::HostSize;
use serde_json::{Value, json};

/// What the kernel says of this host below `root` (`/` outside of tests). What a kernel does not
/// tell is null, so that a reader sees that it was looked for.
pub fn fingerprint(root: &Path) -> BTreeMap<String, Value> {
    let read = |path: &str| read(root, path);
    let cpuinfo = read("proc/cpuinfo").unwrap_or_default();
    let meminfo = read("proc/meminfo").unwrap_or_default();
    let os_release = read("etc/os-release").unwrap_or_default();
    let entries = [
        ("cpu_model", json!(field(&cpuinfo, "model name"))),
        ("cpu_microcode", json!(field(&cpuinfo, "microcode"))),
        ("cpu_hardware_virtualization", json!(virtualization_flag(&cpuinfo))),
        ("cpus_online", json!(cpuinfo.lines().filter(|line| line.starts_with("processor")).count())),
        ("cores", json!(std::thread::available_parallelism().map(usize::from).ok())),
        ("memory_bytes", json!(kib_field(&meminfo, "MemTotal"))),
        ("swap_bytes", json!(kib_field(&meminfo, "SwapTotal"))),
        ("kernel", json!(read("proc/sys/kernel/osrelease"))),
        ("kernel_build", json!(read("proc/sys/kernel/version"))),
        ("distribution", json!(shell_value(&os_release, "PRETTY_NAME"))),
        ("cgroup_mode", json!(cgroup_mode(root))),
        ("namespaces", json!(namespaces(root))),
        ("governor", json!(read("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"))),
        ("thp", json!(read("sys/kernel/mm/transparent_hugepage/enabled").as_deref().and_then(bracketed))),
        ("ksm", json!(read("sys/kernel/mm/ksm/run"))),
        ("psi", json!(root.join("proc/pressure/cpu").exists())),
        ("virtualised", json!(has_flag(&cpuinfo, "hypervisor"))),
        ("virtualised_by", json!(read("sys/class/dmi/id/sys_vendor"))),
        ("root", json!(nix::unistd::geteuid().is_root())),
    ];
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What of this host decides how much a run can ask of it.
pub fn size() -> HostSize {
    let meminfo = read(Path::new("/"), "proc/meminfo").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    HostSize {
        cores: u32::try_from(cores).unwrap_or(u32::MAX),
        mem_available_bytes: kib_field(&meminfo, "MemAvailable").unwrap_or(0),
        kvm: virtualizes(),
    }
}

/// Whether hardware virtualization is likely: enough to choose a size, no proof that it works.
fn virtualizes() -> bool {
    let cpuinfo = read(Path::new("/"), "proc/cpuinfo").unwrap_or_default();
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    flags.split_whitespace().any(|flag| flag == "vmx" || flag == "svm")
        && std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok()
}

/// Versions of this program and of what it starts.
pub fn versions() -> BTreeMap<String, String> {
    let mut versions = BTreeMap::from([("bench".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]);
    for program in ["qemu-system-x86_64"] {
        let Ok(output) = Command::new(program).arg("--version").stdin(Stdio::null()).output() else {
            continue;
        };
        let text = String::from_utf8_lossy(&output.stdout);
        if let Some(line) = text.lines().next() {
            versions.insert(program.to_owned(), line.to_owned());
        }
    }
    versions
}

/// `v1`, `v2` or `hybrid`, by what is mounted where systemd's layouts put it
/// (systemd.io/CGROUP_DELEGATION).
fn cgroup_mode(root: &Path) -> &'static str {
    let mounts = root.join("sys/fs/cgroup");
    if mounts.join("cgroup.controllers").exists() {
        "v2"
    } else if mounts.join("unified/cgroup.controllers").exists() {
        "hybrid"
    } else if mounts.join("memory").exists() {
        "v1"
    } else {
        "none"
    }
}

/// The kinds of namespace there are (namespaces(7)); what children would get is not another kind.
fn namespaces(root: &Path) -> Option<Vec<String>> {
    let entries = std::fs::read_dir(root.join("proc/self/ns")).ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut kinds: Vec<String> = names.filter(|name| !name.ends_with("_for_children")).collect();
    kinds.sort();
    Some(kinds)
}

fn read(root: &Path, path: &str) -> Option<String> {
    let text = std::fs::read_to_string(root.join(path)).ok()?;
    Some(text.trim().to_owned())
}

/// The value of the first `name : value` line (proc_cpuinfo(5)).
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map(|f| f.1.trim())
}

/// A field of /proc/meminfo in bytes (proc_meminfo(5)).
fn kib_field(text: &str, name: &str) -> Option<u64> {
    field(text, name)?.strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

fn has_flag(cpuinfo: &str, flag: &str) -> bool {
    field(cpuinfo, "flags").is_some_and(|flags| flags.split_whitespace().any(|word| word == flag))
}

fn virtualization_flag(cpuinfo: &str) -> Option<&'static str> {
    ["vmx", "svm"].into_iter().find(|flag| has_flag(cpuinfo, flag))
}

/// The chosen word of a `always [madvise] never` file.
fn bracketed(text: &str) -> Option<&str> {
    Some(text.split_once('[')?.1.split_once(']')?.0)
}

fn shell_value(text: &str, name: &str) -> Option<String> {
    let value = text.lines().filter_map(|line| line.split_once('=')).find(|(key, _)| *key == name)?.1;
    Some(value.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host as its files show it. Captured from a two-core virtual machine, shortened.
    fn host() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [
            (
                "proc/cpuinfo",
                "processor\t: 0\nmodel name\t: Some CPU @ 2.0GHz\nmicrocode\t: 0x1\nflags\t\t: fpu hypervisor lm\n\n\
                 processor\t: 1\nmodel name\t: Some CPU @ 2.0GHz\n",
            ),
            ("proc/meminfo", "MemTotal:       24672100 kB\nMemFree: 1 kB\nSwapTotal: 0 kB\n"),
            ("proc/sys/kernel/osrelease", "6.18.5\n"),
            ("etc/os-release", "NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n"),
            ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
            ("sys/fs/cgroup/unified/cgroup.controllers", "hugetlb\n"),
        ] {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn reads_a_host() {
        let host = fingerprint(host().path());
        assert_eq!(host["cpu_model"], "Some CPU @ 2.0GHz");
        assert_eq!(host["cpus_online"], 2);
        assert_eq!(host["memory_bytes"], 24_672_100_u64 * 1024);
        assert_eq!(host["cgroup_mode"], "hybrid");
        assert_eq!(host["thp"], "madvise");
        assert_eq!(host["virtualised"], true);
        assert_eq!(host["cpu_hardware_virtualization"], Value::Null);
        assert_eq!(host["governor"], Value::Null);
        assert_eq!(host["distribution"], "Debian GNU/Linux 12");
    }

    #[test]
    fn an_empty_host_is_no_error() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(fingerprint(root.path())["cgroup_mode"], "none");
    }
}
