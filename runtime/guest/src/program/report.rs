//! The workload `report`: the same bytes wherever the image is unmodified.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fmt::Write;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use guest::report::HOST_NAME;
use guest::{Message, Plan, Stream};
use sha2::{Digest, Sha256};

use super::channel::Channel;

/// Folders that are nobody's image: mounts, and what is added to show this program.
const NOT_THE_IMAGES: [&str; 8] = ["/proc", "/sys", "/dev", "/run", "/tmp", "/.bench", "/var/run", "/bench"];
/// Files that engines put over the image's own, and the program where it is found in a machine.
const PUT_OVER: [&str; 8] = [
    "/etc/hosts",
    "/etc/hostname",
    "/etc/resolv.conf",
    "/etc/mtab",
    "/.dockerenv",
    "/init",
    "/etc/bench",
    "/guest",
];
/// What a userland is asked to put out, with the tools every one has.
const SHELL: &str = "/bin/sh";
const SCRIPT: &str = "cat /etc/os-release; echo $((6*7)); seq 1 1000 | tr 0-9 a-j | od -c | wc; uname -s; \
                      echo 'one two' | cut -d' ' -f2; umask";
/// Rounds of the computation.
const ROUNDS: u32 = 1000;

/// Tells everything and ends.
pub fn run(channel: &Arc<Channel>, plan: &Plan) -> i32 {
    let mut lines = Vec::new();
    let told = image(&mut lines).map(|()| around(plan, &mut lines));
    for text in lines {
        channel.send(&Message::Log { stream: Stream::Stdout, text });
    }
    let code = match told {
        Ok(()) => 0,
        Err(error) => {
            channel.send(&Message::Failed { error: format!("cannot report: {error}") });
            1
        }
    };
    channel.send(&Message::Exited { code });
    code
}

fn image(lines: &mut Vec<String>) -> io::Result<()> {
    lines.push(format!("image program {}", digest_of(Path::new("/proc/self/exe"))?));
    lines.push(format!("image computed {}", computed()));
    if !Path::new(SHELL).exists() {
        return Ok(());
    }
    // By folder, so that what differs has a name; owners apart, for they depend on how ids are mapped.
    let (mut content, mut owners) = (BTreeMap::new(), Sha256::new());
    walk(Path::new("/"), &mut content, &mut owners)?;
    for (folder, (count, digest)) in content {
        lines.push(format!("image files {folder} {count} {}", hex(digest)));
    }
    lines.push(format!("image owners {}", hex(owners)));
    let output = Command::new(SHELL)
        .args(["-c", SCRIPT])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .current_dir("/")
        .stdin(Stdio::null())
        .output()?;
    for (number, line) in String::from_utf8_lossy(&output.stdout).lines().enumerate() {
        lines.push(format!("image output {number} {line}"));
    }
    for line in String::from_utf8_lossy(&output.stderr).lines() {
        lines.push(format!("image complaint {line}"));
    }
    lines.push(format!("image status {}", output.status));
    Ok(())
}

/// Integers and floating point numbers through all their bits.
fn computed() -> String {
    let mut digest = Sha256::new();
    let mut value = 1.0f64;
    for round in 0..ROUNDS {
        value = (value * 1.000_1 + f64::from(round)).sqrt();
        digest.update(value.to_bits().to_le_bytes());
        digest.update(round.wrapping_mul(2_654_435_761).rotate_left(round % 32).to_le_bytes());
    }
    hex(digest)
}

type Content = BTreeMap<String, (u32, Sha256)>;

/// Adds what is below `folder`, in the order of names.
fn walk(folder: &Path, content: &mut Content, owners: &mut Sha256) -> io::Result<()> {
    let mut paths: Vec<_> = fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let text = path.to_string_lossy();
        if NOT_THE_IMAGES.contains(&text.as_ref()) || PUT_OVER.contains(&text.as_ref()) {
            continue;
        }
        let found = path.symlink_metadata()?;
        let what = if found.is_symlink() {
            hex(Sha256::new_with_prefix(fs::read_link(&path)?.as_os_str().as_bytes()))
        } else if found.is_file() {
            digest_of(&path)?
        } else {
            String::new()
        };
        let top = text.split('/').nth(1).unwrap_or_default();
        let entry = content.entry(format!("/{top}")).or_insert((0, Sha256::new()));
        entry.0 += 1;
        entry.1.update(format!("{text} {:o} {what}\n", found.mode()));
        owners.update(format!("{text} {} {}\n", found.uid(), found.gid()));
        if found.is_dir() {
            walk(&path, content, owners)?;
        }
    }
    Ok(())
}

fn digest_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let (mut digest, mut piece) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex(digest)),
            read => digest.update(&piece[..read]),
        }
    }
}

fn hex(digest: Sha256) -> String {
    let mut text = String::new();
    for byte in digest.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn around(plan: &Plan, lines: &mut Vec<String>) {
    let mut say = |key: &str, value: &str| lines.push(format!("around {key} {}", value.trim()));
    // SAFETY: no memory is involved.
    let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
    say("uid", &uid.to_string());
    say("gid", &gid.to_string());
    say("pid", &std::process::id().to_string());
    let (system, name, release) = names();
    say("kernel", &format!("{system} {release}"));
    let host = plan.environment.iter().find_map(|word| word.strip_prefix(HOST_NAME)?.strip_prefix('='));
    say("hostname", if Some(name.as_str()) == host { "the host's" } else { "its own" });
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for (key, field) in [
        ("capabilities", "CapEff:"),
        ("bounding-capabilities", "CapBnd:"),
        ("no-new-privileges", "NoNewPrivs:"),
        ("seccomp", "Seccomp:"),
        ("processors", "Cpus_allowed_list:"),
        ("groups", "Groups:"),
    ] {
        if let Some(value) = status.lines().find_map(|line| line.strip_prefix(field)) {
            say(key, value);
        }
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    for (key, field) in [("open-files", "Max open files"), ("processes", "Max processes")] {
        if let Some(value) = limits.lines().find_map(|line| line.strip_prefix(field)) {
            let numbers: Vec<&str> = value.split_whitespace().take(2).collect();
            say(key, &numbers.join(" "));
        }
    }
    for (key, paths) in [
        ("memory-limit", ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]),
        ("process-limit", ["/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"]),
    ] {
        let found = paths.iter().find_map(|path| fs::read_to_string(path).ok());
        say(key, found.as_deref().unwrap_or("not shown"));
    }
    let cgroup = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    say("cgroups", if cgroup.lines().any(|line| !line.starts_with("0::")) { "v1" } else { "v2" });
    let present = PUT_OVER.iter().filter(|path| path.starts_with("/etc/") && Path::new(path).is_file());
    say("files-put-over", &present.copied().collect::<Vec<_>>().join(" "));
}

/// System, name of the host, release (uname(2)).
fn names() -> (String, String, String) {
    // SAFETY: utsname is plain data for which all zeroes is valid; the call fills it.
    let names = unsafe {
        let mut names: libc::utsname = std::mem::zeroed();
        libc::uname(&mut names);
        names
    };
    // SAFETY: the kernel ends each text with NUL.
    let text =
        |field: &[libc::c_char]| unsafe { CStr::from_ptr(field.as_ptr()) }.to_string_lossy().into_owned();
    (text(&names.sysname), text(&names.nodename), text(&names.release))
}
