//! A process that is told apart from a later one with its number.

use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use crate::Error;

/// A container's init, as seen from the host.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct InitProcess {
    /// Process id.
    pub pid: i32,
    /// When it was started, in clock ticks since the host was (proc_pid_stat(5)).
    pub started_ticks: u64,
}

impl InitProcess {
    /// The living process `pid`.
    ///
    /// # Errors
    /// Where there is none.
    pub fn of(pid: i32) -> Result<InitProcess, Error> {
        let path = format!("/proc/{pid}/stat");
        let stat = std::fs::read(&path).map_err(Error::system(format!("read {path}")))?;
        match parse_stat(&stat) {
            Some((_, started_ticks)) => Ok(InitProcess { pid, started_ticks }),
            None => Err(Error::Invalid(format!("{path} is not as proc_pid_stat(5) says"))),
        }
    }

    /// A descriptor of the process, if it has not ended. A process that nobody has reaped has ended.
    pub fn alive(&self) -> Option<OwnedFd> {
        let pidfd = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        // Read after the descriptor was opened: what the file says is about the process held by it.
        let stat = std::fs::read(format!("/proc/{}/stat", self.pid)).ok()?;
        let (state, started_ticks) = parse_stat(&stat)?;
        (started_ticks == self.started_ticks && !matches!(state, b'Z' | b'X')).then_some(pidfd)
    }
}

/// State and start time. The name, in brackets, may have anything in it.
fn parse_stat(stat: &[u8]) -> Option<(u8, u64)> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 2..)?).ok()?;
    let mut fields = rest.split(' ');
    let state = *fields.next()?.as_bytes().first()?;
    // The state is field 3, the start time field 22.
    let started = fields.nth(18)?.trim_end().parse().ok()?;
    Some((state, started))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_forge_the_fields() {
        // From a Debian 12 host, the name changed to one with brackets and blanks.
        let stat =
            b"4242 (a) Z 1 (b) S 1 4242 4242 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 987654 2500000 200 \
            18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n";
        assert_eq!(parse_stat(stat), Some((b'S', 987_654)));
        assert_eq!(parse_stat(b"1 (x) S 1"), None);
        assert_eq!(parse_stat(b""), None);
    }

    #[test]
    fn it_knows_the_living_from_the_dead() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let process = InitProcess::of(child.id() as i32).unwrap();
        assert!(process.alive().is_some());
        let another = InitProcess { started_ticks: process.started_ticks + 1, ..process };
        assert!(another.alive().is_none());
        child.kill().unwrap();
        let pidfd = pidfd_open(Pid::from_raw(process.pid).unwrap(), PidfdFlags::empty()).unwrap();
        crate::pidfd::end(std::os::fd::AsFd::as_fd(&pidfd), "sleep", std::time::Duration::from_secs(10))
            .unwrap();
        // Not reaped yet.
        assert!(process.alive().is_none());
        child.wait().unwrap();
        assert!(process.alive().is_none());
    }
}
