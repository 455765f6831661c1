//! A running container of a runtime, ended through it and looked after where it fails to.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Runtime;
use super::command;
use crate::{Error, Exit, Footprint, Instance};

/// How long a command of the runtime may take that ends something.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);
/// How often and how long after each other it is asked again to kill a container it does not know yet.
const KILL_TRIES: u32 = 5;
const KILL_PAUSE: Duration = Duration::from_millis(100);
/// How long the runtime may take to go once its container was killed.
const END_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Container {
    pub(super) runtime: Arc<Runtime>,
    /// What the runtime knows it as.
    pub(super) id: String,
    /// Of `run`, which stays until the container ends.
    pub(super) pidfd: OwnedFd,
    pub(super) pid: i32,
    /// Where its service is reached through a socket that was passed.
    pub(super) service: Option<SocketAddr>,
    pub(super) uses_host_network: bool,
    pub(super) parts: Parts,
    pub(super) ended: bool,
}

/// What of an instance is on the host besides its processes.
pub(super) struct Parts {
    /// Its folder on the stage.
    pub(super) folder: PathBuf,
    /// Its root file system, where it has one of its own mounted.
    pub(super) mount: Option<PathBuf>,
    /// Its cgroups, whether or not they exist (yet).
    pub(super) cgroups: Vec<PathBuf>,
}

impl Container {
    /// Ends it through the runtime, and where that does not help by killing the runtime.
    fn end(&mut self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.ended {
            return problems;
        }
        let runtime = self.runtime.clone();
        let is_over = |timeout| crate::pidfd::await_end(self.pidfd.as_fd(), timeout).is_ok();
        if !is_over(Duration::ZERO) && runtime.profile.reads_bundle {
            let kill = || {
                let done = runtime.carry_out(&["kill", &self.id, "KILL"], COMMAND_TIMEOUT)?;
                done.succeeded("kill")
            };
            let mut killed = kill();
            // The container may be ready before its runtime has noted that it is.
            for _ in 0..KILL_TRIES {
                if killed.is_ok() || is_over(KILL_PAUSE) {
                    break;
                }
                killed = kill();
            }
            // It may have ended by itself meanwhile; there is nothing to kill then.
            let gone = match &killed {
                Ok(_) => is_over(END_TIMEOUT),
                Err(_) => is_over(Duration::ZERO),
            };
            if !gone {
                let why = match killed {
                    Ok(_) => format!("it was still there {END_TIMEOUT:?} after its kill command"),
                    Err(error) => error.to_string(),
                };
                problems.push(format!("it had to be killed itself ({why})"));
            }
        }
        if !is_over(Duration::ZERO) {
            // With its children, while its number cannot be anybody else's.
            command::end_group(self.pid);
        }
        if let Err(error) = crate::pidfd::end(self.pidfd.as_fd(), "a runtime", END_TIMEOUT) {
            problems.push(error.to_string());
        }
        self.ended = true;
        problems
    }

    /// A command of the runtime's about this container.
    fn command(&self, word: &str) -> Result<(), Error> {
        let Runtime { profile, .. } = &*self.runtime;
        if !profile.reads_bundle {
            let what = format!("{} has no command {word}", profile.name);
            return Err(Error::Missing { what, fix: None });
        }
        let done = self.runtime.carry_out(&[word, &self.id], COMMAND_TIMEOUT)?;
        done.succeeded(word).map(drop)
    }

    /// Removes what the runtime should have removed, and says what that was.
    fn remove(&mut self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.runtime.knows(&self.id) {
            let deleted = self.runtime.carry_out(&["delete", "--force", &self.id], COMMAND_TIMEOUT);
            match deleted.and_then(|done| done.succeeded("delete")) {
                Ok(_) if !self.runtime.knows(&self.id) => {}
                Ok(_) => problems.push("its state of the container was left behind and removed".into()),
                Err(error) => problems.push(format!("its state of the container was removed ({error})")),
            }
            self.runtime.forget(&self.id);
        }
        for cgroup in self.parts.cgroups.iter().filter(|cgroup| cgroup.is_dir()) {
            problems.push(match crate::cgroup::end_folder(cgroup) {
                Ok(()) => format!("the cgroup {} was left behind and removed", cgroup.display()),
                Err(error) => error.to_string(),
            });
        }
        problems.extend(self.runtime.clear(&self.parts).err().map(|error| error.to_string()));
        problems
    }
}

impl Instance for Container {
    fn service(&self, guest_port: u16) -> Option<SocketAddr> {
        self.service.or_else(|| self.uses_host_network.then(|| (Ipv4Addr::LOCALHOST, guest_port).into()))
    }

    fn root_pid(&self) -> Option<i32> {
        (!self.ended && self.pid > 0).then_some(self.pid)
    }

    /// Of the container's processes and of the runtime's own that stay with it.
    fn memory(&self) -> Result<Footprint, Error> {
        let lists = self.parts.cgroups.iter().map(|cgroup| cgroup.join("cgroup.procs"));
        let members: Vec<i32> = lists
            .filter_map(|path| std::fs::read_to_string(path).ok())
            .flat_map(|list| list.lines().filter_map(|line| line.parse().ok()).collect::<Vec<_>>())
            .collect();
        let total = crate::footprint::of_tree(self.pid, &members)?;
        Ok(Footprint { cgroup_bytes: self.runtime.charged_bytes(&self.parts), ..total })
    }

    fn pause(&mut self) -> Result<(), Error> {
        self.command("pause")
    }

    fn resume(&mut self) -> Result<(), Error> {
        self.command("resume")
    }

    fn stop(&mut self) -> Result<Exit, Error> {
        let mut problems = self.end();
        problems.extend(self.remove());
        if problems.is_empty() {
            return Ok(Exit::Signal(libc::SIGKILL));
        }
        Err(Error::Invalid(format!("{}: {}", self.runtime.profile.name, problems.join("; "))))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Nobody is left to hear of a failure; the end of the run and `bench clean` remain.
        if !self.ended || self.parts.folder.exists() {
            let _ = self.stop();
        }
    }
}
