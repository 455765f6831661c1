//! What only the parent may do for a child: maps, limits above its own, a look before the root changes.

use std::time::Duration;

use super::compiled::Compiled;
use super::report::Report;
use crate::Error;

/// The parent's part of one start.
pub(super) struct Supervision<'a> {
    pub(super) setup: &'a Compiled,
    pub(super) before_root: Option<&'a (dyn Fn(i32) -> Result<(), Error> + Sync)>,
}

impl Supervision<'_> {
    /// Serves the child `pid` up to the change of its root. `lives` says whether it still does.
    ///
    /// # Errors
    /// What could not be done; the child has been told to give up then.
    pub(super) fn run(&self, pid: i32, report: &Report, lives: &dyn Fn() -> bool) -> Result<(), Error> {
        let done = self.settle(pid);
        if done.is_err() {
            report.mapped.give_up();
            return done;
        }
        report.mapped.set();
        let Some(before_root) = self.before_root else { return Ok(()) };
        while !report.held.is_over() {
            report.held.wait_for(Duration::from_millis(20));
            if !lives() {
                return Ok(());
            }
        }
        let done = if report.held.is_set() { before_root(pid) } else { Ok(()) };
        match &done {
            Ok(()) => report.resumed.set(),
            Err(_) => report.resumed.give_up(),
        }
        done
    }

    fn settle(&self, pid: i32) -> Result<(), Error> {
        if let Some(value) = self.setup.oom_score_adj {
            let path = format!("/proc/{pid}/oom_score_adj");
            std::fs::write(&path, value.to_string())
                .map_err(Error::system(format!("write {value} to {path}")))?;
        }
        for limit in &self.setup.rlimits {
            raise(pid, limit.resource, limit.hard)?;
        }
        self.setup.maps.as_ref().map_or(Ok(()), |maps| maps.write(pid))
    }
}

/// Raises a hard limit, which nobody may in a user namespace; the child sets the rest itself.
fn raise(pid: i32, resource: u32, hard: u64) -> Result<(), Error> {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both limits live through the calls.
    unsafe {
        if libc::prlimit(pid, resource as _, std::ptr::null(), &mut now) != 0 {
            return Err(Error::system(format!("read the resource limit {resource}"))(
                std::io::Error::last_os_error(),
            ));
        }
        let raised = libc::rlimit { rlim_max: hard, ..now };
        if hard > now.rlim_max && libc::prlimit(pid, resource as _, &raised, std::ptr::null_mut()) != 0 {
            return Err(Error::system(format!("raise the resource limit {resource} to {hard}"))(
                std::io::Error::last_os_error(),
            ));
        }
    }
    Ok(())
}
