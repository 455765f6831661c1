//! bubblewrap, with what it offers of the same: seven namespaces and one id; no overlay, limits,
//! masks or filter, which spares it their time.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use runtime::clock::now_ns;
use runtime::watch::Watch;

pub struct Bubblewrap {
    rootfs: PathBuf,
}

impl Bubblewrap {
    /// Where it is installed.
    pub fn new(rootfs: &Path) -> Result<Bubblewrap, String> {
        match Command::new("bwrap").arg("--version").output() {
            Ok(output) if output.status.success() => Ok(Bubblewrap { rootfs: rootfs.to_owned() }),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl crate::Contestant for Bubblewrap {
    fn name(&self) -> &'static str {
        "bubblewrap"
    }

    fn round(&mut self, watch: &Watch) -> Result<u64, String> {
        let mut command = Command::new("bwrap");
        command.args(["--unshare-all", "--unshare-user", "--die-with-parent", "--ro-bind"]).arg(&self.rootfs);
        command.args(["/", "--proc", "/proc", "--dev", "/dev", "--", "/guest", "fd:3"]).arg(crate::plan());
        // The child, which is the first process of its namespace and takes all others along: it outlives
        // its parent now and then, whatever --die-with-parent says, and holds the pipe of errors.
        run(command, watch, |pid| {
            let number = pid.as_raw_nonzero();
            let children = std::fs::read_to_string(format!("/proc/{number}/task/{number}/children"));
            let children = children.unwrap_or_default();
            let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
            for one in children.filter_map(rustix::process::Pid::from_raw).chain([pid]) {
                let _ = rustix::process::kill_process(one, rustix::process::Signal::KILL);
            }
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
