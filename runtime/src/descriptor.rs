//! Copies of descriptors at numbers that are out of the way.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{Resource, getrlimit};

/// A copy at the lowest free number from `lowest` on, closed on exec (fcntl(2), F_DUPFD_CLOEXEC).
///
/// # Errors
/// Where this program may have none there: what its limit is, and what is needed.
pub(crate) fn copy_above(fd: impl AsFd, lowest: i32) -> io::Result<OwnedFd> {
    fcntl_dupfd_cloexec(fd, lowest).map_err(|errno| match (errno, getrlimit(Resource::Nofile).current) {
        // The one reason for it (fcntl(2)).
        (Errno::INVAL, Some(most)) => io::Error::other(format!(
            "this program may have no more than {most} files open (RLIMIT_NOFILE), and puts those of an \
             instance at the numbers from {lowest} on (try: ulimit -n 1024)"
        )),
        (Errno::MFILE, Some(most)) => io::Error::other(format!(
            "{errno}: this program may have {most} (RLIMIT_NOFILE; try: ulimit -n 1024, and more for many instances)"
        )),
        (errno, _) => errno.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_too_low_is_told_with_what_is_needed() {
        let null = std::fs::File::open("/dev/null").expect("opened");
        assert!(copy_above(&null, 64).is_ok());
        let most = getrlimit(Resource::Nofile).current.expect("limited");
        let refused = copy_above(&null, i32::try_from(most).expect("small")).expect_err("no number left");
        let said = refused.to_string();
        assert!(said.contains(&format!("no more than {most} files")) && said.contains("ulimit -n"), "{said}");
    }
}
