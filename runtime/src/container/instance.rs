//! A running container.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use super::copied::Copied;
use super::reach::Service;
use crate::cgroup::{Cgroup, Statistics};
use crate::{Error, Exit, Footprint, Instance, Saved};

/// How long the kernel may take to end all processes of a PID namespace.
const END_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) struct Container {
    pid: i32,
    pidfd: OwnedFd,
    /// `None` where the user has none delegated.
    cgroup: Option<Cgroup>,
    service: Service,
    /// Its files, where it has a copy of its own.
    files: Option<Copied>,
    exit: Option<Exit>,
    is_paused: bool,
}

impl Container {
    pub(super) fn new(pid: i32, pidfd: OwnedFd, cgroup: Option<Cgroup>, service: Service) -> Container {
        Container { pid, pidfd, cgroup, service, files: None, exit: None, is_paused: false }
    }

    /// With files that go with it.
    pub(super) fn with(mut self, files: Option<Copied>) -> Container {
        self.files = files;
        self
    }

    fn group(&self) -> Result<&Cgroup, Error> {
        self.cgroup.as_ref().ok_or_else(|| Error::Missing {
            what: "this container has no cgroup, so its processes cannot be stopped together".into(),
            fix: Some("run it as root, or under systemd-run --user --scope -p Delegate=yes".into()),
        })
    }
}

impl Instance for Container {
    fn service(&self, guest_port: u16) -> Option<SocketAddr> {
        self.service.address(guest_port)
    }

    /// Its own, where it is reached neither at a socket of the host's nor at the run's bridge.
    fn network_namespace(&self) -> Result<Option<OwnedFd>, Error> {
        if !matches!(self.service, Service::None) {
            return Ok(None);
        }
        let path = format!("/proc/{}/ns/net", self.pid);
        let file = std::fs::File::open(&path).map_err(Error::system(format!("open {path}")))?;
        Ok(Some(file.into()))
    }

    fn root_pid(&self) -> Option<i32> {
        self.exit.is_none().then_some(self.pid)
    }

    fn memory(&self) -> Result<Footprint, Error> {
        let Some(cgroup) = &self.cgroup else { return crate::footprint::of_process(self.pid) };
        let cgroup_bytes = cgroup.memory_bytes();
        let mut sum = Footprint::default();
        for pid in cgroup.processes()? {
            // One that ends meanwhile occupies nothing any more.
            let Ok(one) = crate::footprint::of_process(pid) else { continue };
            add(&mut sum.rss_bytes, one.rss_bytes);
            add(&mut sum.pss_bytes, one.pss_bytes);
            add(&mut sum.private_bytes, one.private_bytes);
            add(&mut sum.virtual_bytes, one.virtual_bytes);
        }
        if sum == Footprint::default() {
            return Err(Error::Invalid("the container has no processes any more".into()));
        }
        Ok(Footprint { cgroup_bytes, ..sum })
    }

    fn statistics(&self) -> Result<Statistics, Error> {
        self.group()?.statistics()
    }

    fn pause(&mut self) -> Result<(), Error> {
        // Before it is done: half a freeze has to be undone as well.
        self.is_paused = true;
        self.group()?.freeze()
    }

    fn resume(&mut self) -> Result<(), Error> {
        self.group()?.thaw()?;
        self.is_paused = false;
        Ok(())
    }

    fn shut_down(&mut self, patience: Duration) -> Result<Exit, Error> {
        if self.exit.is_none() && !self.is_paused {
            // One that has ended already is none to be told.
            let _ = rustix::process::pidfd_send_signal(&self.pidfd, rustix::process::Signal::TERM);
            let _ = crate::pidfd::await_end(self.pidfd.as_fd(), patience);
        }
        self.stop()
    }

    fn save(&mut self) -> Result<Saved, Error> {
        Err(super::checkpoint::refusal())
    }

    fn stop(&mut self) -> Result<Exit, Error> {
        if self.exit.is_none() {
            let before = crate::pidfd::exit(self.pidfd.as_fd());
            // The kernel ends every process of the namespace before its init is gone. A frozen one
            // dies too: SIGKILL is delivered on v2, and on v1 once it is thawed.
            let _ = rustix::process::pidfd_send_signal(&self.pidfd, rustix::process::Signal::KILL);
            if let Some(cgroup) = self.cgroup.as_ref().filter(|_| self.is_paused) {
                let _ = cgroup.thaw();
            }
            crate::pidfd::end(self.pidfd.as_fd(), "a container", END_TIMEOUT)?;
            self.exit = Some(before.unwrap_or(Exit::Signal(libc::SIGKILL)));
        }
        if let Some(cgroup) = &mut self.cgroup {
            cgroup.end()?;
        }
        self.files.take().map_or(Ok(()), Copied::remove)?;
        Ok(self.exit.unwrap_or(Exit::Signal(libc::SIGKILL)))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Nobody is left to hear of a failure; `bench clean` finds what remains.
        let _ = self.stop();
    }
}

fn add(sum: &mut Option<u64>, bytes: Option<u64>) {
    if let Some(bytes) = bytes {
        *sum = Some(sum.unwrap_or(0) + bytes);
    }
}
