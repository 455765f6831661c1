//! What the child tells before it executes: a page of memory shared with the parent.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use crate::clock::now_ns;

/// Steps of the child, in order. Each is stamped when it begins; the last one begun is the one that failed.
pub(super) const STEPS: [&str; 6] = ["namespaces", "identity", "rootfs", "filesystems", "privileges", "exec"];

/// The shared page.
pub(super) struct Report {
    page: NonNull<Page>,
}

#[repr(C)]
struct Page {
    begun_ns: [AtomicU64; STEPS.len()],
    errno: AtomicI32,
}

// SAFETY: the page is only accessed through atomics.
unsafe impl Send for Report {}

impl Report {
    pub(super) fn new() -> std::io::Result<Report> {
        // SAFETY: a fresh anonymous mapping, zeroed by the kernel: valid for atomics.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<Page>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        match NonNull::new(page.cast::<Page>()) {
            Some(page) if page.as_ptr().cast::<libc::c_void>() != libc::MAP_FAILED => Ok(Report { page }),
            _ => Err(std::io::Error::last_os_error()),
        }
    }

    /// The child begins a step. Safe between clone and exec: a store and a clock reading.
    pub(super) fn begin(&self, step: usize) {
        self.page().begun_ns[step].store(now_ns(), Ordering::Release);
    }

    /// The child's current step failed.
    pub(super) fn fail(&self, errno: i32) {
        self.page().errno.store(errno, Ordering::Release);
    }

    /// The steps that were begun, with their times.
    pub(super) fn marks(&self) -> Vec<(&'static str, u64)> {
        let times = self.page().begun_ns.iter().map(|time| time.load(Ordering::Acquire));
        STEPS.into_iter().zip(times).filter(|(_, at_ns)| *at_ns > 0).collect()
    }

    /// The step that failed and why.
    pub(super) fn failure(&self) -> Option<(&'static str, std::io::Error)> {
        let errno = self.page().errno.load(Ordering::Acquire);
        let step = self.marks().last().map_or("clone", |(step, _)| step);
        (errno != 0).then(|| (step, std::io::Error::from_raw_os_error(errno)))
    }

    fn page(&self) -> &Page {
        // SAFETY: mapped in new() and unmapped only in drop().
        unsafe { self.page.as_ref() }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        // SAFETY: mapped in new() with this length.
        unsafe { libc::munmap(self.page.as_ptr().cast(), size_of::<Page>()) };
    }
}
