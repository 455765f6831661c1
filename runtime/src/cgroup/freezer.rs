//! Stopping and resuming all processes of a group: cgroup-v2.rst, "cgroup.freeze"; on v1 the
//! freezer controller, cgroup-v1/freezer-subsystem.rst.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Version, file};
use crate::Error;

const V2_FREEZE: &str = "cgroup.freeze";
const V2_EVENTS: &str = "cgroup.events";
pub(super) const V1_STATE: &str = "freezer.state";

/// How long processes may take to stop: one in uninterruptible sleep stops when that ends.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Returns when every process of the group and the groups below stands still.
pub(super) fn freeze(group: &Path, version: Version) -> Result<(), Error> {
    match version {
        Version::V2 => {
            file::write(&group.join(V2_FREEZE), "1")?;
            wait_for(group, "frozen", 1, TIMEOUT)
        }
        Version::V1 => {
            let path = group.join(V1_STATE);
            file::write(&path, "FROZEN")?;
            let deadline = Instant::now() + TIMEOUT;
            while file::read(&path)?.as_deref().map(str::trim) != Some("FROZEN") {
                if Instant::now() > deadline {
                    return Err(timed_out(group, "frozen"));
                }
                // v1 tells nobody when it is done; reading the state is what brings it forward.
                std::thread::yield_now();
            }
            Ok(())
        }
    }
}

/// Lets them go on; returns when the kernel has taken note.
pub(super) fn thaw(group: &Path, version: Version) -> Result<(), Error> {
    match version {
        Version::V2 => {
            file::write(&group.join(V2_FREEZE), "0")?;
            wait_for(group, "frozen", 0, TIMEOUT)
        }
        Version::V1 => file::write(&group.join(V1_STATE), "THAWED"),
    }
}

/// Waits until `key` of `cgroup.events` has this value: the file becomes "exceptional" when one of
/// them changes. A group that is gone has no processes.
pub(super) fn wait_for(group: &Path, key: &str, wanted: u64, timeout: Duration) -> Result<(), Error> {
    let path = group.join(V2_EVENTS);
    let mut events = match File::open(&path) {
        Ok(events) => events,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::system(format!("open {}", path.display()))(error)),
    };
    let deadline = Instant::now() + timeout;
    let mut text = String::with_capacity(64);
    loop {
        text.clear();
        match events.rewind().and_then(|()| events.read_to_string(&mut text)) {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Ok(()),
            Err(error) => return Err(Error::system(format!("read {}", path.display()))(error)),
        }
        if file::value(&text, key) == Some(wanted) {
            return Ok(());
        }
        let Some(left) = deadline.checked_duration_since(Instant::now()) else {
            return Err(timed_out(group, key));
        };
        let mut waited = [PollFd::from_borrowed_fd(events.as_fd(), PollFlags::PRI)];
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        match poll(&mut waited, Some(&left)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(Error::system(format!("wait for {}", path.display()))(errno)),
        }
    }
}

fn timed_out(group: &Path, key: &str) -> Error {
    Error::System {
        action: format!("see the cgroup {} become {key}: not within {TIMEOUT:?}", group.display()),
        source: io::ErrorKind::TimedOut.into(),
    }
}
