//! Locks between programs (flock(2)).

use std::fs::File;
use std::io;

use rustix::fs::{FlockOperation, flock};

/// A file that can be locked; not yet taken when made.
///
/// Dropping it gives the lock back, and not only closes the file: a lock is that of the open file, which
/// every child has a part in that another thread has forked and that executes nothing yet, or never
/// does. Closing alone would leave the lock to it.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    pub(crate) fn of(file: File) -> Lock {
        Lock(file)
    }

    /// Waits until nobody has it alone, and has it together with others.
    ///
    /// # Errors
    /// What the system said.
    pub(crate) fn share(&self) -> io::Result<()> {
        self.wait(FlockOperation::LockShared)
    }

    /// Waits until nobody else has it.
    ///
    /// # Errors
    /// What the system said.
    pub(crate) fn take(&self) -> io::Result<()> {
        self.wait(FlockOperation::LockExclusive)
    }

    /// Takes it if nobody else has it; whether it did.
    ///
    /// # Errors
    /// What the system said.
    pub(crate) fn try_take(&self) -> io::Result<bool> {
        match flock(&self.0, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    fn wait(&self, operation: FlockOperation) -> io::Result<()> {
        loop {
            match flock(&self.0, operation) {
                Err(rustix::io::Errno::INTR) => {}
                ended => return Ok(ended?),
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Of a lock that is not held this does nothing.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_has_the_file_open_does_not_keep_the_lock() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("lock");
        let open = || File::options().create(true).truncate(false).write(true).open(&path).expect("opened");
        let lock = Lock::of(open());
        lock.take().expect("taken");
        let mut child = std::process::Command::new("sleep");
        let mut child = child.arg("100").stdin(lock.0.try_clone().expect("cloned")).spawn().expect("sleep");
        let other = Lock::of(open());
        assert!(!other.try_take().expect("tried"));
        drop(lock);
        let is_free = other.try_take().expect("tried");
        child.kill().expect("killed");
        child.wait().expect("ended");
        assert!(is_free);
    }

    #[test]
    fn it_is_shared_by_many_or_had_by_one() {
        let file = tempfile::NamedTempFile::new().expect("file");
        let lock = || Lock::of(File::open(file.path()).expect("opened"));
        let (one, two, third) = (lock(), lock(), lock());
        one.share().expect("shared");
        two.share().expect("shared");
        assert!(!third.try_take().expect("tried"));
        drop((one, two));
        assert!(third.try_take().expect("tried"));
    }
}
