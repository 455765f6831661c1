//! Docker with this runtime: a daemon of the test's own, without a network, in a folder of its own.

use std::process::{Child, Command, Stdio};

use super::{Bundle, Said, has};

/// A daemon that ends with the test.
struct Daemon<'a> {
    bundle: &'a Bundle,
    process: Child,
}

impl<'a> Daemon<'a> {
    fn start(bundle: &'a Bundle) -> Daemon<'a> {
        bundle.command("features").output().unwrap();
        let folder = bundle.file("docker");
        std::fs::create_dir(&folder).unwrap();
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let process = Command::new("dockerd")
            .arg("--data-root")
            .arg(folder.join("data"))
            .arg("--exec-root")
            .arg(folder.join("exec"))
            .arg("--pidfile")
            .arg(folder.join("pid"))
            .arg("--host")
            .arg(format!("unix://{}", folder.join("socket").display()))
            .args(["--iptables=false", "--ip6tables=false", "--bridge=none"])
            .args(["--exec-opt", "native.cgroupdriver=cgroupfs"])
            .arg(format!("--add-runtime=bench={}", bundle.file("bench-oci").display()))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let daemon = Daemon { bundle, process };
        bundle.until("dockerd answers", || daemon.docker(&["version"]).code == Some(0));
        daemon
    }

    fn docker(&self, arguments: &[&str]) -> Said {
        let host = format!("unix://{}", self.bundle.file("docker/socket").display());
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", host).env("HOME", self.bundle.path()).args(arguments);
        command.stdin(Stdio::null()).output().unwrap().into()
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let usual = ["run", "--rm", "--network=none", "--runtime=bench"];
        self.docker(&[usual.as_slice(), arguments].concat())
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.process.id()).unwrap());
        // It ends its containerd and takes its mounts away.
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.process.wait();
    }
}

#[test]
fn docker_runs_containers_with_it() {
    let Some(bundle) = Bundle::new() else { return };
    if !has("docker") || !has("dockerd") {
        return;
    }
    let daemon = Daemon::start(&bundle);
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(bundle.file("rootfs")).arg("-cf").arg(bundle.file("tar")).arg(".");
    assert!(tar.status().unwrap().success());
    daemon.docker(&["import", bundle.file("tar").to_str().unwrap(), "tools"]).fine();
    let inside = "grep Seccomp: /proc/self/status; readlink /proc/self/ns/pid; id -u";
    let said = daemon.run(&["--user=1000:1000", "--memory=64m", "tools", "/bin/sh", "-c", inside]).fine();
    let own = std::fs::read_link("/proc/self/ns/pid").unwrap();
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!((lines[0], lines[2]), ("Seccomp:\t2", "1000"), "{said:?}");
    assert_ne!(lines[1], own.to_str().unwrap());
    assert_eq!(daemon.run(&["tools", "/bin/sh", "-c", "exit 42"]).code, Some(42));
    let said = daemon.run(&["tools", "/nonexistent"]);
    assert_eq!(said.code, Some(127), "{said:?}");
    assert!(said.err.contains("no such file or directory"), "{said:?}");
    let said = daemon.run(&["--tty", "tools", "/bin/sh"]);
    assert!(said.err.contains("terminals are not implemented"), "{said:?}");

    let id = daemon
        .docker(&["run", "--detach", "--network=none", "--runtime=bench", "tools", "/bin/sleep", "100"])
        .fine();
    let id = id.out.trim();
    assert_eq!(daemon.docker(&["exec", id, "/bin/sh", "-c", "exit 3"]).code, Some(3));
    daemon.docker(&["pause", id]).fine();
    daemon.docker(&["unpause", id]).fine();
    assert!(daemon.docker(&["top", id]).fine().out.contains("sleep"));
    daemon.docker(&["kill", id]).fine();
    daemon.docker(&["rm", "--force", id]).fine();
}
