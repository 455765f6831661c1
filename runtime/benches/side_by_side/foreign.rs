//! Other people's runtimes, with what they offer of the same: seven namespaces, id maps, limits, masks,
//! capabilities. None of them makes an overlay, which spares them one mount.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use runtime::clock::now_ns;
use runtime::watch::Watch;

use crate::Contestant;

/// Those that are installed, each with its bundle below `folder`.
pub fn installed(folder: &Path, rootfs: &Path) -> Vec<Box<dyn Contestant>> {
    let mut found: Vec<Box<dyn Contestant>> = Vec::new();
    for name in ["crun", "runc"] {
        if is_installed(name) {
            let bundle = folder.join(name);
            write_bundle(name, &bundle, rootfs);
            found.push(Box::new(Oci { name, bundle, count: 0 }));
        } else {
            println!("{name} is not installed: left out");
        }
    }
    if is_installed("bwrap") {
        found.push(Box::new(Bubblewrap { rootfs: rootfs.to_owned() }));
    } else {
        println!("bwrap is not installed: left out");
    }
    found
}

fn is_installed(name: &str) -> bool {
    Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
}

struct Oci {
    name: &'static str,
    bundle: PathBuf,
    count: u32,
}

impl Contestant for Oci {
    fn name(&self) -> &'static str {
        self.name
    }

    fn round(&mut self, watch: &Watch) -> Result<u64, String> {
        let id = format!("bench-side-{}-{}", std::process::id(), self.count);
        self.count += 1;
        let mut command = Command::new(self.name);
        command.args(["run", "--preserve-fds", "1", "--bundle"]).arg(&self.bundle).arg(&id);
        let result = run(command, watch, |_| {
            let _ = Command::new(self.name).args(["kill", &id, "KILL"]).output();
        });
        let _ = Command::new(self.name).args(["delete", "--force", &id]).output();
        result
    }
}

struct Bubblewrap {
    rootfs: PathBuf,
}

impl Contestant for Bubblewrap {
    fn name(&self) -> &'static str {
        "bubblewrap"
    }

    fn round(&mut self, watch: &Watch) -> Result<u64, String> {
        let mut command = Command::new("bwrap");
        command.args(["--unshare-all", "--unshare-user", "--die-with-parent", "--ro-bind"]).arg(&self.rootfs);
        command.args(["/", "--proc", "/proc", "--dev", "/dev", "--", "/guest", "fd:3"]).arg(crate::plan());
        run(command, watch, |pid| {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        })
    }
}

/// Starts the command with the message socket as descriptor 3.
fn run(mut command: Command, watch: &Watch, end: impl Fn(rustix::process::Pid)) -> Result<u64, String> {
    let began_ns = now_ns();
    let (inside, outside) = UnixStream::pair().map_err(|error| error.to_string())?;
    let mut events = crate::listen(watch, outside.into());
    let inside = OwnedFd::from(inside);
    let number = inside.as_raw_fd();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    // SAFETY: two system calls between fork and exec.
    unsafe {
        command.pre_exec(move || match (libc::dup2(number, 3), libc::fcntl(3, libc::F_SETFD, 0)) {
            (3, 0) => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    drop(inside);
    let ready = crate::ready_ns(&mut events);
    end(rustix::process::Pid::from_child(&child));
    if ready.is_err() {
        let _ = child.kill();
    }
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    ready.map(|ready_ns| ready_ns - began_ns).map_err(|error| format!("{error}; stderr: {}", said.trim()))
}

fn write_bundle(name: &str, bundle: &Path, rootfs: &Path) {
    fs::create_dir_all(bundle).expect("made");
    let made = Command::new(name).arg("spec").current_dir(bundle).output().expect("run");
    assert!(made.status.success(), "{name} spec: {}", String::from_utf8_lossy(&made.stderr));
    let path = bundle.join("config.json");
    let mut spec: serde_json::Value =
        serde_json::from_slice(&fs::read(&path).expect("read")).expect("parsed");
    spec["process"]["terminal"] = false.into();
    spec["process"]["args"] = serde_json::json!(["/guest", "fd:3", crate::plan()]);
    spec["root"] = serde_json::json!({ "path": rootfs, "readonly": true });
    let namespaces = ["pid", "network", "ipc", "uts", "mount", "user", "cgroup"];
    spec["linux"]["namespaces"] =
        namespaces.iter().map(|kind| serde_json::json!({ "type": kind })).collect::<Vec<_>>().into();
    let map = serde_json::json!([{ "containerID": 0, "hostID": 1_000_000_000u32, "size": 65_536 }]);
    spec["linux"]["uidMappings"] = map.clone();
    spec["linux"]["gidMappings"] = map;
    spec["linux"]["resources"] = serde_json::json!({
        "memory": { "limit": 256 << 20 },
        "cpu": { "quota": 200_000, "period": 100_000 },
        "pids": { "limit": 100 },
    });
    // The control groups of this host are another one's business.
    if let Some(mounts) = spec["mounts"].as_array_mut() {
        mounts.retain(|mount| mount["type"] != "cgroup");
    }
    fs::write(&path, spec.to_string()).expect("written");
}
