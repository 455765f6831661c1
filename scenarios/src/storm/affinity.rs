//! On which processors a thread, and what it starts, may run.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The processors of the calling thread.
pub(super) struct Affinity {
    /// All it may use, in order; empty where the system does not tell.
    allowed: Vec<usize>,
    narrowed_to: Option<u32>,
}

impl Affinity {
    /// As it is now.
    pub(super) fn of_this_thread() -> Affinity {
        let allowed = sched_getaffinity(Pid::from_raw(0)).map_or_else(
            |_| Vec::new(),
            |set| (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).collect(),
        );
        Affinity { allowed, narrowed_to: None }
    }

    /// Lets the calling thread run on the first `cores` of its processors. A system call only where
    /// that changes something.
    pub(super) fn narrow_to(&mut self, cores: u32) {
        let wanted = (cores as usize).min(self.allowed.len());
        if wanted == 0
            || self.narrowed_to == Some(cores)
            || (self.narrowed_to.is_none() && wanted == self.allowed.len())
        {
            return;
        }
        let mut set = CpuSet::new();
        for cpu in &self.allowed[..wanted] {
            let _ = set.set(*cpu);
        }
        if sched_setaffinity(Pid::from_raw(0), &set).is_ok() {
            self.narrowed_to = Some(cores);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_and_what_it_starts_are_narrowed_and_let_go() {
        std::thread::spawn(|| {
            let count = || Affinity::of_this_thread().allowed.len();
            let all = count();
            let mut affinity = Affinity::of_this_thread();
            affinity.narrow_to(1);
            assert_eq!(count(), 1);
            let child =
                std::process::Command::new("nproc").env_remove("OMP_NUM_THREADS").output().expect("nproc");
            assert_eq!(String::from_utf8_lossy(&child.stdout).trim(), "1");
            affinity.narrow_to(all as u32);
            assert_eq!(count(), all);
        })
        .join()
        .expect("thread");
    }
}
