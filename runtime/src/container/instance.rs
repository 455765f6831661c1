//! A running container.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::process::Signal;

use crate::cgroup::Cgroup;
use crate::{Error, Exit, Footprint, Instance};

/// How long the kernel may take to end all processes of a PID namespace.
const END_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) struct Container {
    pid: i32,
    pidfd: OwnedFd,
    cgroup: Cgroup,
    service: Option<SocketAddr>,
    ended: bool,
}

impl Container {
    pub(super) fn new(pid: i32, pidfd: OwnedFd, cgroup: Cgroup, service: Option<SocketAddr>) -> Container {
        Container { pid, pidfd, cgroup, service, ended: false }
    }

    /// To the container's init. The kernel shields an init from stop signals of its own
    /// namespace only, not from those of its parents (pid_namespaces(7)).
    fn signal(&self, signal: Signal) -> Result<(), Error> {
        crate::pidfd::signal(self.pidfd.as_fd(), signal, "a container")
    }
}

impl Instance for Container {
    fn service(&self, _guest_port: u16) -> Option<SocketAddr> {
        self.service
    }

    fn memory(&self) -> Result<Footprint, Error> {
        let footprint = crate::footprint::of_process(self.pid)?;
        Ok(Footprint { cgroup_bytes: self.cgroup.memory_bytes(), ..footprint })
    }

    fn pause(&mut self) -> Result<(), Error> {
        self.signal(Signal::STOP)
    }

    fn resume(&mut self) -> Result<(), Error> {
        self.signal(Signal::CONT)
    }

    fn stop(&mut self) -> Result<Exit, Error> {
        if !self.ended {
            // The kernel ends every process of the namespace before its init is gone.
            crate::pidfd::end(self.pidfd.as_fd(), "a container", END_TIMEOUT)?;
            self.ended = true;
        }
        self.cgroup.end()?;
        Ok(Exit::Signal(libc::SIGKILL))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Nobody is left to hear of a failure; `bench clean` finds what remains.
        let _ = self.stop();
    }
}
