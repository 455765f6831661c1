//! The launching thread's partner: it does the parent's part while the launcher is suspended.
//!
//! A child that shares this program's memory must suspend its parent thread (CLONE_VFORK): only then
//! does the kernel know it for what it is, and spares this program when such a child's cgroup runs
//! out of memory (`in_vfork`, mm/oom_kill.c) and when its oom_score_adj is written.

use std::cell::OnceCell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::aside::Kept;
use super::report::{Report, Signal};
use super::supervise::Supervision;
use crate::Error;

/// Bytes of stack for a child between clone and exec.
const STACK_BYTES: usize = 64 * 1024;
/// Bytes for the report behind it.
const REPORT_BYTES: usize = 4096;

/// Memory that a child and its parent share whether or not the rest is: a stack and a report.
pub(super) struct Arena {
    start: NonNull<u8>,
}

// SAFETY: the stack is used by one child at a time and by no thread; the report is atomics.
unsafe impl Send for Arena {}
// SAFETY: as above.
unsafe impl Sync for Arena {}

impl Arena {
    pub(super) fn new() -> Result<Arena, Error> {
        // SAFETY: a fresh mapping, zeroed by the kernel.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                STACK_BYTES + REPORT_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => Ok(Arena { start }),
            _ => Err(Error::system("map memory for a container's start")(std::io::Error::last_os_error())),
        }
    }

    pub(super) fn report(&self) -> &Report {
        // SAFETY: behind the stack, page-aligned, zeroed when mapped, and valid for atomics.
        unsafe { self.start.add(STACK_BYTES).cast::<Report>().as_ref() }
    }

    /// Lowest address and size, as clone3(2) wants them.
    pub(super) fn stack(&self) -> (u64, u64) {
        (self.start.as_ptr() as u64, STACK_BYTES as u64)
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: mapped in new() with this length; a child that still runs has a copy of the mapping.
        unsafe { libc::munmap(self.start.as_ptr().cast(), STACK_BYTES + REPORT_BYTES) };
    }
}

/// A thread and what it shares with the launcher.
pub(super) struct Partner {
    shared: Arc<Shared>,
    kept: Kept,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Shared {
    arena: Arena,
    /// The start under way.
    task: AtomicPtr<Supervision<'static>>,
    result: Mutex<Result<(), Error>>,
    done: Signal,
    ends: AtomicBool,
}

/// Calls `with` the partner of this thread, made at its first start.
pub(super) fn with_partner<T>(with: impl FnOnce(&Partner) -> T) -> Result<T, Error> {
    thread_local! {
        static PARTNER: OnceCell<Partner> = const { OnceCell::new() };
    }
    PARTNER.with(|cell| {
        if cell.get().is_none() {
            let _ = cell.set(Partner::new()?);
        }
        cell.get().map(with).ok_or_else(|| Error::Invalid("the launching thread has no partner".into()))
    })
}

impl Partner {
    fn new() -> Result<Partner, Error> {
        let shared = Arc::new(Shared {
            arena: Arena::new()?,
            task: AtomicPtr::default(),
            result: Mutex::new(Ok(())),
            done: Signal::default(),
            ends: AtomicBool::new(false),
        });
        let kept = Kept::new()?;
        let thread = std::thread::Builder::new().name("partner".into()).spawn({
            let shared = shared.clone();
            move || shared.run()
        });
        let thread = thread.map_err(Error::system("start a launcher's partner thread"))?;
        Ok(Partner { shared, kept, thread: Some(thread) })
    }

    pub(super) fn arena(&self) -> &Arena {
        &self.shared.arena
    }

    /// Descriptor numbers for its children.
    pub(super) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Runs `start`, during which the child may call for `supervision`; gives the outcome of both.
    pub(super) fn serve<T>(
        &self,
        supervision: &Supervision<'_>,
        start: impl FnOnce() -> T,
    ) -> (T, Result<(), Error>) {
        let (shared, report) = (&self.shared, self.arena().report());
        let task = std::ptr::from_ref(supervision).cast_mut().cast::<Supervision<'static>>();
        shared.task.store(task, Ordering::Release);
        shared.done.reset();
        let calls = report.calls();
        let started = start();
        // The child has executed or ended: if it has called, the partner is at it or through.
        let settled = if report.calls() != calls {
            report.held.give_up();
            shared.done.wait();
            std::mem::replace(&mut *shared.result.lock().unwrap_or_else(PoisonError::into_inner), Ok(()))
        } else {
            Ok(())
        };
        shared.task.store(std::ptr::null_mut(), Ordering::Release);
        (started, settled)
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Release);
        self.arena().report().call();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        let report = self.arena.report();
        let mut calls = 0;
        loop {
            calls = report.await_call(calls);
            if self.ends.load(Ordering::Acquire) {
                return;
            }
            // SAFETY: the launcher keeps it alive until this thread says `done`.
            let Some(task) = (unsafe { self.task.load(Ordering::Acquire).as_ref() }) else { continue };
            let result = task.run(report.pid(), report, &|| true);
            *self.result.lock().unwrap_or_else(PoisonError::into_inner) = result;
            self.done.set();
        }
    }
}
